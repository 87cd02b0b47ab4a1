# SPDX-License-Identifier: GPL-2.0-or-later
"""Types from BTF: the description of its types that a kernel carries, and each of its modules.

A module's BTF is split: it goes on counting types and strings where that of vmlinux, its base,
ends. One pass over the types makes an index; a type becomes an object when it is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Union

from struct_layout.differences import DIMENSIONS, ENUM_SIGN
from struct_layout.model import (
    Array,
    Base,
    Enum,
    Function,
    LayoutError,
    Member,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Void,
)

MAGIC = 0xEB9F
_HEAD = "HBBIIIII"  # magic, version, flags, size of itself, types at and length, strings the same
_FLAG = 1 << 31
_MAX_DEPTH = 60
_MOST_BYTES = 1 << 28

# Kinds of types; the last two came with commits 8c42d2fa4eea (v5.17) and 6089fb325cf7 (v6.0).
(
    INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC,
    FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64,
) = range(1, 20)  # fmt: skip
# What follows the 12 bytes of a type's head: bytes in all, and bytes per item.
_FIXED = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
_EACH = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}
_NAMED = frozenset((STRUCT, UNION, ENUM, TYPEDEF, ENUM64))
_QUALIFIERS = {VOLATILE: "v", CONST: "c", RESTRICT: "r", TYPE_TAG: ""}

Named = Union[Record, Enum, Typedef]


class BtfError(LayoutError):
    """The data is not BTF, or is damaged."""


class _Head(NamedTuple):
    name: int
    kind: int
    items: int
    flag: bool
    size: int  # or the type referred to
    at: int  # of what follows


class BtfSource:
    """The named types of one BTF, and of its base."""

    label = "btf"

    def __init__(self, data: bytes, base: BtfSource | None = None, name: str = "BTF") -> None:
        self.name = name
        self.base = base
        self.path: Path | None = None
        if len(data) < 24:
            raise BtfError(f"{name} is no BTF: {len(data)} bytes")
        self.big_endian = data[:2] == MAGIC.to_bytes(2, "big")
        self._order = ">" if self.big_endian else "<"
        magic, version, _, size, types, types_size, texts, texts_size = struct.unpack_from(
            self._order + _HEAD, data
        )
        if magic != MAGIC:
            raise BtfError(f"{name} is no BTF (its magic is {data[:2].hex()})")
        if version != 1:
            raise BtfError(f"{name} is BTF of version {version}, which is not supported (1 is)")
        types, texts = types + size, texts + size
        if max(types + types_size, texts + texts_size) > len(data) or types % 4:
            raise BtfError(f"{name} is cut: its BTF says that it has more than {len(data)} bytes")
        self._data = data[types : types + types_size]
        self._text = data[texts : texts + texts_size]
        if self._text[-1:] != b"\0":
            raise BtfError(f"{name} has BTF whose strings do not end")
        self.first_id = base.end_id if base else 1
        self.first_text = base.end_text if base else 0
        self._heads: list[_Head] = list(self._walk())
        self._signs = any(head.flag and head.kind in (ENUM, ENUM64) for head in self._heads)
        if base and base._signs:
            self._signs = True
        self.lost = frozenset({DIMENSIONS} if self._signs else {DIMENSIONS, ENUM_SIGN})
        self._types: dict[int, Type] = {}
        self._index: dict[str, list[int]] | None = None

    @property
    def end_id(self) -> int:
        """The number behind that of the last type."""
        return self.first_id + len(self._heads)

    @property
    def end_text(self) -> int:
        """The number of bytes of all strings."""
        return self.first_text + len(self._text)

    def __len__(self) -> int:
        return len(self._data)

    def _walk(self) -> Iterator[_Head]:
        data, at, end = self._data, 0, len(self._data)
        unpack = struct.Struct(self._order + "III").unpack_from
        make = _Head._make
        while at + 12 <= end:
            name, info, size = unpack(data, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            at += 12
            yield make((name, kind, count, info >= _FLAG, size, at))
            if kind in _EACH:
                at += _EACH[kind] * count
            elif kind in _FIXED:
                at += _FIXED[kind]
            elif not 0 < kind <= ENUM64:
                raise BtfError(f"{self.name} has BTF with a type of the unknown kind {kind}")
        if at != end:
            raise BtfError(f"{self.name} has BTF with a type that is cut")

    # ---- By name -----------------------------------------------------------------------------

    def _names(self) -> dict[str, list[int]]:
        if self._index is None:
            index: dict[str, list[int]] = {}
            for number, head in enumerate(self._heads, self.first_id):
                if head.name and head.kind in _NAMED:
                    index.setdefault(self.text(head.name), []).append(number)
            self._index = index
        return self._index

    def find(self, name: str) -> list[Named]:
        """Return the structs, unions, enums and typedefs of that name, the base's too."""
        found: list[Named] = list(self.base.find(name)) if self.base else []
        for number in self._names().get(name, ()):
            type = self.type(number)
            assert isinstance(type, (Record, Enum, Typedef))
            found.append(type)
        return found

    def own(self, name: str) -> list[Named]:
        """Return what find does, without the base's."""
        found = [self.type(number) for number in self._names().get(name, ())]
        return [type for type in found if isinstance(type, (Record, Enum, Typedef))]

    def type_names(self) -> list[str]:
        """Return the names of all types, sorted; without those of the base."""
        return sorted(self._names())

    def is_split(self) -> bool:
        """Say whether it goes on a base's: only a base begins with the empty string."""
        return self._text[:1] != b"\0"

    def close(self) -> None:
        """Do nothing: all is in memory."""

    # ---- By number ---------------------------------------------------------------------------

    def text(self, at: int) -> str:
        """Return a string by its place."""
        if self.base and at < self.first_text:
            return self.base.text(at)
        start = at - self.first_text
        end = self._text.find(0, start)
        if end < 0 or start < 0:
            raise BtfError(f"{self.name} refers to a string at {at}, beyond its strings")
        return self._text[start:end].decode("utf-8", "backslashreplace")

    def number_of(self, kind: str, name: str) -> int | None:
        """Return the number of the first complete struct, union or enum of a name."""
        kinds = {"struct": (STRUCT,), "union": (UNION,), "enum": (ENUM, ENUM64)}[kind]
        for source in (self.base, self) if self.base else (self,):
            for number in source._names().get(name, ()):
                if source._heads[number - source.first_id].kind in kinds:
                    return number
        return None

    def type(self, number: int, depth: int = 0) -> Type:
        """Return the type of a number."""
        if self.base and number < self.first_id:
            return self.base.type(number, depth)
        known = self._types.get(number)
        if known is None:
            if number == 0:
                return Void()
            if not 0 < number < self.end_id:
                raise BtfError(f"{self.name} refers to type {number}, beyond its types")
            if depth > _MAX_DEPTH:
                raise BtfError(f"{self.name} has a type that contains itself ({number})")
            known = self._make(self._heads[number - self.first_id], depth + 1)
            self._types[number] = known
        return known

    def _make(self, head: _Head, depth: int) -> Type:
        kind = head.kind
        name = self.text(head.name) or None
        if kind == INT:
            (word,) = struct.unpack_from(self._order + "I", self._data, head.at)
            encoding = word >> 24
            what = "bool" if encoding & 4 else "signed" if encoding & 1 else "unsigned"
            return Base(name or "", head.size, what, word & 0xFF)
        if kind == FLOAT:
            return Base(name or "", head.size, "float")
        if kind in (STRUCT, UNION):
            return Record(
                "struct" if kind == STRUCT else "union", name, head.size,
                load=lambda: self._members(head),
            )  # fmt: skip
        if kind == FWD:
            return Record("union" if head.flag else "struct", name, 0, incomplete=True)
        if kind in (ENUM, ENUM64):
            return self._enum(head, name)
        if kind == ARRAY:
            target, _, count = struct.unpack_from(self._order + "III", self._data, head.at)
            return Array(self.type(target, depth), count)
        if kind == FUNC_PROTO:
            return self._function(head, depth)
        if kind in (FUNC, VAR, DATASEC, DECL_TAG):
            return Opaque(None, f"BTF kind {kind}")
        if kind == PTR:
            return Pointer(self.type(head.size, depth))
        if kind == TYPEDEF:
            return Typedef(name or "", self.type(head.size, depth))
        return Qualified(_QUALIFIERS[kind], self.type(head.size, depth))

    def _items(self, head: _Head, size: int) -> Iterator[tuple[int, ...]]:
        raw = self._data[head.at : head.at + size * head.items]
        return struct.iter_unpack(self._order + "I" * (size // 4), raw)

    def _members(self, head: _Head) -> Iterable[Member]:
        for name, target, offset in self._items(head, 12):
            bits = None
            if head.flag:
                bits = offset >> 24 or None
                offset &= 0xFFFFFF
            yield Member(self.text(name) or None, offset, bits, self.type(target))

    def _enum(self, head: _Head, name: str | None) -> Enum:
        # Without the flag that commit 6089fb325cf7 (v6.0) brought only the values tell.
        if head.kind == ENUM64:
            values = [(item[0], item[1] | item[2] << 32) for item in self._items(head, 12)]
            bits, signed = 64, head.flag
        else:
            values = [(item[0], item[1]) for item in self._items(head, 8)]
            bits, signed = 32, head.flag
            if not self._signs:
                signed = any(value >> 31 for _, value in values)
        constants = [
            (self.text(at), value - (1 << bits) if signed and value >> (bits - 1) else value)
            for at, value in values
        ]
        return Enum(name, head.size, signed, constants, incomplete=not constants)

    def _function(self, head: _Head, depth: int) -> Function:
        params = list(self._items(head, 8))
        variadic = bool(params) and params[-1] == (0, 0)
        if variadic:
            params.pop()
        return Function(
            self.type(head.size, depth),
            tuple(self.type(target, depth) for _, target in params),
            variadic,
        )


def read_btf(path: Path) -> bytes:
    """Return the BTF of an ELF file (vmlinux, a module, an object), or a file of nothing else."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
            if start[:2] in (MAGIC.to_bytes(2, "little"), MAGIC.to_bytes(2, "big")):
                return start + file.read(_MOST_BYTES)
    except OSError as error:
        raise LayoutError(f"cannot read {path}: {error.strerror or error}") from None
    from struct_layout.elf import section_bytes

    found = section_bytes(path, ".BTF")
    if found is None:
        raise LayoutError(f"{path} has no BTF (no section .BTF)")
    return found


def open_btf(path: str | Path, base: BtfSource | None = None) -> BtfSource:
    """Open the BTF of a file; that of a module needs its base, vmlinux's."""
    path = Path(path)
    data = read_btf(path)
    source = BtfSource(data, base, str(path))
    source.path = path
    if base is None and source.is_split():
        raise BtfError(f"{path} has a module's BTF, which goes on that of vmlinux: give that too")
    return source
