# SPDX-License-Identifier: GPL-2.0-or-later
"""The import rules of the design: data goes one way, and only one layer knows GDB."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STDLIB = frozenset(sys.stdlib_module_names)

#: Layer -> what its files may import besides the standard library, by prefix.
RULES = {
    "guest": ("guest",),
    "struct_layout": ("struct_layout", "elftools", "pygments"),
    "gdb_kpy/core": ("gdb_kpy.core", "struct_layout", "elftools"),
    "gdb_kpy/target": ("gdb_kpy.core", "gdb_kpy.target", "struct_layout", "gdb"),
    "gdb_kpy/commands": (
        *("gdb_kpy.core", "gdb_kpy.target", "gdb_kpy.commands"),
        *("struct_layout", "guest", "pygments"),
    ),
}
#: The thin base through which commands use GDB, and what of GDB it may not touch.
BASE = ROOT / "gdb_kpy/commands/base.py"
TARGET_ONLY = frozenset(
    [
        "selected_inferior",
        "inferiors",
        "selected_thread",
        "selected_frame",
        "newest_frame",
        "parse_and_eval",
        "lookup_type",
        "lookup_symbol",
        "lookup_static_symbol",
        "lookup_global_symbol",
        "Value",
        "Breakpoint",
        "events",
        "connections",
        "history",
        "add_history",
        "current_progspace",
        "objfiles",
    ]
)


def files(layer: str) -> list[Path]:
    found = sorted((ROOT / layer).rglob("*.py"))
    assert found, f"no files in {layer}"
    return found


def imports(path: Path) -> list[str]:
    """All names that a file imports, wherever in it, fully dotted."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = list(package[: len(package) - node.level + 1]) if node.level else []
            parts += [node.module] if node.module else []
            names += [".".join([*parts, alias.name]) for alias in node.names]
    return names


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("layer", RULES)
def test_layer_imports_only_what_it_may(layer: str) -> None:
    for path in files(layer):
        allowed = (*RULES[layer], "gdb") if path == BASE else RULES[layer]
        for name in imports(path):
            top = name.split(".")[0]
            if top in STDLIB:
                continue
            assert any(below(name, prefix) for prefix in allowed), (
                f"{path.relative_to(ROOT)} may not import {name}"
            )


def test_nobody_imports_commands() -> None:
    everything = [p for layer in (*RULES, "tests", "bench") for p in (ROOT / layer).rglob("*.py")]
    for path in everything:
        if path.is_relative_to(ROOT / "gdb_kpy/commands"):
            continue
        for name in imports(path):
            assert not below(name, "gdb_kpy.commands"), f"{path} imports {name}"
    assert "gdb_kpy.commands" in imports(ROOT / "gdbinit.py")


def test_the_base_of_commands_does_not_touch_the_target() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(BASE.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "gdb"
    }
    assert "GdbError" in used
    assert not used & TARGET_ONLY


def test_the_rules_are_enforced() -> None:
    """A rule that could not fail would be no rule."""
    bad = ROOT / "gdb_kpy/core/elf.py"
    assert all(not below(name, "gdb") for name in imports(bad))
    names = imports(ROOT / "gdb_kpy/target/stub.py")
    assert "gdb" in names
    assert not any(below("gdb", prefix) for prefix in RULES["gdb_kpy/core"])
    assert below("gdb_kpy.commands.base", "gdb_kpy.commands")
    assert not below("gdb_kpy.commands_of", "gdb_kpy.commands")


# Upstream's public headers, those that C modules make objects with among them, and the files
# that must know more: the entry record holds a thread's state, and kpy_debug_info tells a
# debugger about the interpreter's insides.
C_PUBLIC = {
    *("builtin", "compile", "mperrno", "nlr", "obj", "runtime"),
    *("objarray", "objexcept", "objint", "objstr", "objtuple", "smallint"),
}
C_INSIDE = {
    "kmod/entry.h": {"mpstate"},
    "kmod/gil.c": {"gc"},  # safe points run finalisers
    "kmod/restart.c": {"mpstate"},  # what is left of an interpreter that faulted
    "kmod/debug/info.c": {
        *("bc", "gc", "mpz", "objfun", "objlist", "objmodule", "objnamedtuple", "objtype"),
    },
    "kmod/debug/private.h": {"bc"},
    "kmod/ffi/buffer.c": {"gc"},  # a collection frees buffers
    "kmod/ffi/convert.c": {"gc"},  # room behind a bytearray for its NUL
    "kmod/ffi/handler.c": {"bc", "objfun", "objtype"},  # how many arguments a handler takes
    "kmod/ffi/listing.c": {"repl"},  # completion
    "kmod/structs/field.c": {"qstr"},  # names of members
}


def test_kmod_stays_out_of_the_interpreters_insides() -> None:
    seen = 0
    for path in sorted((ROOT / "kmod").rglob("*.[chS]")):
        name = str(path.relative_to(ROOT))
        used = set(re.findall(r'#include "py/(\w+)\.h"', path.read_text()))
        seen += len(used)
        assert used <= C_PUBLIC | C_INSIDE.get(name, set()), name
    assert seen > 10
