# SPDX-License-Identifier: GPL-2.0-or-later
"""Which member lies at an offset: the way back from a number in a disassembly."""

from __future__ import annotations

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
