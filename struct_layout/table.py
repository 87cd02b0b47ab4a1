# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads layout tables: one compact binary that host, kernel module and debugger read in place.

`Table(data)` checks magic, version, size and checksum before it looks at anything else and
raises `LayoutTableError`, one line, for data that is not a sound table.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
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
from struct_layout.table_format import (
    ALIGN,
    BLOCK,
    BLOCKS,
    BODIES,
    C_LENGTH_SHIFT,
    C_LONG,
    C_PREFIX,
    C_VALUE,
    D_INLINE,
    D_NAME,
    D_NORETURN,
    D_PERCPU,
    D_STATIC,
    DECLS,
    E_INCOMPLETE,
    E_LOCAL,
    E_SIGNED,
    ENCODINGS,
    ENTRY_SIZES,
    F_UNPROTOTYPED,
    F_VARIADIC,
    FLAG_BIG_ENDIAN,
    FLAG_SHIFT,
    HEADER,
    HEADER_SIZE,
    KIND,
    M_BITS,
    M_NAME,
    M_STEP_SHIFT,
    M_TYPE,
    MAGIC,
    NAMES,
    PAIRS,
    POINTER_SHIFT,
    QUALS,
    R_INCOMPLETE,
    R_LOCAL,
    R_OPAQUE,
    R_PACKED,
    R_REVERSE,
    R_TRANSPARENT,
    SECTION,
    STEP_WIDTH,
    STEPS,
    T_ARRAY,
    T_BASE,
    T_COMPLEX,
    T_ENUM,
    T_FUNCTION,
    T_OPAQUE,
    T_POINTER,
    T_QUALIFIED,
    T_SPACE,
    T_STRUCT,
    T_TYPEDEF,
    T_UNION,
    T_VARIABLE,
    T_VECTOR,
    T_VOID,
    TEXT,
    TEXT_BLOCKS,
    TYPES,
    VERSION,
    WORDS_MAX,
    Buffer,
    LayoutTableError,
    checksum,
    read_number,
    unzigzag,
)
from struct_layout.table_names import Dictionary, Names

_STEPS = tuple(step or 0 for step in STEPS)
_MAX_DEPTH = 60  # of nested types; C has no business being deeper
_MAX_NUMBER = 10  # bytes of a number
_ODD = 1 << 80
_NUMBER = re.compile(rb"[\x80-\xff]*[\x00-\x7f]")
_U64 = (1 << 64) - 1

Named = Union[Record, Enum, Typedef]


class _Entry(NamedTuple):
    """A type, taken apart."""

    kind: int
    flags: int
    numbers: tuple[int, ...]
    body: int  # where its members or constants begin


class Entries(NamedTuple):
    """All types as one row of numbers: the first byte of each, then what follows it."""

    numbers: list[int]
    starts: list[int]  # where each type begins in the row
    bodies: list[int]  # where the members or constants of each begin


class Members(NamedTuple):
    """The members of a record, as the table numbers them."""

    names: list[int]  # 0: none
    offsets: list[int]
    widths: dict[int, int]  # of bitfields, by position
    types: list[int]


class _Numbers(dict[bytes, int]):
    """What bytes stand for as a number; most come again and again."""

    def __missing__(self, raw: bytes) -> int:
        if len(raw) == 2:
            number = raw[0] & 0x7F | raw[1] << 7
        elif len(raw) == 3:
            number = raw[0] & 0x7F | (raw[1] & 0x7F) << 7 | raw[2] << 14
        elif len(raw) <= _MAX_NUMBER:
            number = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw))
        else:
            raise LayoutTableError("layout table with a number of more than 64 bits")
        if number < 0x80:
            # No writer does that: the first byte is that of a type, with flags.
            number |= _ODD
        self[raw] = number
        return number


