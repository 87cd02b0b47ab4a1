# SPDX-License-Identifier: GPL-2.0-or-later
"""The raw side of DWARF 4 and 5: units, abbreviations and the values of attributes.

pyelftools decodes all of this too, at about 7 µs per entry; here an entry takes 1–2 µs, which
makes the difference between minutes and seconds for the 16 million entries of a vmlinux.
Sections, relocations and the names of constants are pyelftools'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from elftools.dwarf.enums import ENUM_DW_AT, ENUM_DW_FORM, ENUM_DW_TAG

from struct_layout.elf import Buffer, Sections
from struct_layout.model import LayoutError

AT = {name[6:]: value for name, value in ENUM_DW_AT.items() if name.startswith("DW_AT_")}
TAG = {name[7:]: value for name, value in ENUM_DW_TAG.items() if name.startswith("DW_TAG_")}
FORM = {name[8:]: value for name, value in ENUM_DW_FORM.items() if name.startswith("DW_FORM_")}
FORM_NAME = {value: name for name, value in FORM.items()}

SPLIT_UNITS = (4, 5)  # DW_UT_skeleton, DW_UT_split_compile
TYPE_UNITS = (2, 6)  # DW_UT_type, DW_UT_split_type: signature and offset follow
DWO_NAMES = (0x76, 0x2130)  # DW_AT_dwo_name, DW_AT_GNU_dwo_name: of a unit that is elsewhere


class DwarfError(LayoutError):
    """The DWARF data is damaged, or of a kind that is not supported."""


class Abbrev(NamedTuple):
    """How entries with one abbreviation code are laid out."""

    tag: int
    children: bool
    attributes: tuple[tuple[int, int, int], ...]  # attribute, form, implicit constant


class UnitHeader(NamedTuple):
    """Where a unit is and how to read it. Offsets are in .debug_info."""

    offset: int
    first: int  # of its first entry
    end: int
    version: int
    kind: int
    offset_size: int
    address_size: int
    abbrev: int
    signature: int = 0  # of a type unit
    type_at: int = 0  # where its type is


class Signature(int):
    """The value of DW_FORM_ref_sig8: the signature of a type unit."""


def unit_headers(info: Buffer, big_endian: bool) -> Iterator[UnitHeader]:
    """Iterate over the headers of all units."""
    order = "big" if big_endian else "little"
    at, size = 0, len(info)

    def number(start: int, length: int) -> int:
        if start + length > size:
            raise DwarfError("DWARF is cut in the middle of a unit's header")
        return int.from_bytes(info[start : start + length], order)  # type: ignore[arg-type]

    while at < size:
        length, offset_size, here = number(at, 4), 4, at + 4
        if length == 0xFFFFFFFF:
            length, offset_size, here = number(here, 8), 8, here + 8
        end = here + length
        if end > size or length < 7:
            raise DwarfError(f"DWARF unit at {at:#x} ends beyond its section")
        version = number(here, 2)
        signature = type_at = 0
        if version == 5:
            kind, address_size = number(here + 2, 1), number(here + 3, 1)
            abbrev = number(here + 4, offset_size)
            first = here + 4 + offset_size
            if kind in SPLIT_UNITS:
                first += 8
            elif kind in TYPE_UNITS:
                signature, type_at = number(first, 8), at + number(first + 8, offset_size)
                first += 8 + offset_size
        elif version in (2, 3, 4):
            kind, abbrev = 1, number(here + 2, offset_size)
            address_size = number(here + 2 + offset_size, 1)
            first = here + 3 + offset_size
        else:
            raise DwarfError(f"DWARF version {version} is not supported (2 to 5 are)")
        yield UnitHeader(
            at, first, end, version, kind, offset_size, address_size, abbrev, signature, type_at
        )
        at = end


def uleb(data: Buffer, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128; return it and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def sleb(data: Buffer, at: int) -> tuple[int, int]:
    """Read a signed LEB128; return it and where it ends."""
    start = at
    value, at = uleb(data, at)
    if data[at - 1] & 0x40:
        value -= 1 << (7 * (at - start))
    return value, at


# One declaration: code, then tag, children and pairs up to a pair of zeros. DW_FORM_implicit_const
# (0x21) is followed by its value.
_LEB = rb"(?:[\x80-\xff]*[\x00-\x7f])"
_DECLARATION = re.compile(
    rb"([\x80-\xff]*[\x01-\x7f])"
    rb"((?:[\x80-\xff]*[\x01-\x7f])[\x00\x01]"
    rb"(?:(?:[\x80-\xff]*[\x01-\x7f])(?:\x21" + _LEB + rb"|[\x01-\x20\x22-\x7f]|[\x80-\xff]+"
    rb"[\x00-\x7f]))*)\x00\x00"
)  # fmt: skip


class Abbrevs:
    """The abbreviation tables. Kernel units repeat the same declarations over and over."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._known: dict[bytes, Abbrev] = {}
        self._tables: dict[int, dict[int, bytes]] = {}

    def raw(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Iterate over the (code, declaration) pairs of the table at `offset`."""
        scanner = _DECLARATION.scanner(self._data, offset)  # type: ignore[attr-defined]
        while True:
            match = scanner.match()
            if match is None:
                return
            code, body = match.groups()
            yield (code[0] if len(code) == 1 else uleb(code, 0)[0]), body

    def parse(self, body: bytes) -> Abbrev:
        """Take a declaration apart."""
        known = self._known.get(body)
        if known is None:
            tag, at = uleb(body, 0)
            children = bool(body[at])
            at += 1
            attributes: list[tuple[int, int, int]] = []
            while at < len(body):
                attribute, at = uleb(body, at)
                form, at = uleb(body, at)
                value = 0
                if form == FORM["implicit_const"]:
                    value, at = sleb(body, at)
                attributes.append((attribute, form, value))
            known = self._known[body] = Abbrev(tag, children, tuple(attributes))
        return known

    def table(self, offset: int) -> dict[int, bytes]:
        """Return the declarations of the table at `offset`, by code."""
        table = self._tables.get(offset)
        if table is None:
            if offset >= len(self._data):
                raise DwarfError(f"DWARF refers to abbreviations at {offset:#x}, beyond them")
            table = self._tables[offset] = dict(self.raw(offset))
        return table


# Forms whose values have a fixed size; "o" is the offset size, "a" the address size.
_FIXED = {
    "addr": "a", "data1": 1, "data2": 2, "data4": 4, "data8": 8, "data16": 16, "flag": 1,
    "flag_present": 0, "implicit_const": 0, "ref1": 1, "ref2": 2, "ref4": 4, "ref8": 8,
    "ref_sig8": 8, "strp": "o", "line_strp": "o", "sec_offset": "o", "ref_addr": "o",
    "strp_sup": "o", "ref_sup4": 4, "ref_sup8": 8, "strx1": 1, "strx2": 2, "strx3": 3, "strx4": 4,
    "addrx1": 1, "addrx2": 2, "addrx3": 3, "addrx4": 4, "GNU_ref_alt": "o", "GNU_strp_alt": "o",
}  # fmt: skip
_FIXED_BY_FORM = {FORM[name]: size for name, size in _FIXED.items() if name in FORM}
LEB_FORMS = {
    FORM[name]
    for name in ("sdata", "udata", "ref_udata", "strx", "addrx", "loclistx", "rnglistx",
                 "GNU_addr_index", "GNU_str_index")
    if name in FORM
}  # fmt: skip
BLOCK_FORMS = {FORM["exprloc"], FORM["block"]}
SIZED_BLOCKS = {FORM["block1"]: 1, FORM["block2"]: 2, FORM["block4"]: 4}


def fixed_size(form: int, unit: UnitHeader) -> int | None:
    """Return the size of the values of a form, None when it varies."""
    size = _FIXED_BY_FORM.get(form)
    if size == "o":
        # DW_FORM_ref_addr has the size of an address in DWARF 2.
        return unit.offset_size
    if size == "a":
        return unit.address_size
    return size  # type: ignore[return-value]


_REFERENCES = {FORM["ref1"], FORM["ref2"], FORM["ref4"], FORM["ref8"], FORM["ref_udata"]}
_STRX = {FORM[name] for name in ("strx", "strx1", "strx2", "strx3", "strx4")}


class Die(NamedTuple):
    """A debugging information entry. References are offsets in .debug_info."""

    offset: int
    tag: int
    attributes: dict[int, Any]
    children: int | None  # offset in .debug_info of the first child
    end: int  # where its attributes end

    def number(self, attribute: int, default: int = 0) -> int:
        """Return the value of an attribute that must be a number."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, int):
            raise DwarfError(f"DWARF entry at {self.offset:#x} has text where a number should be")
        return value

    def text(self, attribute: int) -> str | None:
        """Return the value of an attribute that must be text."""
        value = self.attributes.get(attribute)
        if value is not None and not isinstance(value, str):
            raise DwarfError(f"DWARF entry at {self.offset:#x} has a name that is no text")
        return value

    def reference(self, attribute: int) -> int | None:
        """Return the offset that an attribute refers to."""
        return self.number(attribute) if attribute in self.attributes else None


class Unit:
    """One unit, whose entries can be read."""

    def __init__(self, header: UnitHeader, sections: Sections, abbrevs: Abbrevs) -> None:
        self.header = header
        self._sections = sections
        self._order = "big" if sections.big_endian else "little"
        self._abbrevs = abbrevs.table(header.abbrev)
        self._parse = abbrevs.parse
        self._data = bytes(sections.info[header.offset : header.end])
        self._strings_base: int | None = None

    def die(self, offset: int) -> Die | None:
        """Read the entry at `offset`; None for the mark that ends a list of children."""
        at = offset - self.header.offset
        try:
            code, at = uleb(self._data, at)
            if code == 0:
                return None
            abbrev = self._parse(self._abbrevs[code])
            attributes: dict[int, Any] = {}
            for attribute, form, constant in abbrev.attributes:
                if form == 0x21:
                    attributes[attribute] = constant
                else:
                    attributes[attribute], at = self._value(form, at)
        except (IndexError, KeyError):
            raise DwarfError(f"DWARF entry at {offset:#x} is damaged") from None
        end = self.header.offset + at
        if end > self.header.end:
            raise DwarfError(f"DWARF entry at {offset:#x} ends beyond its unit")
        return Die(offset, abbrev.tag, attributes, end if abbrev.children else None, end)

    def children(self, die: Die) -> Iterator[Die]:
        """Iterate over the children of an entry, without their own children."""
        at = die.children
        while at is not None:
            child = self.die(at)
            if child is None:
                return
            yield child
            at = self.after(child)

    def after(self, die: Die) -> int:
        """Return the offset behind an entry and all that is below it."""
        if die.children is None:
            return die.end
        sibling = die.reference(AT["sibling"])
        if sibling is not None:
            if not die.end <= sibling < self.header.end:
                raise DwarfError(f"DWARF entry at {die.offset:#x} has a sibling at {sibling:#x}")
            return sibling
        at, depth = die.children, 1
        while depth:
            child = self.die(at)
            if child is None:
                depth -= 1
                at += 1
            else:
                at = child.end
                depth += child.children is not None
        return at

    def _value(self, form: int, at: int) -> tuple[Any, int]:
        data = self._data
        size = fixed_size(form, self.header)
        if size is not None:
            if at + size > len(data):
                raise IndexError
            value = int.from_bytes(data[at : at + size], self._order)  # type: ignore[arg-type]
            at += size
            if form in _REFERENCES:
                return value + self.header.offset, at
            if form == FORM["ref_sig8"]:
                return Signature(value), at
            if form == FORM["strp"]:
                return _text(self._sections.str, value), at
            if form == FORM["line_strp"]:
                return _text(self._sections.line_str, value), at
            if form in _STRX:
                return self._indexed_string(value), at
            if form == FORM["flag_present"]:
                return True, at
            if FORM_NAME.get(form) in ("GNU_ref_alt", "GNU_strp_alt", "strp_sup"):
                raise DwarfError("DWARF with a supplementary file (dwz -m) is not supported")
            return value, at
        if form == FORM["sdata"]:
            return sleb(data, at)
        if form in LEB_FORMS:
            value, at = uleb(data, at)
            if form == FORM["ref_udata"]:
                value += self.header.offset
            elif form in _STRX:
                return self._indexed_string(value), at
            return value, at
        if form == FORM["string"]:
            end = data.index(0, at)
            return data[at:end].decode("utf-8", "backslashreplace"), end + 1
        if form in BLOCK_FORMS:
            length, at = uleb(data, at)
            return data[at : at + length], at + length
        if form in SIZED_BLOCKS:
            width = SIZED_BLOCKS[form]
            length = int.from_bytes(data[at : at + width], self._order)  # type: ignore[arg-type]
            at += width
            return data[at : at + length], at + length
        if form == FORM["indirect"]:
            form, at = uleb(data, at)
            return self._value(form, at)
        raise DwarfError(f"DWARF with values of the unknown form {form:#x}")

    def _indexed_string(self, index: int) -> str:
        if self._strings_base is None:
            self._strings_base = 8 if self.header.version >= 5 else 0
            top = self.die(self.header.first)
            if top is not None:
                self._strings_base = top.number(AT["str_offsets_base"], self._strings_base)
        size = self.header.offset_size
        at = self._strings_base + index * size
        raw = self._sections.str_offsets[at : at + size]
        return _text(self._sections.str, int.from_bytes(raw, self._order))  # type: ignore[arg-type]


def _text(strings: bytes, at: int) -> str:
    end = strings.find(0, at)
    if end < 0:
        raise DwarfError(f"DWARF refers to a string at {at:#x}, beyond the strings")
    return strings[at:end].decode("utf-8", "backslashreplace")
