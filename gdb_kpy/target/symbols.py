# SPDX-License-Identifier: GPL-2.0-or-later
"""GDB's own symbols and types: what is loaded where, names of addresses, layouts of structs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import gdb

from gdb_kpy.core.errors import AbsentError, KpyError
from gdb_kpy.core.memory import MASK64


def load_kernel(path: Path, offset: int, banner: int) -> bool:
    """Give GDB the kernel's symbols, moved by ``offset``; False when it had them.

    ``banner`` is where linux_banner must be then. (GDB moves per-CPU symbols too, wrongly.)
    """
    program = gdb.current_progspace()
    if program is not None and program.filename == str(path):
        try:
            value = gdb.parse_and_eval("(unsigned long)&linux_banner")
            if int(value) & MASK64 == banner:
                return False
        except gdb.error:
            pass
    shift = f"-o {offset:#x} " if offset else ""
    _quietly(f'symbol-file {shift}"{path}"')
    return True


def load_module(path: Path, addresses: dict[str, int]) -> None:
    """Give GDB a module's symbols, section by section."""
    rest = " ".join(f"-s {name} {at:#x}" for name, at in addresses.items() if name != ".text")
    # GDB 13 caches the index of a relocatable file with the addresses of its first load, and
    # trusts it when the module lies elsewhere: "pc in address map, but not in symtab".
    _quietly(
        f'with index-cache enabled off -- add-symbol-file "{path}" {addresses[".text"]:#x} {rest}'
    )


def drop(address: int) -> None:
    """Take away the symbols of a file that was loaded around an address."""
    with contextlib.suppress(KpyError):
        _quietly(f"remove-symbol-file -a {address:#x}")


def symbol_at(address: int) -> str:
    """Name the function or object at an address, with the offset; the address itself if none."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    if text.startswith("No symbol"):
        return f"{address:#x}"
    name = text.split(" in section ")[0].strip()
    return name.replace(" + ", "+")


def offset_of(type_name: str, *members: str) -> dict[str, int]:
    """Return offsets of (dotted) members of a kernel type, in bytes, from its debug info."""
    kind = _type(type_name)
    return {member: _offset(kind, type_name, member) for member in members}


def size_of(type_name: str) -> int:
    """Return the size of a kernel type."""
    return _type(type_name).sizeof


def _type(name: str) -> gdb.Type:
    try:
        return gdb.lookup_type(name).strip_typedefs()
    except gdb.error:
        raise AbsentError(
            f"the vmlinux has no debug info for {name}", "install the -dbg package's vmlinux"
        ) from None


def _offset(kind: gdb.Type, type_name: str, member: str) -> int:
    total = 0
    for part in member.split("."):
        hit = _field(kind, part)
        if hit is None:
            raise AbsentError(f"this kernel's {type_name} has no member {member}")
        total += hit[0]
        kind = hit[1].strip_typedefs()
    return total


def _field(kind: gdb.Type, name: str) -> tuple[int, gdb.Type] | None:
    """Find a member, in anonymous members too."""
    for field in kind.fields():
        bits = field.bitpos
        if field.type is None or bits is None:
            continue
        if field.name == name:
            return bits // 8, field.type
        inner = field.type.strip_typedefs()
        if not field.name and inner.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            hit = _field(inner, name)
            if hit is not None:
                return bits // 8 + hit[0], hit[1]
    return None


def _quietly(command: str) -> None:
    try:
        gdb.execute("with confirm off -- " + command, to_string=True)
    except gdb.error as error:
        raise KpyError(f"GDB could not load symbols ({error})") from None


def has_index(build_id: str) -> bool:
    """Say whether GDB's cache has an index for a file, so that loading it is quick."""
    directory = gdb.parameter("index-cache directory")
    return isinstance(directory, str) and (Path(directory) / f"{build_id}.gdb-index").exists()
