# SPDX-License-Identifier: GPL-2.0-or-later
"""Which member lies at an offset: the way back from a number in a disassembly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from struct_layout.model import Array, LayoutError, Member, Record, Type, size_of, strip
from struct_layout.view import spell

_MAX_DEPTH = 50  # of nested types; only damaged tables have more


class Place(NamedTuple):
    """What lies at an offset. `into` is how many bytes into it the offset points."""

    path: str
    type: str
    into: int

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return self._asdict()


def at_offset(type: Type, offset: int) -> list[Place]:
    """Return the innermost members at `offset` bytes: several in a union, none in a hole.

    Raises LayoutError when the offset is outside of the type.
    """
    size = size_of(type)
    if size is None or not 0 <= offset < max(size, 1):
        raise LayoutError(f"offset {offset:#x} is outside of {spell(type)} ({size or 0:#x} bytes)")
    return list(_inside(type, offset, "", 0))


_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")


def of_path(type: Type, path: str) -> tuple[int, Type]:
    """Return offset in bits and type of a member by its path: "b.c", "a[2].d"."""
    at, offset = 0, 0
    whole = spell(type)
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise LayoutError(f"'{path}' is no member's path: b.c or a[2].d")
        plain = strip(type)
        if step[1]:
            found = _member_named(plain, step[1]) if isinstance(plain, Record) else None
            if found is None:
                raise LayoutError(f"{spell(type)} has no member {step[1]}" + _of(whole, type))
            offset, type = offset + found[0], found[1]
        else:
            if not isinstance(plain, Array):
                raise LayoutError(f"{path[:at]} of {whole} is no array")
            offset += int(step[2]) * 8 * (size_of(plain.target) or 0)
            type = plain.target
        at = step.end()
    return offset, type


def _of(whole: str, type: Type) -> str:
    return "" if spell(type) == whole else f" (in {whole})"


def _member_named(record: Record, name: str, depth: int = 0) -> tuple[int, Type] | None:
    """Find a member, in anonymous members too."""
    for member in record.members:
        if member.name == name:
            if member.bits is not None and member.offset % 8:
                raise LayoutError(f"{name} is a bitfield that begins inside a byte")
            return member.offset, member.type
        inner = strip(member.type)
        if not member.name and isinstance(inner, Record) and depth < _MAX_DEPTH:
            found = _member_named(inner, name, depth + 1)
            if found is not None:
                return member.offset + found[0], found[1]
    return None


def _inside(type: Type, offset: int, path: str, depth: int) -> Iterator[Place]:
    plain = strip(type)
    if depth > _MAX_DEPTH:
        raise LayoutError(f"{spell(type)} is nested more than {_MAX_DEPTH} deep")
    if isinstance(plain, Array):
        size = size_of(plain.target)
        if size:
            index, into = divmod(offset, size)
            yield from _inside(plain.target, into, f"{path}[{index}]", depth + 1)
            return
    if isinstance(plain, Record) and not plain.opaque:
        for member in plain.members:
            start, end = _extent(member)
            if start <= offset < end:
                inner = path
                if member.name:
                    inner = f"{path}.{member.name}" if path else member.name
                if member.bits is not None:
                    first = member.offset % 8
                    bits = f"{spell(member.type)}:{member.bits} at bit {first}"
                    yield Place(inner, bits, offset - start)
                else:
                    yield from _inside(member.type, offset - start, inner, depth + 1)
        return
    yield Place(path, spell(type), offset)


def _extent(member: Member) -> tuple[int, int]:
    """Return the bytes that a member takes: [start, end)."""
    start = member.offset // 8
    if member.bits is not None:
        return start, (member.offset + member.bits + 7) // 8
    size = size_of(member.type)
    if size == 0 and isinstance(strip(member.type), Array):
        return start, 1 << 62  # flexible: to the end
    return start, start + (size or 0)
