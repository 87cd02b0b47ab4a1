# SPDX-License-Identifier: GPL-2.0-or-later
"""Types of the running kernel's BTF, one at a time, through the index that the module made."""

from __future__ import annotations

import struct

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError
from gdb_kpy.core.memory import Read, u32, u64
from struct_layout import btf
from struct_layout.model import (
    Array,
    Base,
    Enum,
    Function,
    Member,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Void,
)

_HEAD = struct.Struct("<III")
_QUALIFIERS = {btf.VOLATILE: "v", btf.CONST: "c", btf.RESTRICT: "r"}
_MOST_TYPES = 1 << 20
_LONGEST_NAME = 256
_MAX_DEPTH = 60


class Btf:
    """One BTF that the module has opened; ``address`` is that of its struct kpy_btf."""

    def __init__(self, read: Read, info: DebugInfo, address: int) -> None:
        self._read = read
        at = {name: address + offset for name, offset in info.group("off.btf").items()}
        base = u64(read, at["base"])
        self._base = Btf(read, info, base) if base else None
        self._data, self._length = u64(read, at["type_data"]), u32(read, at["type_len"])
        self._strings, self._strings_length = u64(read, at["strings"]), u32(read, at["strings_len"])
        self._first, self._first_string = u32(read, at["first_id"]), u32(read, at["first_string"])
        self._count = u32(read, at["n_types"])
        self._offsets = u64(read, at["offsets"])
        if self._count > _MOST_TYPES:
            raise CorruptError(address, "number of types", f"at most {_MOST_TYPES}", self._count)
        self._types: dict[int, Type] = {}

    def type(self, number: int, depth: int = 0) -> Type:
        """Return the type of a number."""
        if number == 0:
            return Void()
        if self._base is not None and number < self._first:
            return self._base.type(number, depth)
        found = self._types.get(number)
        if found is None:
            if not 0 <= number - self._first < self._count or depth > _MAX_DEPTH:
                raise CorruptError(self._offsets, "BTF type", f"below {self._count}", number)
            found = self._types[number] = self._make(number, depth + 1)
        return found

    def _name(self, offset: int) -> str | None:
        if self._base is not None and offset < self._first_string:
            return self._base._name(offset)
        offset -= self._first_string
        if not 0 <= offset < self._strings_length:
            return None
        raw = self._read(self._strings + offset, min(_LONGEST_NAME, self._strings_length - offset))
        return raw.split(b"\0", 1)[0].decode("utf-8", "replace") or None

    def _make(self, number: int, depth: int) -> Type:
        place = u32(self._read, self._offsets + 4 * (number - self._first))
        if place + _HEAD.size > self._length:
            raise CorruptError(self._data + place, "BTF type", f"inside {self._length}", place)
        name_at, head, size = _HEAD.unpack(self._read(self._data + place, _HEAD.size))
        kind, count, flag = head >> 24 & 0x1F, head & 0xFFFF, bool(head >> 31)
        at = self._data + place + _HEAD.size
        name = self._name(name_at) or ""
        if kind == btf.INT:
            return self._int(name, size, u32(self._read, at))
        if kind == btf.PTR:
            return Pointer(self.type(size, depth))
        if kind == btf.ARRAY:
            target, _index, length = _HEAD.unpack(self._read(at, _HEAD.size))
            return Array(self.type(target, depth), length or None)
        if kind in (btf.STRUCT, btf.UNION):
            what = "union" if kind == btf.UNION else "struct"
            return Record(what, name or None, size, load=lambda: self._members(at, count, flag))
        if kind in (btf.ENUM, btf.ENUM64):
            return self._enum(name, size, flag, at, count, kind == btf.ENUM64)
        if kind == btf.FWD:
            return Record("union" if flag else "struct", name or None, 0, incomplete=True)
        if kind == btf.TYPEDEF:
            return Typedef(name, self.type(size, depth))
        if kind in _QUALIFIERS:
            return Qualified(_QUALIFIERS[kind], self.type(size, depth))
        if kind == btf.TYPE_TAG:
            return self.type(size, depth)
        if kind == btf.FUNC:
            return self.type(size, depth)
        if kind == btf.FUNC_PROTO:
            return self._function(size, at, count, depth)
        if kind == btf.FLOAT:
            return Base(name, size, "float")
        return Opaque(None, f"BTF kind {kind}")

    def _int(self, name: str, size: int, word: int) -> Type:
        encoding = word >> 24 & 0xF
        word_kind = "bool" if encoding & 4 else "signed" if encoding & 1 else "unsigned"
        return Base(name, size, word_kind)

    def _members(self, at: int, count: int, flag: bool) -> list[Member]:
        found = []
        for name, type, offset in _HEAD.iter_unpack(self._read(at, _HEAD.size * count)):
            bits = offset >> 24 if flag else 0
            place = offset & 0xFFFFFF if flag else offset
            found.append(Member(self._name(name), place, bits or None, self.type(type)))
        return found

    def _enum(self, name: str, size: int, flag: bool, at: int, count: int, wide: bool) -> Type:
        each = struct.Struct("<IQ" if wide else "<II")
        raw = list(each.iter_unpack(self._read(at, each.size * count)))
        width = 64 if wide else 32
        # Since commit 6089fb325cf7 (v6.0) the flag tells the sign; before, only the values do.
        signed = flag or (not wide and any(value >> 31 for _name, value in raw))
        constants = [
            (self._name(at) or "", value - (1 << width) if signed and value >> width - 1 else value)
            for at, value in raw
        ]
        return Enum(name or None, size, signed, constants)

    def _function(self, result: int, at: int, count: int, depth: int) -> Type:
        raw = [struct.unpack("<II", self._read(at + 8 * i, 8)) for i in range(count)]
        variadic = bool(raw) and raw[-1] == (0, 0)
        params = tuple(self.type(type, depth) for _name, type in (raw[:-1] if variadic else raw))
        return Function(self.type(result, depth), params, variadic)
