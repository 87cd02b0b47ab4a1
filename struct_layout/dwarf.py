# SPDX-License-Identifier: GPL-2.0-or-later
"""Types from the DWARF of a vmlinux, a module or any ELF file, by name.

`open_dwarf(path)` finds or makes the index of the file; after that only the entries of the types
that are asked for are read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Union

from struct_layout.cache import cache_folder
from struct_layout.dwarf_index import (
    KINDS,
    Index,
    Progress,
    build_index,
    load_index,
    save_index,
)
from struct_layout.dwarf_units import (
    AT,
    TAG,
    TYPE_UNITS,
    Abbrevs,
    Die,
    DwarfError,
    Signature,
    Unit,
    uleb,
    unit_headers,
)
from struct_layout.elf import DwarfFile
from struct_layout.model import (
    Array,
    Base,
    Complex,
    Enum,
    Function,
    Member,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    Void,
    size_of,
    strip,
)

_MAX_DEPTH = 60
_SMALL = 4 << 20  # of .debug_info: such files are indexed as fast as an index is found

# DW_ATE_*: the encodings of base types.
_ATE_COMPLEX = (3, 0x80)  # DW_ATE_complex_float, and GCC's for _Complex int
_ENCODINGS = {
    2: "bool", 4: "float", 5: "signed", 6: "signed", 7: "unsigned", 8: "unsigned",
    0x0D: "signed", 0x0E: "unsigned", 0x0F: "float", 0x10: "unsigned", 0x11: "unsigned",
    0x12: "unsigned",
}  # fmt: skip
_QUALIFIERS = {
    TAG["const_type"]: "c",
    TAG["volatile_type"]: "v",
    TAG["restrict_type"]: "r",
    TAG["atomic_type"]: "a",
}
_DW_OP_PLUS_UCONST = 0x23

Named = Union[Record, Enum, Typedef]


class DwarfSource:
    """The named types of one ELF file."""

    label = "dwarf"

    def __init__(self, file: DwarfFile, index: Index, abbrevs: Abbrevs) -> None:
        self.path = file.path
        self.build_id = file.build_id
        self._file = file
        self._index = index
        self._abbrevs = abbrevs
        self._big_endian = file.sections.big_endian
        self._units: dict[int, Unit] = {}
        self._types: dict[int, Type] = {}
        self.machine = (file.pointer_size, self._big_endian)
        self._signatures: dict[int, int] | None = None
        self._state = _state(file.path)

    def is_current(self) -> bool:
        """Say whether the file is still the one that was opened."""
        return self._state is not None and self._state == _state(self.path)

    def close(self) -> None:
        """Give the file back; types already read stay good, except members not yet asked for."""
        self._file.close()

    def find(self, name: str) -> list[Named]:
        """Return the distinct definitions of the structs, unions, enums and typedefs named so."""
        found: list[Named] = []
        for kind in KINDS.values():
            for offset in self._index.names.get(f"{kind} {name}", ()):
                type = self._type(offset)
                assert isinstance(type, (Record, Enum, Typedef))
                found.append(type)
        return found

    def type_names(self) -> list[str]:
        """Return the names of all structs, unions, enums and typedefs, sorted."""
        return sorted({name.split(" ", 1)[1] for name in self._index.names})

    # ---- Entries to types --------------------------------------------------------------------

    def _unit(self, offset: int) -> Unit:
        number = bisect_right(self._index.units, offset) - 1
        unit = self._units.get(number)
        if unit is None:
            if number < 0:
                raise DwarfError(f"DWARF has no unit at {offset:#x}")
            start = self._index.units[number]
            sections = self._file.sections
            window = sections.info[start:]
            header = next(unit_headers(window, self._big_endian), None)
            if header is None:
                raise DwarfError("the DWARF file was closed")
            header = header._replace(
                offset=start, first=header.first + start, end=header.end + start
            )
            unit = self._units[number] = Unit(header, sections, self._abbrevs)
        return unit

    def _signed(self, signature: int) -> int:
        """Return the offset of the type of a type unit."""
        if self._signatures is None:
            headers = unit_headers(self._file.sections.info, self._big_endian)
            self._signatures = {h.signature: h.type_at for h in headers if h.kind in TYPE_UNITS}
        found = self._signatures.get(signature)
        if found is None:
            raise DwarfError(f"DWARF has no type unit of the signature {signature:#x}")
        return found

    def _type(self, offset: int | None, depth: int = 0) -> Type:
        if offset is None:
            return Void()
        if isinstance(offset, Signature):
            offset = self._signed(offset)
        known = self._types.get(offset)
        if known is not None:
            return known
        if depth > _MAX_DEPTH:
            raise DwarfError(f"DWARF type at {offset:#x} contains itself")
        unit = self._unit(offset)
        die = unit.die(offset)
        if die is None:
            raise DwarfError(f"DWARF has no type at {offset:#x}")
        made = self._make(unit, die, depth + 1)
        self._types[offset] = made
        return made

    def _make(self, unit: Unit, die: Die, depth: int) -> Type:
        tag, attributes = die.tag, die.attributes
        if isinstance(attributes.get(AT["signature"]), Signature):
            # A declaration of what a type unit defines.
            return self._type(die.reference(AT["signature"]), depth)
        name = die.text(AT["name"])
        size = die.number(AT["byte_size"])
        if tag in (TAG["structure_type"], TAG["union_type"]):
            return Record(
                KINDS[tag],
                name,
                size,
                die.number(AT["alignment"]),
                load=lambda: self._members(unit, die),
                incomplete=AT["declaration"] in attributes,
            )
        if tag == TAG["enumeration_type"]:
            return self._enum(unit, die, depth)
        if tag == TAG["base_type"]:
            return self._base(name or "", size, die)
        if tag == TAG["unspecified_type"]:
            return Void()
        if tag == TAG["array_type"]:
            return self._array(unit, die, depth)
        if tag == TAG["subroutine_type"]:
            return self._function(unit, die, depth)
        target = self._type(die.reference(AT["type"]), depth)
        if tag == TAG["typedef"]:
            return Typedef(name or "", target)
        if tag == TAG["pointer_type"]:
            return Pointer(target, size or unit.header.address_size)
        if tag in _QUALIFIERS:
            return Qualified(_QUALIFIERS[tag], target)
        return Opaque(size or None, f"DWARF tag {tag:#x}")

    def _base(self, name: str, size: int, die: Die) -> Type:
        encoding = die.number(AT["encoding"])
        if encoding in _ATE_COMPLEX:
            return Complex(Opaque(size // 2, name), size)
        if encoding not in _ENCODINGS or size > 0xFF:
            return Opaque(size, name)
        kind = _ENCODINGS[encoding]
        return Base(name, size, kind, die.number(AT["bit_size"], 1 if kind == "bool" else size * 8))

    def _enum(self, unit: Unit, die: Die, depth: int) -> Enum:
        size = die.number(AT["byte_size"])
        constants = [
            (child.text(AT["name"]) or "", child.number(AT["const_value"]))
            for child in unit.children(die)
            if child.tag == TAG["enumerator"]
        ]
        if AT["type"] in die.attributes:
            under = strip(self._type(die.reference(AT["type"]), depth))
            signed = isinstance(under, Base) and under.encoding == "signed"
            size = size or getattr(under, "size", 0)
        else:
            signed = any(value < 0 for _, value in constants)
        return Enum(
            die.text(AT["name"]),
            size,
            signed,
            [(name, _wrap(value, size * 8, signed)) for name, value in constants],
            incomplete=AT["declaration"] in die.attributes,
        )

    def _array(self, unit: Unit, die: Die, depth: int) -> Type:
        target = self._type(die.reference(AT["type"]), depth)
        counts: list[tuple[int | None, bool]] = []
        for child in unit.children(die):
            if child.tag == TAG["subrange_type"]:
                counts.append(_count(child))
        if die.attributes.get(AT["GNU_vector"]):
            parts = counts[0][0] if counts else 0
            whole = (size_of(target) or 0) * (parts or 0)
            return Vector(target, die.number(AT["byte_size"], whole))
        for count, variable in reversed(counts):
            target = Array(target, count, variable)
        return target

    def _function(self, unit: Unit, die: Die, depth: int) -> Function:
        params: list[Type] = []
        variadic = False
        for child in unit.children(die):
            if child.tag == TAG["formal_parameter"]:
                params.append(self._type(child.reference(AT["type"]), depth))
            elif child.tag == TAG["unspecified_parameters"]:
                variadic = True
        prototyped = bool(die.attributes.get(AT["prototyped"]))
        return Function(
            self._type(die.reference(AT["type"]), depth),
            tuple(params),
            variadic and prototyped,
            prototyped,
        )

    def _members(self, unit: Unit, die: Die) -> Iterable[Member]:
        for child in unit.children(die):
            if child.tag == TAG["member"]:
                yield self._member(child)

    def _member(self, die: Die) -> Member:
        attributes = die.attributes
        type = self._type(die.reference(AT["type"]))
        offset = _location(die) * 8
        bits = die.reference(AT["bit_size"])
        if bits is not None:
            if AT["data_bit_offset"] in attributes:
                offset += die.number(AT["data_bit_offset"])
            elif AT["bit_offset"] in attributes:
                offset += self._old_bit_offset(die, bits, type)
        return Member(die.text(AT["name"]), offset, bits, type)

    def _old_bit_offset(self, die: Die, bits: int, type: Type) -> int:
        """DWARF 2 and 3 count from the most significant bit of the storage unit."""
        from_top = die.number(AT["bit_offset"])
        if self._big_endian:
            return from_top
        storage = die.number(AT["byte_size"]) or size_of(type) or 0
        return storage * 8 - from_top - bits


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _location(die: Die) -> int:
    """Return the offset of a member in bytes; DWARF 2 has a little program for it."""
    location = die.attributes.get(AT["data_member_location"], 0)
    if not isinstance(location, bytes):
        return die.number(AT["data_member_location"])
    if len(location) < 2 or location[0] != _DW_OP_PLUS_UCONST or location[-1] >= 0x80:
        raise DwarfError(f"DWARF member at {die.offset:#x} has a computed place")
    return uleb(location, 1)[0]


def _wrap(value: int, bits: int, signed: bool) -> int:
    """Constants are stored now with, now without their sign: bring them into the enum's range."""
    if bits:
        value &= (1 << bits) - 1
        if signed and value >> (bits - 1):
            value -= 1 << bits
    return value


