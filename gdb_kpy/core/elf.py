# SPDX-License-Identifier: GPL-2.0-or-later
"""The few things needed from an ELF file at once: build-id, sections, some symbols.

A vmlinux has 600 MB; this maps it and looks only where the answer is (milliseconds, where a
general ELF library walks the whole symbol table in seconds).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gdb_kpy.core.errors import AbsentError

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SHT_SYMTAB = 2
_SHT_NOBITS = 8
_NT_GNU_BUILD_ID = 3
_GLOBAL = 1


@dataclass(frozen=True)
class Section:
    """A section header; what the decoders need of it."""

    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int


def notes(raw: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Iterate over (name, type, description) of the notes in a note section."""
    at = 0
    while at + 12 <= len(raw):
        name_size, size, kind = struct.unpack_from("<III", raw, at)
        name_at = at + 12
        data_at = name_at + (name_size + 3) // 4 * 4
        end = data_at + (size + 3) // 4 * 4
        if data_at + size > len(raw):
            return
        yield raw[name_at : name_at + name_size].rstrip(b"\0"), kind, raw[data_at : data_at + size]
        at = end


def build_id(raw: bytes) -> str:
    """Find the GNU build-id in a note section; empty when there is none."""
    for name, kind, data in notes(raw):
        if name == b"GNU" and kind == _NT_GNU_BUILD_ID:
            return data.hex()
    return ""


class ElfFile:
    """A 64-bit little-endian ELF file, mapped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "the file is empty"
            raise AbsentError(f"cannot open {path}", reason) from None
        self._sections = self._read_sections()

    def _read_sections(self) -> list[Section]:
        not_elf = AbsentError(f"{self.path} is not an x86-64 ELF file")
        if self._map[:6] != b"\x7fELF\x02\x01" or len(self._map) < 64:
            raise not_elf
        (table,) = struct.unpack_from("<Q", self._map, 40)
        entry, count, names = struct.unpack_from("<HHH", self._map, 58)
        if entry != _SECTION.size or table + entry * count > len(self._map) or names >= count:
            raise not_elf
        raw = [_SECTION.unpack_from(self._map, table + i * entry) for i in range(count)]
        strings = raw[names][4]
        return [Section(self._string(strings + s[0]), s[1], s[3], s[4], s[5], s[6]) for s in raw]

    def _string(self, offset: int) -> str:
        end = self._map.find(b"\0", offset)
        return self._map[offset:end].decode("utf-8", "replace")

    def section(self, name: str) -> Section | None:
        """Return the first section of that name."""
        return next((s for s in self._sections if s.name == name), None)

    def content(self, section: Section) -> bytes:
        """Return a section's bytes."""
        if section.kind == _SHT_NOBITS:
            return bytes(section.size)
        return self._map[section.offset : section.offset + section.size]

    def build_id(self) -> str:
        """Return the GNU build-id in hex; empty when the file has none."""
        for name in (".note.gnu.build-id", ".notes"):
            section = self.section(name)
            if section is not None:
                found = build_id(self.content(section))
                if found:
                    return found
        return ""

    def symbols(self, wanted: Iterable[str]) -> dict[str, int]:
        """Look up the values of some symbols in one pass; a global one wins over locals."""
        table = next((s for s in self._sections if s.kind == _SHT_SYMTAB), None)
        if table is None:
            raise AbsentError(f"{self.path} has no symbol table", "use the unstripped file")
        strings = self._sections[table.link]
        end = strings.offset + strings.size
        names: dict[int, str] = {}
        for name in set(wanted):
            needle = name.encode() + b"\0"  # a linker lets a name be the tail of another
            at = self._map.find(needle, strings.offset, end)
            while at >= 0:
                names[at - strings.offset] = name
                at = self._map.find(needle, at + 1, end)
        found: dict[str, int] = {}
        is_global: set[str] = set()
        for index, kind, _other, section, value, _size in _SYMBOL.iter_unpack(self.content(table)):
            if index in names and section and names[index] not in is_global:
                found[names[index]] = value
                if kind >> 4 == _GLOBAL:
                    is_global.add(names[index])
        return found
