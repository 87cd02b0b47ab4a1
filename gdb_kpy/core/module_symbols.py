# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols of loaded modules, from the tables that the kernel keeps for kallsyms."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gdb_kpy.core.errors import CorruptError, FaultError
from gdb_kpy.core.memory import Read, u32, u64

_SYMBOL = struct.Struct("<IBBHQQ")
_MOST_SYMBOLS = 1 << 17
_LONGEST_NAME = 512  # KSYM_NAME_LEN
_PAGE = 4096


@dataclass(frozen=True)
class Offsets:
    """Offsets in ``struct module`` and ``struct mod_kallsyms``, from the kernel's debug info."""

    kallsyms: int
    symtab: int
    num_symtab: int
    strtab: int


class ModuleSymbols:
    """Symbols of modules by name; the tables of a module are read once."""

    def __init__(self, read: Read, offsets: Offsets) -> None:
        self._read = read
        self._offsets = offsets
        self._known: dict[tuple[int, int], dict[str, int]] = {}

    def find(self, module: int, name: str) -> int | None:
        """Return the address of a symbol of the module at an address, None when it has none."""
        tables = u64(self._read, module + self._offsets.kallsyms)
        if not tables:
            return None
        symbols = u64(self._read, tables + self._offsets.symtab)
        key = (module, symbols)
        if key not in self._known:
            self._known[key] = self._load(tables, symbols)
        return self._known[key].get(name)

    def _load(self, tables: int, symbols: int) -> dict[str, int]:
        count = u32(self._read, tables + self._offsets.num_symtab)
        if count > _MOST_SYMBOLS:
            raise CorruptError(tables, "symbols of a module", f"at most {_MOST_SYMBOLS}", count)
        raw = self._read(symbols, count * _SYMBOL.size) if count else b""
        entries = [each for each in _SYMBOL.iter_unpack(raw) if each[0] and each[3]]
        last = max((each[0] for each in entries), default=0)
        strings = self._strings(u64(self._read, tables + self._offsets.strtab), last)
        found: dict[str, int] = {}
        for at, _info, _other, _section, value, _size in entries:
            end = strings.find(b"\0", at)
            if end > at:
                found.setdefault(strings[at:end].decode("utf-8", "replace"), value)
        return found

    def _strings(self, start: int, last: int) -> bytes:
        """Read the names; the table's length is not kept, and behind it may be nothing."""
        try:
            return self._read(start, last + _LONGEST_NAME)
        except FaultError:
            end = (start + last) // _PAGE * _PAGE + _PAGE
            return self._read(start, end - start)
