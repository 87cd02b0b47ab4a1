# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes types as BTF, on top of a base that has most of what they refer to."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from struct_layout.btf import (
    ARRAY,
    CONST,
    ENUM,
    ENUM64,
    FLOAT,
    FUNC_PROTO,
    FWD,
    INT,
    MAGIC,
    PTR,
    RESTRICT,
    STRUCT,
    TYPEDEF,
    UNION,
    VOLATILE,
    BtfSource,
)
from struct_layout.model import (
    Array,
    Base,
    Complex,
    Enum,
    Function,
    LayoutError,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    size_of,
    strip,
)
from struct_layout.view import kind_of, spell

_HEAD = struct.Struct("<HBBIIIII")
_QUALIFIERS = {"c": CONST, "v": VOLATILE, "r": RESTRICT}
_FLAG = 1 << 31
_MOST_TYPES = 4000


class _Writer:
    """Numbers types as they are met; bodies follow, as types refer to each other in circles."""

    def __init__(self, wanted: list[Type], base: BtfSource | None) -> None:
        self._base = base
        self._wanted = {id(strip(type)) for type in wanted}
        self._first_text = base.end_text if base else 0
        self._text = bytearray(b"" if base else b"\0")
        self._texts: dict[str, int] = {"": 0}
        self.first_id = base.end_id if base else 1
        self._makers: list[Callable[[], bytes]] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Type] = []  # as numbers go by identity

    def write(self, wanted: Iterable[Type]) -> bytes:
        for type in wanted:
            self._number(type, True)
        body = bytearray()
        done = 0
        while done < len(self._makers):
            body += self._makers[done]()
            done += 1
            if len(self._makers) > _MOST_TYPES:
                raise LayoutError("too many types belong to it: push fewer at once")
        head = _HEAD.pack(MAGIC, 1, 0, _HEAD.size, 0, len(body), len(body), len(self._text) or 1)
        return head + bytes(body) + (bytes(self._text) or b"\0")

    def _name(self, name: str | None) -> int:
        found = self._texts.get(name or "")
        if found is None:
            found = self._texts[name or ""] = self._first_text + len(self._text)
            self._text += (name or "").encode("utf-8", "replace") + b"\0"
        return found

    def _number(self, type: Type, inside: bool) -> int:
        """Return the number of a type; what is not `inside` the wanted ones may stay unknown."""
        if isinstance(type, Qualified) and not set(type.quals) & set(_QUALIFIERS):
            return self._number(type.target, inside)
        if size_of(type) is None and not isinstance(strip(type), (Function, Record, Enum, Array)):
            return 0  # void, or as little known
        known = self._numbers.get(id(type))
        if known is not None:
            return known
        if isinstance(type, (Record, Enum)) and id(type) not in self._wanted and type.name:
            found = self._base.number_of(kind_of(type), type.name) if self._base else None
            if found is not None and self._same(found, type):
                self._numbers[id(type)] = found
                self._kept.append(type)
                return found
            if not inside:
                return self._add(type, lambda: self._forward(type))
        return self._add(type, self._maker(type, inside))

    def _same(self, number: int, type: Record | Enum) -> bool:
        assert self._base is not None
        other = self._base.type(number)
        return bool(type.incomplete) or getattr(other, "size", 0) == type.size

    def _add(self, type: Type, maker: Callable[[], bytes]) -> int:
        number = self.first_id + len(self._makers)
        self._numbers[id(type)] = number
        self._kept.append(type)
        self._makers.append(maker)
        return number

    def _pack(
        self, name: str | None, kind: int, count: int, size: int, *rest: int, flag: bool = False
    ) -> bytes:
        info = kind << 24 | count | (_FLAG if flag else 0)
        return struct.pack(f"<{3 + len(rest)}I", self._name(name), info, size, *rest)

    def _forward(self, type: Type) -> bytes:
        assert isinstance(type, (Record, Enum))
        if isinstance(type, Enum):
            return self._pack(type.name, ENUM, 0, type.size or 4)
        return self._pack(type.name, FWD, 0, 0, flag=type.kind == "union")

    def _maker(self, type: Type, inside: bool) -> Callable[[], bytes]:
        if isinstance(type, Record):
            if type.incomplete or type.opaque:
                return lambda: self._forward(type)
            return lambda: self._record(type)
        if isinstance(type, Enum):
            return lambda: self._enum(type)
        if isinstance(type, Base):
            return lambda: self._base_type(type)
        if isinstance(type, Pointer):
            return lambda: self._pack(None, PTR, 0, self._number(type.target, False))
        if isinstance(type, Typedef):
            return lambda: self._pack(type.name, TYPEDEF, 0, self._number(type.target, inside))
        if isinstance(type, Array):
            return lambda: self._array(type.target, type.count or 0, inside)
        if isinstance(type, Function):
            return lambda: self._function(type)
        if isinstance(type, Qualified):
            letter = next(each for each in type.quals if each in _QUALIFIERS)
            inner = Qualified(type.quals.replace(letter, ""), type.target)
            self._kept.append(inner)
            return lambda: self._pack(None, _QUALIFIERS[letter], 0, self._number(inner, inside))
        if isinstance(type, Complex) and type.size <= 16:
            return lambda: self._pack("complex", INT, 0, type.size, type.size * 8)
        if isinstance(type, (Vector, Complex)):
            part = size_of(type.target) or 1
            return lambda: self._array(type.target, type.size // part, inside)
        size = type.size if isinstance(type, Opaque) else None
        return lambda: self._array(_BYTE, size or 0, inside)

    def _array(self, target: Type, count: int, inside: bool) -> bytes:
        index = self._number(_INDEX, True)
        return self._pack(None, ARRAY, 0, 0, self._number(target, inside), index, count)

    def _base_type(self, type: Base) -> bytes:
        if type.encoding == "float":
            return self._pack(type.name, FLOAT, 0, type.size)
        encoding = {"signed": 1, "bool": 4}.get(type.encoding, 0)
        return self._pack(type.name, INT, 0, type.size, encoding << 24 | min(type.size * 8, 128))

    def _record(self, type: Record) -> bytes:
        members = type.members
        flag = any(member.bits for member in members)
        rest: list[int] = []
        for member in members:
            if member.offset >= 1 << (24 if flag else 32):
                raise LayoutError(f"{spell(type)} is too large for BTF")
            offset = member.offset | (member.bits or 0) << 24
            rest += (self._name(member.name), self._number(member.type, True), offset)
        if len(members) > 0xFFFF:
            raise LayoutError(f"{spell(type)} has too many members for BTF")
        kind = STRUCT if type.kind == "struct" else UNION
        return self._pack(type.name, kind, len(members), type.size, *rest, flag=flag)

    def _enum(self, type: Enum) -> bytes:
        wide = type.size > 4
        rest: list[int] = []
        for name, value in type.constants:
            rest += (self._name(name), value & 0xFFFFFFFF)
            if wide:
                rest.append(value >> 32 & 0xFFFFFFFF)
        kind = ENUM64 if wide else ENUM
        return self._pack(type.name, kind, len(type.constants), type.size, *rest, flag=type.signed)

    def _function(self, type: Function) -> bytes:
        rest: list[int] = []
        for param in type.params:
            rest += (0, self._number(param, False))
        if type.variadic:
            rest += (0, 0)
        return self._pack(None, FUNC_PROTO, len(rest) // 2, self._number(type.result, False), *rest)


_BYTE = Base("unsigned char", 1, "unsigned")
_INDEX = Base("__ARRAY_SIZE_TYPE__", 4, "unsigned")


def write_btf(types: list[Type], base: BtfSource | None = None) -> bytes:
    """Return BTF of types with all that lies inside them.

    What they point to is taken from the base by its name, or stays a name.
    """
    return _Writer(types, base).write(types)
