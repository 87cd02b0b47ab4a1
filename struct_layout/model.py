# SPDX-License-Identifier: GPL-2.0-or-later
"""C types as plain objects: what every source of layouts (plugin, table, DWARF) is read into.

Offsets and bitfield widths are in bits, sizes and alignments in bytes. The members of a record
and the constants of an enum are loaded when first asked for, because the graph of kernel types
is cyclic and large.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, NamedTuple

_MAX_DEPTH = 50  # of nested types; only damaged data has more


class LayoutError(Exception):
    """Something about layouts that the user can act upon; the text is one complete line."""


class Type:
    """A C type."""

    __slots__ = ()


class Void(Type):
    """``void``."""

    __slots__ = ()


class Base(Type):
    """An arithmetic type: `encoding` is signed, unsigned, bool or float."""

    __slots__ = ("bits", "encoding", "name", "size")

    def __init__(self, name: str, size: int, encoding: str, bits: int | None = None) -> None:
        self.name = name
        self.size = size
        self.encoding = encoding
        self.bits = size * 8 if bits is None else bits


class Pointer(Type):
    """A pointer to `target`."""

    __slots__ = ("size", "target")

    def __init__(self, target: Type, size: int = 8) -> None:
        self.target = target
        self.size = size


class Array(Type):
    """An array; `count` is None for a flexible one and for a length known only at run time."""

    __slots__ = ("count", "target", "variable")

    def __init__(self, target: Type, count: int | None, variable: bool = False) -> None:
        self.target = target
        self.count = count
        self.variable = variable


class Vector(Type):
    """A SIMD vector of `size` bytes."""

    __slots__ = ("size", "target")

    def __init__(self, target: Type, size: int) -> None:
        self.target = target
        self.size = size


class Complex(Type):
    """A complex number of `size` bytes; `target` is one part of it."""

    __slots__ = ("size", "target")

    def __init__(self, target: Type, size: int) -> None:
        self.target = target
        self.size = size


class Function(Type):
    """A function; without `prototyped` nothing is known about its parameters."""

    __slots__ = ("params", "prototyped", "result", "variadic")

    def __init__(
        self, result: Type, params: tuple[Type, ...], variadic: bool, prototyped: bool = True
    ) -> None:
        self.result = result
        self.params = params
        self.variadic = variadic
        self.prototyped = prototyped


class Qualified(Type):
    """`quals` holds letters of "cvra" (const, volatile, restrict, _Atomic)."""

    __slots__ = ("quals", "space", "target")

    def __init__(self, quals: str, target: Type, space: int = 0) -> None:
        self.quals = quals
        self.target = target
        self.space = space


class Typedef(Type):
    """A typedef name."""

    __slots__ = ("local", "name", "target")

    def __init__(self, name: str, target: Type, local: bool = False) -> None:
        self.name = name
        self.target = target
        self.local = local


class Opaque(Type):
    """Something that could not be described; `size` when at least that is known."""

    __slots__ = ("size", "why")

    def __init__(self, size: int | None, why: str) -> None:
        self.size = size
        self.why = why


class Member(NamedTuple):
    """A member of a record: `bits` is the width of a bitfield, else None."""

    name: str | None
    offset: int
    bits: int | None
    type: Type


class Record(Type):
    """A struct or union. Incomplete: only declared. Opaque: members cannot be described."""

    __slots__ = (
        "_load", "_members", "align", "incomplete", "kind", "local", "name", "opaque", "packed",
        "reverse", "size", "transparent",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        name: str | None,
        size: int,
        align: int = 0,
        members: Iterable[Member] = (),
        *,
        load: Callable[[], Iterable[Member]] | None = None,
        packed: bool = False,
        incomplete: bool = False,
        local: bool = False,
        reverse: bool = False,
        transparent: bool = False,
        opaque: bool = False,
    ) -> None:
        self.kind = kind
        self.name = name
        self.size = size
        self.align = align
        self.packed = packed
        self.incomplete = incomplete
        self.local = local
        self.reverse = reverse
        self.transparent = transparent
        self.opaque = opaque
        self._load = load
        self._members: tuple[Member, ...] | None = None if load else tuple(members)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members in the order of declaration, anonymous ones with a name of None."""
        if self._members is None:
            assert self._load is not None
            self._members = tuple(self._load())
            self._load = None
        return self._members

    def set_members(self, members: Iterable[Member]) -> None:
        """Replace the members (for makers of variants, such as tests)."""
        self._members, self._load = tuple(members), None


class Enum(Type):
    """An enum with its constants."""

    __slots__ = (
        "_constants", "_load", "align", "incomplete", "local", "name", "signed", "size",
    )  # fmt: skip

    def __init__(
        self,
        name: str | None,
        size: int,
        signed: bool,
        constants: Iterable[tuple[str, int]] = (),
        *,
        load: Callable[[], Iterable[tuple[str, int]]] | None = None,
        align: int = 0,
        incomplete: bool = False,
        local: bool = False,
    ) -> None:
        self.name = name
        self.size = size
        self.signed = signed
        self.align = align
        self.incomplete = incomplete
        self.local = local
        self._load = load
        self._constants: tuple[tuple[str, int], ...] | None = None if load else tuple(constants)

    @property
    def constants(self) -> tuple[tuple[str, int], ...]:
        """(name, value) in the order of declaration."""
        if self._constants is None:
            assert self._load is not None
            self._constants = tuple(self._load())
            self._load = None
        return self._constants

    def set_constants(self, constants: Iterable[tuple[str, int]]) -> None:
        """Replace the constants."""
        self._constants, self._load = tuple(constants), None


class Declaration(NamedTuple):
    """A function or a variable that a header declares."""

    name: str
    type: Type
    static: bool = False
    inline: bool = False
    noreturn: bool = False
    percpu: bool = False

    @property
    def function(self) -> bool:
        """Whether it is a function."""
        return isinstance(strip(self.type), Function)


def strip(type: Type) -> Type:
    """Return the type behind typedef names and qualifiers."""
    while isinstance(type, (Typedef, Qualified)):
        type = type.target
    return type


def size_of(type: Type) -> int | None:
    """Return the size in bytes; None when C gives it none."""
    factor = 1
    while True:
        type = strip(type)
        if not isinstance(type, Array):
            break
        if type.variable:
            return None
        factor *= type.count or 0
        type = type.target
    if isinstance(type, (Void, Function)):
        return None
    if isinstance(type, (Record, Enum)) and type.incomplete:
        return None
    size = getattr(type, "size", None)
    return None if size is None else size * factor


def align_of(type: Type, depth: int = 0) -> int:
    """Return the alignment in bytes that a member of a type has, if nothing else is said."""
    type = strip(type)
    while isinstance(type, Array):
        type = strip(type.target)
    if isinstance(type, Record):
        if type.align:
            return type.align
        if type.packed or depth > _MAX_DEPTH:
            return 1
        return max((align_of(member.type, depth + 1) for member in type.members), default=1)
    return max(1, min(size_of(type) or 1, 16))


class Identity(NamedTuple):
    """What a table was built from."""

    release: str
    compiler: str
    digest: bytes = bytes(32)
    pointer_size: int = 8
    big_endian: bool = False


class Contents(NamedTuple):
    """All that goes into a table: named types, enums without a name, declarations."""

    types: list[Type]
    declarations: list[Declaration]
