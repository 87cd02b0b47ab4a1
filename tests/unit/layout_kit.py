# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers of the layout tests: compile C with the plugin and with -g, and read pahole's view."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from struct_layout.gcc import NEWEST, OLDEST, build_plugin
from struct_layout.graph import reach
from struct_layout.merge import merge
from struct_layout.model import Contents, Identity
from struct_layout.records import read_unit
from struct_layout.table import Table
from struct_layout.table_writer import write_graph

ROOT = Path(__file__).resolve().parents[2]
# What the tests compile with; test_layout_plugin.py goes through all of compilers().
GCC = "gcc-12"


def compilers() -> list[str]:
    """Return the GCCs that are installed with what a plugin needs; always gcc-12."""
    others = []
    for major in range(OLDEST, NEWEST + 1):
        name = f"gcc-{major}"
        if name == GCC or not shutil.which(name) or not shutil.which(f"g++-{major}"):
            continue
        folder = run(name, "-print-file-name=plugin").strip()
        if Path(folder, "include", "gcc-plugin.h").exists():
            others.append(name)
    return [GCC, *others]


def plugin() -> Path:
    """Return the plugin, built now if it is not there or old."""
    output = ROOT / "build" / "test-plugin" / GCC / "kpy_layout.so"
    build_plugin(output, GCC)
    return output


def run(*command: str | Path) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def records(source: Path, *flags: str) -> Path:
    """Compile C with the plugin; return what it wrote."""
    output = source.with_suffix(".records")
    output.unlink(missing_ok=True)
    run(
        GCC, "-std=gnu11", "-w", "-c", f"-fplugin={plugin()}",
        f"-fplugin-arg-kpy_layout-output={output}", *flags, source, "-o", source.with_suffix(".o"),
    )  # fmt: skip
    return output


def table_of(source: Path, *flags: str) -> Table:
    """Compile C with the plugin; return the table of it."""
    return table_from(records(source, *flags))


def table_from(*units: Path) -> Table:
    """Return the table of what the plugin wrote."""
    graph = merge([read_unit(unit).graph for unit in units])
    return Table(write_graph(graph, reach(graph), Identity("test", GCC)))


def contents_of(*units: Path) -> Contents:
    """Return the types and declarations that the plugin wrote, as objects to be changed."""
    table = table_from(*units)
    return Contents([*table.all_types(), *table.enums()], list(table.declarations()))


def debug_info(source: Path, *flags: str, link: bool = True) -> Path:
    """Compile C with GCC's own debug information for all types, used or not."""
    output = source.with_suffix(".so" if link else ".debug.o")
    kind = ("-shared", "-nostdlib", "-fPIC") if link else ("-c",)
    run(
        GCC, "-std=gnu11", "-w", "-g", "-fno-eliminate-unused-debug-types", *kind, *flags, source,
        "-o", output,
    )  # fmt: skip
    return output


class Place(NamedTuple):
    """Where pahole says that a member is."""

    offset: int  # bits
    bits: int | None
    size: int  # bytes, 0 for bitfields


_OPEN = re.compile(r"^\s*(?:typedef )?(?:const )?(?:volatile )?(struct|union)(?: (\w+))? \{$")
_CLOSE = re.compile(r"^\s*\}(?:[ *]+(\w+)(?:\[\d*\])*)?;(?:\s*/\*\s+(\d+)\s+(\d+) \*/)?")
_PLACE = r";\s*/\*\s+(\d+)(?::\s*(\d+))?\s+(\d+) \*/"
_MEMBER = re.compile(r"^\s.*?(\w+)(?:\[[\d\]\[]*)?(?::(\d+))?" + _PLACE)
_POINTER = re.compile(r"\(\*+(\w+)(?:\[\d*\])*\)(?:\(|\[).*?()" + _PLACE)
_ATTRIBUTE = re.compile(r"\s*__attribute__\(\((?:[^()]|\([^()]*\))*\)\)")


def pahole(path: Path, *flags: str) -> dict[str, tuple[int, dict[str, Place]]]:
    """Return pahole's "struct name" → (size, member path → place) for all it prints.

    Members of unnamed structs inside a named member are left out, those of anonymous members
    stand for themselves.
    """
    text = run("pahole", *flags, path)
    found: dict[str, tuple[int, dict[str, Place]]] = {}
    twice: set[str] = set()
    name = ""
    blocks: list[dict[str, Place]] = []
    for line in (_ATTRIBUTE.sub("", line) for line in text.splitlines()):
        opened = _OPEN.match(line)
        if opened:
            if not blocks:
                name = f"{opened.group(1)} {opened.group(2)}"
            blocks.append({})
            continue
        if not blocks:
            continue
        closed = _CLOSE.match(line)
        if closed:
            inner = blocks.pop()
            if not blocks:
                continue
            if closed and closed[1]:
                inner = {closed[1]: Place(int(closed[2]) * 8, None, int(closed[3]))}
            blocks[-1].update(inner)
            continue
        size = re.match(r"^\s*/\* size: (\d+)", line)
        if size and len(blocks) == 1:
            if name in found:
                twice.add(name)
            found[name] = (int(size.group(1)), blocks[0])
            continue
        member = _POINTER.search(line) or _MEMBER.match(line)
        if member:
            bits = int(member[2]) if member[2] else None
            offset = int(member[3]) * 8 + int(member[4] or 0)
            blocks[-1][member[1]] = Place(offset, bits, 0 if bits else int(member[5]))
    for name in twice:
        del found[name]
    return found


def kernel() -> dict[str, str]:
    """Return build/<release>/kernel.json; the test is skipped when nothing was built."""
    release = ROOT / "build" / "release"
    if not release.exists():
        pytest.skip("no kernel was built: run make")
    folder = ROOT / "build" / release.read_text().strip()
    info: dict[str, str] = json.loads((folder / "kernel.json").read_text())
    info["folder"] = str(folder)
    if not Path(info["vmlinux"]).exists():
        pytest.skip("there is no vmlinux: run make")
    return info
