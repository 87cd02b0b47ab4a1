# SPDX-License-Identifier: GPL-2.0-or-later
"""Types from BTF: the description of its types that a kernel carries, and each of its modules.

A module's BTF is split: it goes on counting types and strings where that of vmlinux, its base,
ends. One pass over the types makes an index; a type becomes an object when it is asked for.
"""

from __future__ import annotations

import struct
import sys
from array import array
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
FLAG, KIND_SHIFT, KIND_MASK, ITEMS = 1 << 31, 24, 0x1F, 0xFFFF  # of a type's second word
_MAX_DEPTH = 60
_MOST_BYTES = 1 << 28

# Kinds of types; the last two came with commits 8c42d2fa4eea (v5.17) and 6089fb325cf7 (v6.0).
(
    INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC,
    FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64,
) = range(1, 20)  # fmt: skip
# What follows the three words of a type's head: words in all, and words per item.
_FIXED = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
_EACH = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}
NAMED = frozenset((STRUCT, UNION, ENUM, TYPEDEF, ENUM64))
QUALIFIERS = {VOLATILE: "v", CONST: "c", RESTRICT: "r", TYPE_TAG: ""}

Named = Union[Record, Enum, Typedef]


class BtfError(LayoutError):
    """The data is not BTF, or is damaged."""


class _Head(NamedTuple):
    name: int
    kind: int
    items: int
    flag: bool
    size: int  # or the type referred to
    at: int  # of what follows, in words