class Table:
    """A layout table, read in place."""

    label = "table"

    def __init__(self, data: Buffer) -> None:
        self._data = data = bytes(data)
        if len(data) < HEADER_SIZE or data[: len(MAGIC) - 1] != MAGIC[:-1]:
            raise LayoutTableError(
                f"not a layout table ({len(data)} bytes, magic {data[: len(MAGIC)]!r})"
            )
        (magic, version, header_size, total, crc, flags, sections, digest, release, compiler) = (
            HEADER.unpack_from(data)[:10]
        )
        if version != VERSION or magic != MAGIC:
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
            if at < HEADER_SIZE or at + count * size > total or at % 8:
                raise LayoutTableError(f"layout table with section {number} outside of it")
            self._at.append(at)
            self._count.append(count)
        packed, shared = HEADER.unpack_from(data)[10:12]
        pairs = (packed & 0xFF, packed >> 8)
        if max(pairs) > WORDS_MAX or sum(pairs) != self._count[PAIRS]:
            raise LayoutTableError("layout table with a dictionary that this kpy does not know")
        words = self._section(PAIRS)
        self._constant_words = Dictionary(words[2 * pairs[0] :])
        self._names = Names(
            self._section(TEXT),
            self._section(TEXT_BLOCKS),
            shared,
            Dictionary(words[: 2 * pairs[0]]),
        )
        self._rows: Entries | None = None
        self.identity = Identity(
            release=self.text(release),
            compiler=self.text(compiler),
            digest=digest,
            pointer_size=flags >> POINTER_SHIFT & 0xFF,
            big_endian=bool(flags & FLAG_BIG_ENDIAN),
        )
        self._types: dict[int, Type] = {}

    # ---- The public side ---------------------------------------------------------------------

    @property
    def machine(self) -> tuple[int, bool]:
        """The size of a pointer, and whether it is big-endian."""
        return self.identity.pointer_size, self.identity.big_endian

    @property
    def size(self) -> int:
        """The size of the table in bytes."""
        return len(self._data)

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return self._data

    @property
    def crc(self) -> int:
        """The checksum in the header."""
        return int(HEADER.unpack_from(self._data)[4])

    def counts(self) -> dict[str, int]:
        """Return how many entries of each kind there are."""
        numbers, starts, _ = self.entries()
        kinds = [numbers[at] & KIND for at in starts]
        counts = Counter(kinds)
        inside = dict.fromkeys((T_STRUCT, T_UNION, T_ENUM), 0)
        for at, kind in zip(starts, kinds):
            if kind in inside:
                inside[kind] += numbers[at + 4]
        return {
            "records": counts[T_STRUCT] + counts[T_UNION],
            "members": inside[T_STRUCT] + inside[T_UNION],
            "enums": counts[T_ENUM],
            "constants": inside[T_ENUM],
            "typedefs": counts[T_TYPEDEF],
            "declarations": self._count[DECLS],
            "names": self._count[NAMES],
        }

    def find(self, name: str) -> list[Named]:
        """Return the structs, unions, enums and typedefs of that name."""
        wanted = self._names.number(name)
        low, high = 0, self._count[NAMES]
        while low < high:
            middle = (low + high) // 2
            if self._index_name(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        found: list[Named] = []
        while wanted and low < self._count[NAMES] and self._index_name(low) == wanted:
            type = self._type(self._index(low))
            assert isinstance(type, (Record, Enum, Typedef))
            found.append(type)
            low += 1
        return found

    def type(self, number: int) -> Type:
        """Return the type of a number, as the module's objects hold it."""
        return self._type(number)

    def declaration(self, name: str) -> Declaration | None:
        """Return the function or variable of that name."""
        wanted = self._names.number(name)
        low, high = 0, self._count[DECLS]
        while low < high:
            middle = (low + high) // 2
            if self._u32(DECLS, middle) & D_NAME < wanted:
                low = middle + 1
            else:
                high = middle
        if wanted and low < self._count[DECLS] and self._u32(DECLS, low) & D_NAME == wanted:
            return self._declaration(low)
        return None

    def constant(self, name: str) -> tuple[Enum, int] | None:
        """Return the enum that has a constant of that name, and the constant's value."""
        for enum in self.enums():
            for constant, value in enum.constants:
                if constant == name:
                    return enum, value
        return None

    def type_names(self) -> list[str]:
        """Return the names of all structs, unions, enums and typedefs, sorted."""
        names = {self._names.name(self._index_name(n)) for n in range(self._count[NAMES])}
        return [name.decode("utf-8", "backslashreplace") for name in sorted(names)]

    def named(self) -> list[int]:
        """Return the numbers of all structs, unions, enums and typedefs that have a name."""
        raw = self._section(NAMES)
        return [low | middle << 8 | high << 16 for low, middle, high in zip(*[iter(raw)] * 3)]

    def all_types(self) -> Iterator[Named]:
        """Iterate over all structs, unions, enums and typedefs that have a name."""
        for number in self.named():
            yield self.named_type(number)

    def named_type(self, number: int) -> Named:
        """Return a struct, union, enum or typedef by its number."""
        type = self._type(number)
        if not isinstance(type, (Record, Enum, Typedef)):
            raise LayoutTableError(f"layout table with a name for type {number} that has none")
        return type

    def declarations(self) -> Iterator[Declaration]:
        """Iterate over the functions and variables, sorted by name."""
        found = [self._declaration(number) for number in range(self._count[DECLS])]
        yield from sorted(found, key=lambda declaration: declaration.name.encode())

    def enums(self) -> Iterator[Enum]:
        """Iterate over all enums, those without a name too."""
        for number, entry in enumerate(self._all()):
            if entry.kind == T_ENUM:
                enum = self._type(number)
                assert isinstance(enum, Enum)
                yield enum

    def records(self) -> Iterator[Record]:
        """Iterate over all structs and unions, those without a name too."""
        for number, entry in enumerate(self._all()):
            if entry.kind in (T_STRUCT, T_UNION):
                record = self._type(number)
                assert isinstance(record, Record)
                yield record

    def all_names(self) -> list[bytes]:
        """Return the names by number; b"" is the first."""
        return self._names.all()

    def text(self, number: int) -> str:
        """Return the name of a number."""
        return self._names.name(number).decode("utf-8", "backslashreplace")

    # ---- Entries -----------------------------------------------------------------------------

    def _section(self, section: int) -> bytes:
        at = self._at[section]
        return self._data[at : at + self._count[section] * ENTRY_SIZES[section]]

    def _u32(self, section: int, entry: int, field: int = 0) -> int:
        at = self._at[section] + entry * ENTRY_SIZES[section] + field * 4
        return int.from_bytes(self._data[at : at + 4], "little")

    def _index(self, number: int) -> int:
        at = self._at[NAMES] + number * 3
        found = int.from_bytes(self._data[at : at + 3], "little")
        if self._entry(found).kind not in (T_STRUCT, T_UNION, T_ENUM, T_TYPEDEF):
            raise LayoutTableError(f"layout table with a name for type {found} that has none")
        return found

    def _index_name(self, number: int) -> int:
        return self._entry(self._index(number)).numbers[0]

    def _entry(self, number: int) -> _Entry:
        numbers, starts, bodies = self.entries()
        if number >= len(starts):
            raise LayoutTableError(f"layout table refers to type {number}")
        at = starts[number]
        end = starts[number + 1] if number + 1 < len(starts) else len(numbers)
        head = numbers[at]
        return _Entry(head & KIND, head >> FLAG_SHIFT, tuple(numbers[at + 1 : end]), bodies[number])

    def _all(self) -> list[_Entry]:
        """Return all types, taken apart."""
        return [self._entry(number) for number in range(len(self.entries().starts))]

    def entries(self) -> Entries:
        """Take the types apart, once: here every one is going to be asked for."""
        if self._rows is None:
            self._rows = self._read_entries()
        return self._rows

    def _read_entries(self) -> Entries:
        data, start = self._data, self._at[TYPES]
        blocks, total = self._count[BLOCKS], self._count[TYPES]
        at = self._at[BLOCKS]
        index = list(struct.iter_unpack("<2I", self._data[at : at + 8 * blocks]))
        wrong = LayoutTableError("layout table with a wrong block index")
        if total and (not index or index[0] != (0, 0)):
            raise wrong
        row: list[int] = []
        starts: list[int] = []
        bodies: list[int] = []
        values = _Numbers((bytes([byte]), byte) for byte in range(0x80))
        value = values.__getitem__
        at = body = 0
        for block, (place, inner) in enumerate(index):
            end = index[block + 1][0] if block + 1 < blocks else total
            if inner != body or not place < end <= total:
                raise wrong
            raw = _NUMBER.findall(data, start + place, start + end)
            row += map(value, raw)
            first, shift = len(row) - len(raw), 0
            if data[start + end - 1] >= 0x80:
                raise LayoutTableError("layout table with an entry that is cut")
            try:
                while at < len(row):
                    head = row[at]
                    if head >= 0x80:
                        # The first byte has flags there: it is not part of a number.
                        which = at - first - shift
                        head, rest = raw[which][0], raw[which][1:]
                        row[at : at + 1] = [head, value(rest)]
                        raw[which] = rest  # the next type, where this kind has no numbers
                        shift += 1
                    starts.append(at)
                    bodies.append(body)
                    kind = head & KIND
                    if T_STRUCT <= kind <= T_ENUM:
                        body += row[at + 5]
                        at += 6
                    elif kind == T_FUNCTION:
                        at += 3 + row[at + 2]
                    else:
                        at += 1 + _NUMBERS[kind]
            except IndexError:
                at = -1
            except KeyError:
                raise LayoutTableError(f"layout table with a type of unknown kind {kind}") from None
            if at != len(row):
                raise LayoutTableError("layout table with an entry that is cut")
            if len(starts) != (block + 1) * BLOCK and (
                block + 1 < blocks or len(starts) % BLOCK == 0
            ):
                raise wrong
        if max(values.values()) >= _ODD and max(row) >= _ODD:
            raise LayoutTableError("layout table with a number of more bytes than it takes")
        return Entries(row, starts, bodies)

    def _type(self, number: int, depth: int = 0) -> Type:
        known = self._types.get(number)
        if known is None:
            if depth > _MAX_DEPTH:
                raise LayoutTableError("layout table with a type that contains itself")
            known = self._types[number] = self._make(self._entry(number), depth + 1)
        return known

    def _make(self, entry: _Entry, depth: int) -> Type:
        kind, flags, numbers = entry.kind, entry.flags, entry.numbers
        if kind == T_VOID:
            return Void()
        if kind == T_BASE:
            return Base(self.text(numbers[0]), numbers[1], ENCODINGS[flags & 3], numbers[2])
        if kind in (T_STRUCT, T_UNION):
            return self._record(entry)
        if kind == T_ENUM:
            return self._enum(entry)
        if kind == T_OPAQUE:
            return Opaque(numbers[1] - 1 if numbers[1] else None, self.text(numbers[0]))
        if kind == T_TYPEDEF:
            return Typedef(self.text(numbers[0]), self._type(numbers[1], depth))
        target = self._type(numbers[0], depth)
        if kind == T_POINTER:
            return Pointer(target, self.identity.pointer_size)
        if kind == T_ARRAY:
            return Array(target, numbers[1] - 1 if numbers[1] else None)
        if kind == T_VARIABLE:
            return Array(target, None, variable=True)
        if kind == T_QUALIFIED:
            letters = "".join(letter for bit, letter in enumerate(QUALS) if flags >> bit & 1)
            return Qualified(letters, target)
        if kind == T_SPACE:
            return Qualified("", target, numbers[1])
        if kind == T_VECTOR:
            return Vector(target, numbers[1])
        if kind == T_COMPLEX:
            return Complex(target, numbers[1])
        assert kind == T_FUNCTION
        params = tuple(self._type(number, depth) for number in numbers[2:])
        return Function(target, params, bool(flags & F_VARIADIC), not flags & F_UNPROTOTYPED)

    def _record(self, entry: _Entry) -> Record:
        name, info, size = entry.numbers[:3]
        return Record(
            "union" if entry.kind == T_UNION else "struct",
            self.text(name) if name else None,
            size,
            1 << (info & ALIGN),
            load=lambda: self._members(entry),
            packed=bool(info & R_PACKED),
            incomplete=bool(info & R_INCOMPLETE),
            local=bool(info & R_LOCAL),
            reverse=bool(info & R_REVERSE),
            transparent=bool(info & R_TRANSPARENT),
            opaque=bool(info & R_OPAQUE),
        )

    def _members(self, entry: _Entry) -> Iterator[Member]:
        names, offsets, widths, types = self.members(entry.body, entry.numbers[3])
        for place, name in enumerate(names):
            yield Member(
                self.text(name) if name else None,
                offsets[place],
                widths.get(place),
                self._type(types[place]),
            )

    def members(self, body: int, count: int) -> Members:
        """Take the members of a record apart."""
        data, at, end = self._data, self._at[BODIES] + body, self._at[BODIES] + self._count[BODIES]
        found = Members([], [], {}, [])
        names, offsets, widths, types = found
        offset = width = type = 0
        try:
            for place in range(count):
                head = data[at]
                at += 1
                step = head >> M_STEP_SHIFT
                if step == STEP_WIDTH:
                    offset += width
                elif step:
                    offset += _STEPS[step]
                else:
                    number, at = read_number(data, at)
                    offset += unzigzag(number)
                # A name takes two or three bytes, a type two at most, nearly always.
                name = 0
                if head & M_NAME:
                    name = data[at]
                    at += 1
                    if name >= 0x80:
                        second, third = data[at], data[at + 1]
                        if second < 0x80:
                            name += (second << 7) - 0x80
                            at += 1
                        elif third < 0x80:
                            name += (second << 7) + (third << 14) - 0x4080
                            at += 2
                        else:
                            name, at = read_number(data, at - 1)
                if head & M_TYPE:
                    type = data[at]
                    at += 1
                    if type >= 0x80:
                        second = data[at]
                        if second < 0x80:
                            type += (second << 7) - 0x80
                            at += 1
                        else:
                            type, at = read_number(data, at - 1)
                width = 0
                if head & M_BITS:
                    width, at = read_number(data, at)
                    widths[place] = width
                names.append(name)
                offsets.append(offset)
                types.append(type)
        except IndexError:
            at = end + 1
        if at > end:
            raise LayoutTableError("layout table with an entry that is cut")
        return found

    def _enum(self, entry: _Entry) -> Enum:
        name, info, size = entry.numbers[:3]
        return Enum(
            self.text(name) if name else None,
            size,
            bool(info & E_SIGNED),
            load=lambda: self._constants(entry),
            align=1 << (info & ALIGN),
            incomplete=bool(info & E_INCOMPLETE),
            local=bool(info & E_LOCAL),
        )

    def _constants(self, entry: _Entry) -> Iterator[tuple[str, int]]:
        signed = bool(entry.numbers[1] & E_SIGNED)
        names, values = self.constants(entry.body, entry.numbers[3], signed)
        for name, value in zip(names, values):
            yield name.decode("utf-8", "backslashreplace"), value

    def constants(self, body: int, count: int, signed: bool) -> tuple[list[bytes], list[int]]:
        """Return the names and the values of an enum's constants."""
        data, at, end = self._data, self._at[BODIES] + body, self._at[BODIES] + self._count[BODIES]
        part, expand = self._constant_words.parts.__getitem__, self._constant_words.expand
        join = b"".join
        names: list[bytes] = []
        values: list[int] = []
        name, prefix, value = b"", 0, -1
        try:
            for _ in range(count):
                head = data[at]
                at += 1
                value += 1
                if head & C_VALUE:
                    number, at = read_number(data, at)
                    value += unzigzag(number) - 1
                value &= _U64
                if head & C_PREFIX:
                    prefix, at = read_number(data, at)
                length = head >> C_LENGTH_SHIFT
                if length == C_LONG:
                    length, at = read_number(data, at)
                code = data[at : at + length]
                at += length
                try:
                    name = name[:prefix] + join(map(part, code))
                except KeyError:
                    name = name[:prefix] + expand(code)
                names.append(name)
                values.append(value - (1 << 64) if signed and value >> 63 else value)
        except IndexError:
            at = end + 1
        if at > end:
            raise LayoutTableError("layout table with an entry that is cut")
        return names, values

    def _declaration(self, number: int) -> Declaration:
        name = self._u32(DECLS, number)
        return Declaration(
            self.text(name & D_NAME),
            self._type(self._u32(DECLS, number, 1)),
            static=bool(name & D_STATIC),
            inline=bool(name & D_INLINE),
            noreturn=bool(name & D_NORETURN),
            percpu=bool(name & D_PERCPU),
        )


# How many numbers follow the first byte of each kind.
_NUMBERS = {
    T_VOID: 0, T_BASE: 3, T_STRUCT: 5, T_UNION: 5, T_ENUM: 5, T_TYPEDEF: 2, T_POINTER: 1,
    T_ARRAY: 2, T_FUNCTION: 2, T_QUALIFIED: 1, T_SPACE: 2, T_VECTOR: 2, T_COMPLEX: 2, T_OPAQUE: 2,
    T_VARIABLE: 1,
}  # fmt: skip
