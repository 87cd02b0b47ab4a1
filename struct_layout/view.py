# SPDX-License-Identifier: GPL-2.0-or-later
"""Types as they are compared: the same C type from two sources gives the same plain value.

Typedef names and qualifiers go; a struct without a tag is known by the typedef that names it;
anonymous members are inlined; what is behind a pointer counts by its name only, because a unit
may know a struct's layout that another has merely heard of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from struct_layout.model import (
    Array,
    Base,
    Complex,
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
    Vector,
    Void,
    size_of,
    strip,
)

# A shape is a tuple whose first item says the kind:
#   (records and enums that are only declared have just kind and name)
#   ("void",) ("int", size, signed) ("bool", size) ("float", size) ("enum", name, size, signed)
#   ("struct"|"union", name, size) ("ptr", shape behind) ("array", count, shape of elements)
#   ("func", result, params, variadic) ("func",) ("vector", size) ("complex", size)
#   ("opaque", size)
Shape = tuple[Any, ...]

_MAX_DEPTH = 50  # of unnamed members; only damaged data has more


class Flat(NamedTuple):
    """A member by its dotted path; members of anonymous members stand for themselves."""

    path: str
    offset: int  # bits
    bits: int | None
    type: Type


def named(type: Type) -> tuple[Type, str | None]:
    """Return the type behind typedefs and qualifiers and the last typedef name on the way."""
    name = None
    while isinstance(type, (Typedef, Qualified)):
        if isinstance(type, Typedef):
            name = type.name
        type = type.target
    return type, name


def kind_of(type: Type) -> str:
    """Return struct, union, enum or typedef."""
    if isinstance(type, Record):
        return type.kind
    return "enum" if isinstance(type, Enum) else "typedef"


def title(type: Record | Enum | Typedef) -> str:
    """Return a type's name as C says it: "struct task_struct", "atomic_t"."""
    return str(type.name) if isinstance(type, Typedef) else f"{kind_of(type)} {type.name}"


def shape(type: Type, behind: bool = False) -> Shape:
    """Return what is compared of a type; `behind` a pointer only the name of records counts."""
    type, alias = named(type)
    if isinstance(type, Base):
        if type.encoding in ("bool", "float"):
            return (type.encoding, type.size)
        return ("int", type.size, type.encoding == "signed")
    if isinstance(type, Pointer):
        return ("ptr", shape(type.target, True))
    if isinstance(type, Record):
        name = type.name or alias
        known = not (behind or type.incomplete)
        return (type.kind, name, type.size) if known else (type.kind, name)
    if isinstance(type, Enum):
        name = type.name or alias
        known = not (behind or type.incomplete)
        return ("enum", name, type.size, type.signed) if known else ("enum", name)
    if isinstance(type, Array):
        # DWARF does not tell int a[0] from int a[].
        return ("array", type.count or 0, shape(type.target, behind))
    if isinstance(type, Function):
        if not type.prototyped:
            return ("func",)
        params = tuple(shape(param, True) for param in type.params)
        return ("func", shape(type.result, True), params, type.variadic)
    if isinstance(type, (Vector, Complex)):
        return ("vector" if isinstance(type, Vector) else "complex", type.size)
    if isinstance(type, Opaque):
        return ("opaque", type.size)
    return ("void",)


def flatten(record: Record, prefix: str = "", base: int = 0, _depth: int = 0) -> Iterator[Flat]:
    """Iterate over the members, into those whose type has no name of its own."""
    if _depth > _MAX_DEPTH:
        raise LayoutError(f"{record.kind} with members nested more than {_MAX_DEPTH} deep")
    for member in record.members:
        inner, dims = _anonymous(member)
        if member.name is None:
            if inner is not None and not dims:
                yield from flatten(inner, prefix, base + member.offset, _depth + 1)
            continue
        path = prefix + member.name
        yield Flat(path, base + member.offset, member.bits, member.type)
        if inner is not None:
            yield from flatten(inner, path + dims + ".", base + member.offset, _depth + 1)


def _anonymous(member: Member) -> tuple[Record | None, str]:
    """Return the record without tag and typedef name that a member is or is an array of."""
    type, dims = member.type, ""
    while isinstance(type, (Qualified, Array)):
        if isinstance(type, Array):
            dims += "[]"
        type = type.target
    if isinstance(type, Record) and type.name is None:
        return type, dims
    return None, ""


def embedded(record: Record) -> Iterator[Type]:
    """Iterate over the named types that lie inside a record: part of its layout."""
    for member in record.members:
        type = member.type
        while isinstance(type, (Qualified, Array)):
            type = type.target
        typedef = type if isinstance(type, Typedef) else None
        type = strip(type)
        if isinstance(type, (Record, Enum)):
            if type.name is not None:
                yield type
            elif typedef is not None:
                yield typedef
            elif isinstance(type, Record):
                yield from embedded(type)


def spell(type: Type, name: str = "") -> str:
    """Write a type the way C declares `name` with it."""
    return _declare(type, name).strip()


def _declare(type: Type, inner: str) -> str:
    if isinstance(type, Pointer):
        target = type.target
        while isinstance(target, Qualified):
            target = target.target
        if isinstance(target, (Array, Function)):
            return _declare(type.target, f"(*{inner})")
        return _declare(type.target, f"*{inner}")
    if isinstance(type, Array):
        count = "?" if type.variable else "" if type.count is None else str(type.count)
        return _declare(type.target, f"{inner}[{count}]")
    if isinstance(type, Function):
        params: list[str] = [spell(param) for param in type.params]
        if type.variadic:
            params.append("...")
        if not params and type.prototyped:
            params.append("void")
        return _declare(type.result, f"{inner}({', '.join(params)})")
    if isinstance(type, Qualified):
        words = " ".join(_QUALIFIER[letter] for letter in type.quals)
        target = type.target
        if isinstance(target, Pointer):
            return _declare(target, f"{words} {inner}" if words else inner)
        return f"{words} {_declare(target, inner)}".strip()
    return f"{_word(type)} {inner}".rstrip()


_QUALIFIER = {"c": "const", "v": "volatile", "r": "restrict", "a": "_Atomic"}


def _word(type: Type) -> str:
    if isinstance(type, Void):
        return "void"
    if isinstance(type, Record):
        return f"{type.kind} {type.name or '{…}'}"
    if isinstance(type, Enum):
        return f"enum {type.name or '{…}'}"
    if isinstance(type, (Base, Typedef)):
        return type.name
    if isinstance(type, (Vector, Complex)):
        word = "_Complex" if isinstance(type, Complex) else "vector of"
        return f"{word} {spell(type.target)}"
    size = size_of(type)
    return f"(opaque, {size} bytes)" if size is not None else "(opaque)"
