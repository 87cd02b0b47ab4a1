# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout table: one compact binary that host, kernel module and debugger read in place.

The format is documented, byte by byte, in docs/layout-table.md; in short:

- a header: magic "KPYLAYT1", version, total size, CRC-32, identity (kernel release, compiler,
  SHA-256 of the header set), and where the sections are;
- sections of fixed-size entries of little-endian u32: name index, records, members, enums,
  constants, typedefs, base types, declarations, a pool of type words, wide values, strings.

A *type word* is a u32: kind in the top 5 bits, payload in the other 27. For records, enums,
typedefs and base types the payload is the index of an entry; for everything with parts
(pointers, arrays, functions, …) it is the index in the pool where the parts begin. Parts always
lie before the word that refers to them, or behind a record or typedef, so readers terminate.

`Table(data)` checks magic, version, size and checksum before it looks at anything else and
raises `LayoutTableError`, one line, for data that is not a sound table.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Union

from struct_layout.model import (
    Array,
    Base,
    Complex,
    Declaration,
    Enum,
    Function,
    Identity,
    LayoutError,
    Member,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    Void,
)

MAGIC = b"KPYLAYT1"
VERSION = 1

# magic, version, header size, total size, CRC-32, flags, sections, digest, release, compiler
HEADER = struct.Struct("<8sIIIIII32sIIII")
CRC_AT = 20
SECTION = struct.Struct("<II")
FLAG_BIG_ENDIAN = 1
POINTER_SHIFT = 8

# The sections in their order, and the size of an entry of each.
INDEX, RECORDS, MEMBERS, ENUMS, CONSTANTS, TYPEDEFS, BASES, DECLS, POOL, WIDE, STRINGS = range(11)
ENTRY_SIZES = (4, 16, 12, 12, 8, 8, 8, 8, 4, 8, 1)
HEADER_SIZE = HEADER.size + len(ENTRY_SIZES) * SECTION.size

# Kinds of type words.
(
    T_VOID,
    T_BASE,
    T_RECORD,
    T_ENUM,
    T_TYPEDEF,
    T_POINTER,
    T_ARRAY,
    T_FUNCTION,
    T_QUALIFIED,
    T_SPACE,
    T_BITFIELD,
    T_VECTOR,
    T_COMPLEX,
    T_OPAQUE,
    T_VARIABLE,
) = range(15)
PAYLOAD_BITS = 27
PAYLOAD = (1 << PAYLOAD_BITS) - 1
QUAL_SHIFT = 23  # in the payload of T_QUALIFIED: four bits of qualifiers over the pool index
QUALS = "cvra"
FLEXIBLE = 0xFFFFFFFF  # the count of a flexible array
NO_SIZE = 0xFFFFFFFF  # of something opaque: unknown, or too large for a table

# Kinds of index entries (top 4 bits; the rest is an index in the section).
I_RECORD, I_ENUM, I_TYPEDEF, I_DECL, I_CONSTANT = range(1, 6)
INDEX_SHIFT = 28

# The info word of records.
R_UNION = 1
R_ALIGN_SHIFT = 2  # log2, 6 bits
R_PACKED, R_INCOMPLETE, R_LOCAL, R_REVERSE, R_TRANSPARENT, R_OPAQUE = (1 << n for n in range(8, 14))
# The info word of enums: size in the low byte.
E_SIGNED, E_WIDE, E_INCOMPLETE, E_LOCAL = (1 << n for n in range(8, 12))
E_ALIGN_SHIFT = 16  # log2, 6 bits
# The info word of base types: size, encoding << 8, bits << 16.
ENCODINGS = ("unsigned", "signed", "bool", "float")
# Flags over the name of declarations.
D_STATIC, D_INLINE, D_NORETURN, D_PERCPU = (1 << n for n in range(31, 27, -1))
D_NAME = (1 << 28) - 1
# The second part of a function: number of parameters and flags.
F_VARIADIC, F_UNPROTOTYPED = 1 << 31, 1 << 30
F_COUNT = (1 << 16) - 1

_MAX_DEPTH = 60  # of nested types; C has no business being deeper

Buffer = Union[bytes, bytearray, memoryview]
Named = Union[Record, Enum, Typedef]


class LayoutTableError(LayoutError):
    """The data is not a layout table that this version can read."""


class IndexEntry(NamedTuple):
    """One entry of the name index."""

    name: bytes
    kind: int
    number: int


