# SPDX-License-Identifier: GPL-2.0-or-later
"""Loaded modules as the kernel lists them: names, sections, exported symbols, exception tables."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gdb_kpy.core.errors import AbsentError, CorruptError
from gdb_kpy.core.memory import MASK64, Read, cstring, u32, u64

STATE_LIVE = 0
STATES = {0: "live", 1: "being loaded", 2: "being removed", 3: "being set up"}
_MOST_MODULES = 2000
_MOST_SECTIONS = 1000
_MOST_SYMBOLS = 100_000
_MODULE_NAME = 64
_KSYM = struct.Struct("<iii")  # value, name and namespace, each relative to its own place


@dataclass(frozen=True)
class Offsets:
    """Offsets in ``struct module`` and its section attributes, from the kernel's debug info."""

    list: int
    name: int
    state: int
    syms: int
    num_syms: int
    gpl_syms: int
    num_gpl_syms: int
    extable: int
    num_exentries: int
    sect_attrs: int
    nsections: int
    attrs: int
    attr_size: int
    attr_name: int
    attr_address: int
    ksym_size: int


@dataclass(frozen=True)
class Module:
    """A module in the kernel's list."""

    address: int
    name: str
    state: int


def walk(read: Read, head: int, off: Offsets) -> Iterator[Module]:
    """Iterate over the modules, newest first."""
    at = u64(read, head)
    seen = 0
    while at != head:
        seen += 1
        if seen > _MOST_MODULES or not at >> 63:
            raise CorruptError(head, "list of modules", "a closed list", f"{at:#x}")
        module = at - off.list
        name = cstring(read, module + off.name, _MODULE_NAME)
        yield Module(module, name, u32(read, module + off.state))
        at = u64(read, at)


def find(read: Read, head: int, off: Offsets, name: str) -> Module | None:
    """Find a module by its name."""
    return next((m for m in walk(read, head, off) if m.name == name), None)


def sections(read: Read, module: Module, off: Offsets) -> dict[str, int]:
    """Return the addresses of a module's sections; those of init are gone after loading."""
    attrs = u64(read, module.address + off.sect_attrs)
    if not attrs:
        raise AbsentError(f"the kernel keeps no section addresses of module {module.name}")
    count = u32(read, attrs + off.nsections)
    if not 0 < count <= _MOST_SECTIONS:
        raise CorruptError(attrs, "number of sections", f"1 to {_MOST_SECTIONS}", count)
    raw = read(attrs + off.attrs, count * off.attr_size)
    found: dict[str, int] = {}
    for start in range(0, len(raw), off.attr_size):
        (name,) = struct.unpack_from("<Q", raw, start + off.attr_name)
        (address,) = struct.unpack_from("<Q", raw, start + off.attr_address)
        found[cstring(read, name)] = address
    return found


def exported(read: Read, module: Module, off: Offsets, name: str) -> int:
    """Return the address of a symbol that the module exports (GPL-only or not)."""
    tables = ((off.gpl_syms, off.num_gpl_syms), (off.syms, off.num_syms))
    for table_at, count_at in tables:
        table = u64(read, module.address + table_at)
        count = u32(read, module.address + count_at)
        if count > _MOST_SYMBOLS:
            raise CorruptError(module.address, "exported symbols", f"<= {_MOST_SYMBOLS}", count)
        if not count:
            continue
        raw = read(table, count * off.ksym_size)
        for start in range(0, len(raw), off.ksym_size):
            value, label, _namespace = _KSYM.unpack_from(raw, start)
            at = table + start
            if cstring(read, (at + 4 + label) & MASK64) == name:
                return int(at + value) & MASK64
    raise AbsentError(f"module {module.name} does not export {name}")


def exception_table(read: Read, module: Module, off: Offsets) -> tuple[int, int]:
    """Return address and number of entries of the module's own exception table."""
    table = u64(read, module.address + off.extable)
    return table, u32(read, module.address + off.num_exentries)
