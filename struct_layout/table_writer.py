# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes layout tables. The same contents always give the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from struct_layout import table as t
from struct_layout.model import (
    Array,
    Base,
    Complex,
    Contents,
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

_U32 = 1 << 32


def write_table(contents: Contents, identity: Identity) -> bytes:
    """Return the bytes of the table with these contents and all types that they reach."""
    return _Writer(identity).write(contents)


def _too_large(record: Record) -> bool:
    """Whether the bit offsets of a record (of 512 MiB) do not fit: it becomes opaque."""
    return record.size >= t.NO_SIZE or any(m.offset >= _U32 for m in record.members)


def _log2(align: int) -> int:
    return max(align, 1).bit_length() - 1


class _Strings:
    """NUL-terminated strings; one that ends another shares its bytes. Offset 0 is no name."""

    def __init__(self) -> None:
        self._wanted: dict[bytes, int] = {}
        self.data = b""

    def want(self, text: str) -> bytes:
        name = text.encode()
        if b"\0" in name:
            raise LayoutError(f"name with a NUL byte: {text!r}")
        self._wanted[name] = 0
        return name

    def place(self) -> None:
        data = bytearray(b"\0")
        previous, at = b"", 0
        # Sorted by their ends, longer first: a tail follows the string that contains it.
        for name in sorted(self._wanted, key=lambda name: name[::-1], reverse=True):
            if not name:
                continue
            if not previous.endswith(name):
                previous, at = name, len(data)
                data += name + b"\0"
            self._wanted[name] = at + len(previous) - len(name)
        self.data = bytes(data)

    def at(self, text: str | None) -> int:
        return self._wanted[text.encode()] if text else 0


class _Writer:
    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.strings = _Strings()
        self.records: list[Record] = []
        self.enums: list[Enum] = []
        self.typedefs: list[Typedef] = []
        self.bases: list[Base] = []
        self.numbers: dict[int, int] = {}
        self.typedef_keys: dict[tuple[str, int], int] = {}
        self.base_keys: dict[tuple[str, int, str, int], int] = {}
        self.typedef_words: list[int] = []
        self.pool: list[int] = []
        self.pool_keys: dict[tuple[int, ...], int] = {}
        self.words: dict[int, int] = {}
        self.kept: list[Type] = []
        self.opaque_names: dict[str, int] = {}

    # ---- Type words --------------------------------------------------------------------------

    def word(self, type: Type) -> int:
        known = self.words.get(id(type))
        if known is None:
            known = self.words[id(type)] = self._word(type)
            self.kept.append(type)  # keeps the id taken
        return known

    def _word(self, type: Type) -> int:
        if isinstance(type, Void):
            return t.T_VOID << t.PAYLOAD_BITS
        if isinstance(type, Base):
            return self._entry(t.T_BASE, self._base(type))
        if isinstance(type, Record):
            return self._entry(t.T_RECORD, self._number(type, self.records))
        if isinstance(type, Enum):
            return self._entry(t.T_ENUM, self._number(type, self.enums))
        if isinstance(type, Typedef):
            return self._entry(t.T_TYPEDEF, self._typedef(type))
        if isinstance(type, Qualified):
            return self._qualified(type)
        if isinstance(type, Pointer):
            return self._parts(t.T_POINTER, self.word(type.target))
        if isinstance(type, Array):
            if type.variable:
                return self._parts(t.T_VARIABLE, self.word(type.target))
            count = t.FLEXIBLE if type.count is None else type.count
            if count >= _U32 or (count == t.FLEXIBLE and type.count is not None):
                return self._opaque(None, "array")
            return self._parts(t.T_ARRAY, self.word(type.target), count)
        if isinstance(type, Function):
            info = len(type.params) | (t.F_VARIADIC if type.variadic else 0)
            info |= 0 if type.prototyped else t.F_UNPROTOTYPED
            if len(type.params) > t.F_COUNT:
                return self._opaque(None, "function")
            params = [self.word(param) for param in type.params]
            return self._parts(t.T_FUNCTION, self.word(type.result), info, *params)
        if isinstance(type, Vector):
            return self._parts(t.T_VECTOR, self.word(type.target), type.size)
        if isinstance(type, Complex):
            return self._parts(t.T_COMPLEX, self.word(type.target), type.size)
        assert isinstance(type, Opaque)
        return self._opaque(type.size, type.why)

    def _entry(self, kind: int, number: int) -> int:
        if number > t.PAYLOAD:
            raise LayoutError("too many types for a layout table")
        return kind << t.PAYLOAD_BITS | number

    def _parts(self, kind: int, *parts: int) -> int:
        at = self.pool_keys.get(parts)
        if at is None:
            at = self.pool_keys[parts] = len(self.pool)
            self.pool.extend(parts)
        return self._entry(kind, at)

    def _opaque(self, size: int | None, why: str) -> int:
        # The string's place is not known yet: a number below zero stands in.
        self.strings.want(why)
        marker = -1 - self.opaque_names.setdefault(why, len(self.opaque_names))
        return self._parts(
            t.T_OPAQUE, t.NO_SIZE if size is None or size >= t.NO_SIZE else size, marker
        )

    def _qualified(self, type: Qualified) -> int:
        word = self.word(type.target)
        if type.space:
            word = self._parts(t.T_SPACE, word, type.space)
        quals = sum(1 << t.QUALS.index(letter) for letter in set(type.quals))
        if not quals:
            return word
        at = self._parts(t.T_QUALIFIED, word) & t.PAYLOAD
        if at >= 1 << t.QUAL_SHIFT:
            raise LayoutError("too many types for a layout table")
        return t.T_QUALIFIED << t.PAYLOAD_BITS | quals << t.QUAL_SHIFT | at

    def _base(self, base: Base) -> int:
        key = (base.name, base.size, base.encoding, base.bits)
        if key not in self.base_keys:
            self.base_keys[key] = len(self.bases)
            self.bases.append(base)
            self.strings.want(base.name)
        return self.base_keys[key]

    def _number(self, type: Type, entries: list) -> int:  # type: ignore[type-arg]
        number = self.numbers.get(id(type))
        if number is None:
            number = self.numbers[id(type)] = len(entries)
            entries.append(type)
            self.kept.append(type)
        return number

    def _typedef(self, typedef: Typedef) -> int:
        word = self.word(typedef.target)
        key = (typedef.name, word)
        if key not in self.typedef_keys:
            self.typedef_keys[key] = len(self.typedefs)
            self.typedefs.append(typedef)
            self.typedef_words.append(word)
            self.strings.want(typedef.name)
        return self.typedef_keys[key]

    # ---- The whole ---------------------------------------------------------------------------

    def write(self, contents: Contents) -> bytes:
        for type in contents.types:
            self.word(type)
        declarations = sorted(contents.declarations, key=lambda decl: decl.name.encode())
        decl_words = [self.word(decl.type) for decl in declarations]
        for decl in declarations:
            self.strings.want(decl.name)
        members, firsts = self._members()
        constants, enum_firsts, wide = self._constants()
        for text in (self.identity.release, self.identity.compiler):
            self.strings.want(text)
        self.strings.place()
        at = self.strings.at
        names = {number: name for name, number in self.opaque_names.items()}
        sections: list[Iterable[tuple[int, ...]]] = [
            self._index(declarations, constants),
            self._record_entries(firsts, len(members)),
            [(at(m.name), m.offset, word) for m, word in members],
            self._enum_entries(enum_firsts, len(constants)),
            [(at(name), value) for name, value in constants],
            [(at(d.name), w) for d, w in zip(self.typedefs, self.typedef_words)],
            [
                (at(b.name), b.size | t.ENCODINGS.index(b.encoding) << 8 | b.bits << 16)
                for b in self.bases
            ],
            [(at(d.name) | _decl_flags(d), word) for d, word in zip(declarations, decl_words)],
            [(word if word >= 0 else at(names[-1 - word]),) for word in self.pool],
            [(value & (_U32 - 1), value >> 32) for value in wide],
        ]
        if len(self.strings.data) > t.D_NAME:
            raise LayoutError("too many names for a layout table")
        return self._assemble(sections)

    def _members(self) -> tuple[list[tuple[Member, int]], list[int]]:
        members: list[tuple[Member, int]] = []
        firsts: list[int] = []
        for record in self.records:  # grows while it is walked
            firsts.append(len(members))
            if record.name:
                self.strings.want(record.name)
            for member in () if _too_large(record) else record.members:
                word = self.word(member.type)
                if member.bits is not None:
                    word = self._parts(t.T_BITFIELD, word, member.bits)
                if member.name:
                    self.strings.want(member.name)
                members.append((member, word))
        return members, firsts

    def _constants(self) -> tuple[list[tuple[str, int]], list[int], list[int]]:
        constants: list[tuple[str, int]] = []
        firsts: list[int] = []
        wide: list[int] = []
        for enum in self.enums:
            firsts.append(len(constants))
            if enum.name:
                self.strings.want(enum.name)
            for name, value in enum.constants:
                self.strings.want(name)
                if enum.size > 4:
                    wide.append(value & ((1 << 64) - 1))
                    value = len(wide) - 1
                constants.append((name, value & (_U32 - 1)))
        return constants, firsts, wide

    def _record_entries(self, firsts: list[int], end: int) -> Iterable[tuple[int, ...]]:
        for record, first in zip(self.records, firsts):
            info = (t.R_UNION if record.kind == "union" else 0) | (
                _log2(record.align) << t.R_ALIGN_SHIFT
            )
            for flag, on in (
                (t.R_PACKED, record.packed),
                (t.R_INCOMPLETE, record.incomplete),
                (t.R_LOCAL, record.local),
                (t.R_REVERSE, record.reverse),
                (t.R_TRANSPARENT, record.transparent),
                (t.R_OPAQUE, record.opaque or _too_large(record)),
            ):
                info |= flag if on else 0
            size = t.NO_SIZE if _too_large(record) else record.size
            yield self.strings.at(record.name), size, first, info
        yield 0, 0, end, 0

    def _enum_entries(self, firsts: list[int], end: int) -> Iterable[tuple[int, ...]]:
        for enum, first in zip(self.enums, firsts):
            info = enum.size | _log2(enum.align) << t.E_ALIGN_SHIFT
            for flag, on in (
                (t.E_SIGNED, enum.signed),
                (t.E_WIDE, enum.size > 4),
                (t.E_INCOMPLETE, enum.incomplete),
                (t.E_LOCAL, enum.local),
            ):
                info |= flag if on else 0
            yield self.strings.at(enum.name), first, info
        yield 0, end, 0

    def _index(
        self, declarations: list[Declaration], constants: list[tuple[str, int]]
    ) -> Iterable[tuple[int]]:
        entries: list[tuple[bytes, int, int]] = []
        for number, record in enumerate(self.records):
            if record.name and not record.incomplete and not record.local:
                entries.append((record.name.encode(), t.I_RECORD, number))
        for number, enum in enumerate(self.enums):
            if enum.name and not enum.incomplete and not enum.local:
                entries.append((enum.name.encode(), t.I_ENUM, number))
        for number, typedef in enumerate(self.typedefs):
            if not typedef.local:
                entries.append((typedef.name.encode(), t.I_TYPEDEF, number))
        for number, decl in enumerate(declarations):
            entries.append((decl.name.encode(), t.I_DECL, number))
        for number, (name, _) in enumerate(constants):
            entries.append((name.encode(), t.I_CONSTANT, number))
        for _, kind, number in sorted(entries):
            yield (kind << t.INDEX_SHIFT | number,)

    def _assemble(self, sections: list[Iterable[tuple[int, ...]]]) -> bytes:
        blobs = [b"".join(_pack(entry) for entry in section) for section in sections]
        blobs.append(self.strings.data)
        body = bytearray()
        directory = b""
        for blob, size in zip(blobs, t.ENTRY_SIZES):
            body += bytes(-(t.HEADER_SIZE + len(body)) % 8)
            directory += t.SECTION.pack(t.HEADER_SIZE + len(body), len(blob) // size)
            body += blob
        body += bytes(-(t.HEADER_SIZE + len(body)) % 8)
        total = t.HEADER_SIZE + len(body)
        if total >= _U32:
            raise LayoutError("layout table of more than 4 GiB")
        flags = self.identity.pointer_size << t.POINTER_SHIFT
        flags |= t.FLAG_BIG_ENDIAN if self.identity.big_endian else 0
        header = t.HEADER.pack(
            t.MAGIC,
            t.VERSION,
            t.HEADER_SIZE,
            total,
            0,
            flags,
            len(t.ENTRY_SIZES),
            self.identity.digest,
            self.strings.at(self.identity.release),
            self.strings.at(self.identity.compiler),
            0,
            0,
        )
        table = bytearray(header + directory + body)
        table[t.CRC_AT : t.CRC_AT + 4] = t.checksum(table).to_bytes(4, "little")
        return bytes(table)


def _pack(entry: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(entry)}I", *entry)


def _decl_flags(decl: Declaration) -> int:
    return (
        (t.D_STATIC if decl.static else 0)
        | (t.D_INLINE if decl.inline else 0)
        | (t.D_NORETURN if decl.noreturn else 0)
        | (t.D_PERCPU if decl.percpu else 0)
    )
