# SPDX-License-Identifier: GPL-2.0-or-later
"""Is this struct trustworthy? A question that other commands ask about structs they read."""

from __future__ import annotations

from typing import NamedTuple

from struct_layout.compare import SelectionError, Source, compare, split_kind
from struct_layout.differences import DIFFERS, ONLY_OURS


class Trust(NamedTuple):
    """`ok`: True when two sources agree, False when they do not, None when only one knows it."""

    ok: bool | None
    why: str  # one line

    def __bool__(self) -> bool:
        return bool(self.ok)


def trust(
    table: Source, other: Source, name: str, labels: tuple[str, str] = ("plugin", "dwarf")
) -> Trust:
    """Compare one struct, union, enum or typedef and what lies inside it: milliseconds."""
    plain = split_kind(name)[1]
    if not table.find(plain) and not other.find(plain):
        return Trust(None, f"neither {labels[0]} nor {labels[1]} has {name}")
    try:
        result = compare(table, other, [name], labels=labels)
    except SelectionError as error:
        return Trust(None, str(error))
    if not result.ok:
        first = next(each for each in result.types if each.verdict == DIFFERS)
        where = first.differences[0]
        member = f".{where.path}" if where.path else ""
        return Trust(
            False,
            f"{first.name}{member}: {where.what} is {where.ours} in {labels[0]}, "
            f"{where.theirs} in {labels[1]}",
        )
    unknown = [each.name for each in result.types if each.verdict == ONLY_OURS]
    if unknown:
        return Trust(True, f"{labels[0]} and {labels[1]} agree; {unknown[0]} only in {labels[0]}")
    return Trust(True, f"{labels[0]} and {labels[1]} agree")
