# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sources' views of one type, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from struct_layout.model import Enum, Record, Type, Typedef, size_of
from struct_layout.view import flatten, named, spell, title

Row = tuple[str, str, str]


def side_by_side(
    ours: Record | Enum | Typedef,
    theirs: Record | Enum | Typedef,
    labels: tuple[str, str],
    differing: Sequence[str],
) -> str:
    """Return a line for each member; those whose path is in `differing` have a star."""
    mine, other = _facts(ours), _facts(theirs)
    rows: list[Row] = [(title(ours), *labels), ("", _whole(ours), _whole(theirs))]
    rows += [
        (f"  {path}", mine.get(path, "-"), other.get(path, "-")) for path in _order(mine, other)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    marked = set(differing)
    lines = []
    for number, (path, a, b) in enumerate(rows):
        star = "*" if number and path.strip() in marked else " "
        lines.append(f"{star} {path:<{widths[0]}}  {a:<{widths[1]}}  {b}".rstrip())
    return "\n".join(lines)


def _order(mine: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return all paths: ours in their order, and each of theirs before what it stands before."""
    found: list[str] = []
    waiting: list[str] = []
    before: dict[str, list[str]] = {}
    for path in other:
        if path in mine:
            before[path], waiting = waiting, []
        else:
            waiting.append(path)
    for path in mine:
        found += [*before.get(path, ()), path]
    return found + waiting


def _whole(type: Type) -> str:
    plain, _ = named(type)
    size = size_of(plain)
    sign = f", {'signed' if plain.signed else 'unsigned'}" if isinstance(plain, Enum) else ""
    return f"{'?' if size is None else size} bytes{sign}"


def _facts(type: Type) -> dict[str, str]:
    plain, _ = named(type)
    if isinstance(plain, Enum):
        return {name: str(value) for name, value in plain.constants}
    if not isinstance(plain, Record):
        return {"": spell(plain)}
    facts = {}
    for flat in flatten(plain):
        if flat.bits is None:
            size = size_of(flat.type)
            place = f"{flat.offset // 8:#x} {'?' if size is None else size}"
        else:
            place = f"{flat.offset // 8:#x}:{flat.offset % 8} :{flat.bits}"
        facts[flat.path] = f"{place} {spell(flat.type)}"
    return facts