def _count(die: Die) -> tuple[int | None, bool]:
    """Return the length that a subrange gives, and whether it is known only at run time."""
    for attribute, more in ((AT["count"], 0), (AT["upper_bound"], 1)):
        value = die.attributes.get(attribute)
        if isinstance(value, int):
            # An upper bound of -1, however wide, is no element.
            return (
                0 if more and value in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF) else value + more
            ), False
        if value is not None:
            return None, True
    return None, False


def open_dwarf(
    path: str | Path,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> DwarfSource:
    """Open the DWARF of an ELF file, with its index from the cache or made now.

    `cache` is the folder of cached indexes (default: that of kpy). `progress`, called with bytes
    done and in all while the index is made, may raise to stop.
    """
    file = DwarfFile(Path(path))
    size = len(file.sections.info)
    abbrevs = Abbrevs(file.sections.abbrev)
    folder = cache_folder("dwarf-index") if cache is None else cache
    keep = file.build_id is not None and size > _SMALL
    index = load_index(folder, file.build_id, size) if keep and file.build_id else None
    if index is None:
        try:
            index = build_index(file, abbrevs, progress)
        except BaseException:
            file.close()
            raise
        if keep and file.build_id:
            save_index(folder, file.build_id, size, index)
    return DwarfSource(file, index, abbrevs)