def checksum(data: Buffer) -> int:
    """Return the CRC-32 of a table, its own field counted as zero."""
    view = memoryview(data)
    crc = zlib.crc32(view[:CRC_AT])
    return zlib.crc32(view[CRC_AT + 4 :], zlib.crc32(bytes(4), crc))


class Table:
    """A layout table, read in place."""

    label = "table"

    def __init__(self, data: Buffer) -> None:
        self._data = data = bytes(data)
        if len(data) < HEADER_SIZE or data[: len(MAGIC)] != MAGIC:
            raise LayoutTableError(
                f"not a layout table ({len(data)} bytes, magic {data[: len(MAGIC)]!r})"
            )
        (_, version, header_size, total, crc, flags, sections, digest, release, compiler, _, _) = (
            HEADER.unpack_from(data)
        )
        if version != VERSION:
            raise LayoutTableError(
                f"layout table of version {version}, this kpy reads {VERSION}: rebuild with make"
            )
        if total != len(data):
            raise LayoutTableError(
                f"layout table is cut or too long: {len(data)} bytes, its header says {total}"
            )
        if crc != checksum(data):
            raise LayoutTableError(
                f"layout table is damaged: checksum {checksum(data):#010x}, "
                f"its header says {crc:#010x}"
            )
        if sections != len(ENTRY_SIZES) or header_size != HEADER_SIZE:
            raise LayoutTableError("layout table with a header that this kpy does not know")
        self._at: list[int] = []
        self._count: list[int] = []
        for number, size in enumerate(ENTRY_SIZES):
            at, count = SECTION.unpack_from(data, HEADER.size + number * SECTION.size)
            if at < HEADER_SIZE or at + count * size > total or (size > 1 and at % 4):
                raise LayoutTableError(f"layout table with section {number} outside of it")
            self._at.append(at)
            self._count.append(count)
        strings_end = self._at[STRINGS] + self._count[STRINGS]
        if self._count[STRINGS] == 0 or data[strings_end - 1] != 0:
            raise LayoutTableError("layout table with unterminated strings")
        if not (self._count[RECORDS] and self._count[ENUMS]):
            raise LayoutTableError("layout table without end marks")
        self.identity = Identity(
            release=self._text(release),
            compiler=self._text(compiler),
            digest=digest,
            pointer_size=flags >> POINTER_SHIFT & 0xFF,
            big_endian=bool(flags & FLAG_BIG_ENDIAN),
        )
        self._records: dict[int, Record] = {}
        self._enums: dict[int, Enum] = {}
        self._typedefs: dict[int, Typedef] = {}
        self._bases: dict[int, Base] = {}
        self._words: dict[int, Type] = {}

    # ---- The public side ---------------------------------------------------------------------

    @property
    def size(self) -> int:
        """The size of the table in bytes."""
        return len(self._data)

    def counts(self) -> dict[str, int]:
        """Return how many entries of each kind there are."""
        return {
            "records": self._count[RECORDS] - 1,
            "members": self._count[MEMBERS],
            "enums": self._count[ENUMS] - 1,
            "constants": self._count[CONSTANTS],
            "typedefs": self._count[TYPEDEFS],
            "declarations": self._count[DECLS],
            "names": self._count[INDEX],
        }

    def find(self, name: str) -> list[Named]:
        """Return the structs, unions, enums and typedefs of that name."""
        found: list[Named] = []
        for entry in self._range(name.encode()):
            if entry.kind == I_RECORD:
                found.append(self._record(entry.number))
            elif entry.kind == I_ENUM:
                found.append(self._enum(entry.number))
            elif entry.kind == I_TYPEDEF:
                found.append(self._typedef(entry.number))
        return found

    def declaration(self, name: str) -> Declaration | None:
        """Return the function or variable of that name."""
        for entry in self._range(name.encode()):
            if entry.kind == I_DECL:
                return self._declaration(entry.number)
        return None

    def constant(self, name: str) -> tuple[Enum, int] | None:
        """Return the enum that has a constant of that name, and the constant's value."""
        for entry in self._range(name.encode()):
            if entry.kind == I_CONSTANT:
                enum = self._enum(self._owner(ENUMS, entry.number))
                for constant, value in enum.constants:
                    if constant == name:
                        return enum, value
        return None

    def type_names(self) -> list[str]:
        """Return the names of all structs, unions, enums and typedefs, sorted."""
        kinds = (I_RECORD, I_ENUM, I_TYPEDEF)
        names = {entry.name for entry in self._index() if entry.kind in kinds}
        return [name.decode("utf-8", "backslashreplace") for name in sorted(names)]

    def declarations(self) -> Iterator[Declaration]:
        """Iterate over the functions and variables, sorted by name."""
        for number in range(self._count[DECLS]):
            yield self._declaration(number)

    def enums(self) -> Iterator[Enum]:
        """Iterate over all enums, those without a name too."""
        for number in range(self._count[ENUMS] - 1):
            yield self._enum(number)

    def records(self) -> Iterator[Record]:
        """Iterate over all structs and unions, those without a name too."""
        for number in range(self._count[RECORDS] - 1):
            yield self._record(number)

    # ---- Entries -----------------------------------------------------------------------------

    def _u32(self, section: int, entry: int, field: int = 0) -> int:
        if not 0 <= entry < self._count[section]:
            raise LayoutTableError(f"layout table refers to entry {entry} of section {section}")
        at = self._at[section] + entry * ENTRY_SIZES[section] + field * 4
        return int.from_bytes(self._data[at : at + 4], "little")

    def _name(self, offset: int) -> bytes:
        if offset >= self._count[STRINGS]:
            raise LayoutTableError(f"layout table refers to string {offset}")
        start = self._at[STRINGS] + offset
        return self._data[start : self._data.index(0, start)]

    def _text(self, offset: int) -> str:
        return self._name(offset).decode("utf-8", "backslashreplace")

    def _index_entry(self, number: int) -> IndexEntry:
        word = self._u32(INDEX, number)
        kind, target = word >> INDEX_SHIFT, word & ((1 << INDEX_SHIFT) - 1)
        section = {
            I_RECORD: RECORDS,
            I_ENUM: ENUMS,
            I_TYPEDEF: TYPEDEFS,
            I_DECL: DECLS,
            I_CONSTANT: CONSTANTS,
        }.get(kind)
        if section is None:
            raise LayoutTableError(f"layout table with a name of unknown kind {kind}")
        offset = self._u32(section, target)
        return IndexEntry(self._name(offset & D_NAME if kind == I_DECL else offset), kind, target)

    def _index(self) -> Iterator[IndexEntry]:
        for number in range(self._count[INDEX]):
            yield self._index_entry(number)

    def _range(self, name: bytes) -> Iterator[IndexEntry]:
        low, high = 0, self._count[INDEX]
        while low < high:
            middle = (low + high) // 2
            if self._index_entry(middle).name < name:
                low = middle + 1
            else:
                high = middle
        while low < self._count[INDEX]:
            entry = self._index_entry(low)
            if entry.name != name:
                return
            yield entry
            low += 1

    def _owner(self, section: int, number: int) -> int:
        """Return the record or enum whose members or constants include `number`."""
        field = 2 if section == RECORDS else 1
        low, high = 0, self._count[section] - 1
        while low + 1 < high:
            middle = (low + high) // 2
            if self._u32(section, middle, field) <= number:
                low = middle
            else:
                high = middle
        return low

    def _record(self, number: int) -> Record:
        record = self._records.get(number)
        if record is not None:
            return record
        name, size, first, info = (self._u32(RECORDS, number, field) for field in range(4))
        after = self._u32(RECORDS, number + 1, 2)
        record = Record(
            "union" if info & R_UNION else "struct",
            self._text(name) if name else None,
            0 if size == NO_SIZE else size,
            1 << (info >> R_ALIGN_SHIFT & 63),
            load=lambda: [self._member(at) for at in range(first, after)],
            packed=bool(info & R_PACKED),
            incomplete=bool(info & R_INCOMPLETE),
            local=bool(info & R_LOCAL),
            reverse=bool(info & R_REVERSE),
            transparent=bool(info & R_TRANSPARENT),
            opaque=bool(info & R_OPAQUE),
        )
        self._records[number] = record
        return record

    def _member(self, number: int) -> Member:
        name, offset, word = (self._u32(MEMBERS, number, field) for field in range(3))
        bits = None
        if word >> PAYLOAD_BITS == T_BITFIELD:
            word, bits = (self._u32(POOL, (word & PAYLOAD) + part) for part in range(2))
        return Member(self._text(name) if name else None, offset, bits, self._type(word))

    def _enum(self, number: int) -> Enum:
        enum = self._enums.get(number)
        if enum is not None:
            return enum
        name, first, info = (self._u32(ENUMS, number, field) for field in range(3))
        after = self._u32(ENUMS, number + 1, 1)
        signed, wide = bool(info & E_SIGNED), bool(info & E_WIDE)
        enum = Enum(
            self._text(name) if name else None,
            info & 0xFF,
            signed,
            load=lambda: [self._constant(at, signed, wide) for at in range(first, after)],
            align=1 << (info >> E_ALIGN_SHIFT & 63),
            incomplete=bool(info & E_INCOMPLETE),
            local=bool(info & E_LOCAL),
        )
        self._enums[number] = enum
        return enum

    def _constant(self, number: int, signed: bool, wide: bool) -> tuple[str, int]:
        name, value = (self._u32(CONSTANTS, number, field) for field in range(2))
        bits = 32
        if wide:
            value, bits = self._u32(WIDE, value) | self._u32(WIDE, value, 1) << 32, 64
        if signed and value >> (bits - 1):
            value -= 1 << bits
        return self._text(name), value

    def _typedef(self, number: int, depth: int = 0) -> Typedef:
        typedef = self._typedefs.get(number)
        if typedef is None:
            target = self._type(self._u32(TYPEDEFS, number, 1), depth + 1)
            typedef = Typedef(self._text(self._u32(TYPEDEFS, number)), target)
            self._typedefs[number] = typedef
        return typedef

    def _base(self, number: int) -> Base:
        base = self._bases.get(number)
        if base is None:
            info = self._u32(BASES, number, 1)
            encoding = ENCODINGS[(info >> 8 & 0xFF) % len(ENCODINGS)]
            base = Base(self._text(self._u32(BASES, number)), info & 0xFF, encoding, info >> 16)
            self._bases[number] = base
        return base

    def _declaration(self, number: int) -> Declaration:
        name = self._u32(DECLS, number)
        return Declaration(
            self._text(name & D_NAME),
            self._type(self._u32(DECLS, number, 1)),
            static=bool(name & D_STATIC),
            inline=bool(name & D_INLINE),
            noreturn=bool(name & D_NORETURN),
            percpu=bool(name & D_PERCPU),
        )

    # ---- Type words --------------------------------------------------------------------------

    def _type(self, word: int, depth: int = 0) -> Type:
        known = self._words.get(word)
        if known is not None:
            return known
        if depth > _MAX_DEPTH:
            raise LayoutTableError("layout table with a type that contains itself")
        made = self._make(word >> PAYLOAD_BITS, word & PAYLOAD, depth + 1)
        self._words[word] = made
        return made

    def _make(self, kind: int, payload: int, depth: int) -> Type:
        if kind == T_VOID:
            return Void()
        if kind == T_BASE:
            return self._base(payload)
        if kind == T_RECORD:
            return self._record(payload)
        if kind == T_ENUM:
            return self._enum(payload)
        if kind == T_TYPEDEF:
            return self._typedef(payload, depth)
        if kind == T_QUALIFIED:
            quals, payload = payload >> QUAL_SHIFT, payload & ((1 << QUAL_SHIFT) - 1)
            letters = "".join(letter for bit, letter in enumerate(QUALS) if quals >> bit & 1)
            return Qualified(letters, self._part(payload, depth))
        if kind == T_FUNCTION:
            return self._function(payload, depth)
        if kind == T_OPAQUE:
            size, why = self._u32(POOL, payload), self._text(self._u32(POOL, payload + 1))
            return Opaque(None if size == NO_SIZE else size, why)
        target = self._part(payload, depth)
        if kind == T_POINTER:
            return Pointer(target, self.identity.pointer_size)
        if kind == T_VARIABLE:
            return Array(target, None, variable=True)
        number = self._u32(POOL, payload + 1)
        if kind == T_ARRAY:
            return Array(target, None if number == FLEXIBLE else number)
        if kind == T_SPACE:
            return Qualified("", target, number)
        if kind == T_VECTOR:
            return Vector(target, number)
        if kind == T_COMPLEX:
            return Complex(target, number)
        raise LayoutTableError(f"layout table with a type of unknown kind {kind}")

    def _part(self, at: int, depth: int) -> Type:
        return self._type(self._u32(POOL, at), depth)

    def _function(self, at: int, depth: int) -> Function:
        info = self._u32(POOL, at + 1)
        params = tuple(self._part(at + 2 + n, depth) for n in range(info & F_COUNT))
        return Function(
            self._part(at, depth), params, bool(info & F_VARIADIC), not info & F_UNPROTOTYPED
        )