class _Sizes(dict[int, int]):
    """How many words a type has, by the second of them: there are few different ones."""

    def __init__(self) -> None:
        super().__init__()
        self.named: set[int] = set()  # those of types with names of their own

    def __missing__(self, info: int) -> int:
        kind = info >> KIND_SHIFT & KIND_MASK
        if not 0 < kind <= ENUM64:
            raise BtfError(f"a type of the unknown kind {kind}")
        if kind in NAMED:
            self.named.add(info)
        size = self[info] = 3 + _FIXED.get(kind, 0) + _EACH.get(kind, 0) * (info & ITEMS)
        return size


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
        magic, version, _, size, types, types_size, texts, texts_size = struct.unpack_from(
            (">" if self.big_endian else "<") + _HEAD, data
        )
        if magic != MAGIC:
            raise BtfError(f"{name} is no BTF (its magic is {data[:2].hex()})")
        if version != 1:
            raise BtfError(f"{name} is BTF of version {version}, which is not supported (1 is)")
        types, texts = types + size, texts + size
        if max(types + types_size, texts + texts_size) > len(data) or types % 4:
            raise BtfError(f"{name} is cut: its BTF says that it has more than {len(data)} bytes")
        self.strings = data[texts : texts + texts_size]
        if self.strings[-1:] != b"\0":
            raise BtfError(f"{name} has BTF whose strings do not end")
        self.first_id = base.end_id if base else 1
        self.first_text = base.end_text if base else 0
        self.words = self._words(data[types : types + types_size])
        self.places: list[int] = []  # where each type begins in the words
        self.named: list[int] = []  # which of them have names of their own
        infos = self._walk()
        self._signs = any(
            info & FLAG and info >> KIND_SHIFT & KIND_MASK in (ENUM, ENUM64) for info in infos
        )
        if base and base._signs:
            self._signs = True
        self.lost = frozenset({DIMENSIONS} if self._signs else {DIMENSIONS, ENUM_SIGN})
        self._types: dict[int, Type] = {}
        self._index: dict[str, list[int]] | None = None

    @property
    def end_id(self) -> int:
        """The number behind that of the last type."""
        return self.first_id + len(self.places)

    @property
    def end_text(self) -> int:
        """The number of bytes of all strings."""
        return self.first_text + len(self.strings)

    def __len__(self) -> int:
        return 4 * len(self.words)

    def _words(self, data: bytes) -> array[int]:
        if len(data) % 4:
            raise BtfError(f"{self.name} has BTF with a type that is cut")
        words = array("I", data)
        if self.big_endian != (sys.byteorder == "big"):
            words.byteswap()
        return words

    def _walk(self) -> Iterable[int]:
        """Find where types begin; return the different second words of theirs."""
        words, end = self.words, len(self.words)
        places, numbers, sizes = self.places, self.named, _Sizes()
        named = sizes.named
        at = 0
        try:
            while at < end:
                info = words[at + 1]
                size = sizes[info]
                if info in named and words[at]:
                    numbers.append(len(places))
                places.append(at)
                at += size
        except BtfError as error:
            raise BtfError(f"{self.name} has BTF with {error}") from None
        except IndexError:
            at = end + 1
        if at != end:
            raise BtfError(f"{self.name} has BTF with a type that is cut")
        return sizes

    def heads(self) -> Iterator[_Head]:
        """Iterate over the heads of all types."""
        return map(self._head, self.places)

    def _head(self, place: int) -> _Head:
        name, info, size = self.words[place : place + 3]
        kind = info >> KIND_SHIFT & KIND_MASK
        return _Head(name, kind, info & ITEMS, info >= FLAG, size, place + 3)

    # ---- By name -----------------------------------------------------------------------------

    def names(self) -> dict[str, list[int]]:
        """Return by name the numbers of structs, unions, enums and typedefs; not the base's."""
        if self._index is None:
            index: dict[str, list[int]] = {}
            words, places, first = self.words, self.places, self.first_id
            for number in self.named:
                name = self.text(words[places[number]])
                index.setdefault(name, []).append(first + number)
            self._index = index
        return self._index

    def find(self, name: str) -> list[Named]:
        """Return the structs, unions, enums and typedefs of that name, the base's too."""
        found: list[Named] = list(self.base.find(name)) if self.base else []
        for number in self.names().get(name, ()):
            type = self.type(number)
            assert isinstance(type, (Record, Enum, Typedef))
            found.append(type)
        return found

    def own(self, name: str) -> list[Named]:
        """Return what find does, without the base's."""
        found = [self.type(number) for number in self.names().get(name, ())]
        return [type for type in found if isinstance(type, (Record, Enum, Typedef))]

    def type_names(self) -> list[str]:
        """Return the names of all types, sorted; without those of the base."""
        return sorted(self.names())

    def is_split(self) -> bool:
        """Say whether it goes on a base's: only a base begins with the empty string."""
        return self.strings[:1] != b"\0"

    def close(self) -> None:
        """Do nothing: all is in memory."""

    # ---- By number ---------------------------------------------------------------------------

    def text(self, at: int) -> str:
        """Return a string by its place."""
        return self.raw_text(at).decode("utf-8", "backslashreplace")

    def raw_text(self, at: int) -> bytes:
        """Return the bytes of a string by its place."""
        if self.base and at < self.first_text:
            return self.base.raw_text(at)
        start, text = at - self.first_text, self.strings
        if not 0 <= start < len(text):
            raise BtfError(f"{self.name} refers to a string at {at}, beyond its strings")
        return text[start : text.index(0, start)]

    def number_of(self, kind: str, name: str) -> int | None:
        """Return the number of the first complete struct, union or enum of a name."""
        kinds = {"struct": (STRUCT,), "union": (UNION,), "enum": (ENUM, ENUM64)}[kind]
        for source in (self.base, self) if self.base else (self,):
            for number in source.names().get(name, ()):
                if source._head(source.places[number - source.first_id]).kind in kinds:
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
            known = self._make(self._head(self.places[number - self.first_id]), depth + 1)
            self._types[number] = known
        return known

    def _make(self, head: _Head, depth: int) -> Type:
        kind = head.kind
        name = self.text(head.name) or None
        if kind == INT:
            word = self.words[head.at]
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
            target, _, count = self.words[head.at : head.at + 3]
            return Array(self.type(target, depth), count)
        if kind == FUNC_PROTO:
            return self._function(head, depth)
        if kind in (FUNC, VAR, DATASEC, DECL_TAG):
            return Opaque(None, f"BTF kind {kind}")
        if kind == PTR:
            return Pointer(self.type(head.size, depth))
        if kind == TYPEDEF:
            return Typedef(name or "", self.type(head.size, depth))
        return Qualified(QUALIFIERS[kind], self.type(head.size, depth))

    def _items(self, head: _Head, size: int) -> Iterator[tuple[int, ...]]:
        """Iterate over what follows a head, each of `size` words."""
        raw = self.words[head.at : head.at + size * head.items]
        return zip(*(raw[part::size] for part in range(size)))

    def _members(self, head: _Head) -> Iterable[Member]:
        for name, target, offset in self._items(head, 3):
            bits = None
            if head.flag:
                bits = offset >> 24 or None
                offset &= 0xFFFFFF
            yield Member(self.text(name) or None, offset, bits, self.type(target))

    def _enum(self, head: _Head, name: str | None) -> Enum:
        names, values, signed = self.constants(head.at - 3)
        constants = zip(map(self.text, names), values)
        return Enum(name, head.size, signed, constants, incomplete=not names)

    def constants(self, place: int) -> tuple[list[int], list[int], bool]:
        """Return where the names of an enum's constants are, their values, and if it is signed."""
        head = self._head(place)
        # Without the flag that commit 6089fb325cf7 (v6.0) brought only the values tell.
        signed = head.flag
        if head.kind == ENUM64:
            items = self.words[head.at : head.at + 3 * head.items]
            names = items[::3]
            values = [low | high << 32 for low, high in zip(items[1::3], items[2::3])]
            bits = 64
        else:
            items = self.words[head.at : head.at + 2 * head.items]
            names, values = items[::2], items[1::2].tolist()
            bits = 32
            if not self._signs:
                signed = any(value >> 31 for value in values)
        if signed:
            values = [value - (value >> bits - 1 << bits) for value in values]
        return names.tolist(), values, signed

    def _function(self, head: _Head, depth: int) -> Function:
        params = list(self._items(head, 2))
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
    from struct_layout.plain_elf import plain_section

    found = plain_section(path, ".BTF")
    if found is None:
        from struct_layout.elf import section_bytes

        found = section_bytes(path, ".BTF")
    if found is None:
        raise LayoutError(f"{path} has no BTF (no section .BTF)")
    return found


def open_btf(path: str | Path, base: BtfSource | None = None) -> BtfSource:
    """Open the BTF of a file; that of a module needs its base, vmlinux's."""
    path = Path(path)
    data = read_btf(path)
    source = BtfSource(data, base, str(path)) if base else whole_btf(data, str(path))
    source.path = path
    return source


def whole_btf(data: bytes, name: str) -> BtfSource:
    """Return the BTF of a kernel; refuse that of a module, which goes on its kernel's."""
    source = BtfSource(data, name=name)
    if source.is_split():
        raise BtfError(f"{name} has a module's BTF, which goes on that of vmlinux: give that too")
    return source
