# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between two types, fact by fact and member by member."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from struct_layout.model import Array, Enum, Qualified, Record, Type, Typedef, align_of, size_of
from struct_layout.view import Flat, Shape, flatten, kind_of, named, shape, spell, title

EQUAL, DIFFERS, ONLY_OURS, ONLY_THEIRS = "equal", "differs", "only in ours", "only in theirs"

ABSENT = -1  # as a number of members: there is no such type

# What a source does not know, so that it cannot differ in it.
DIMENSIONS = "dimensions"  # int a[2][3] is int a[6], and a vector is an array
ENUM_SIGN = "enum sign"  # and whether a constant is -1 or 0xffffffff


class Difference(NamedTuple):
    """One fact that differs. `path` is "" for the type as a whole."""

    path: str
    what: str
    ours: str
    theirs: str
    shift: int | None = None  # by how many bits (for a constant: how much) it moved
    within: tuple[str, ...] = ()  # named types that the member is made of
    natural: bool = False  # it moved because of what is before it: it follows at once on both sides


class Comparer:
    """Compares types of two sources; what they do not know, `lost`, is left out of it."""

    def __init__(self, lost: Iterable[str] = ()) -> None:
        self._lost = frozenset(lost)
        self._flat = DIMENSIONS in self._lost
        # Sources give the same object for the same type: most pairs come again and again.
        self._same: set[tuple[int, int]] = set()

    def types(self, ours: Type, theirs: Type) -> tuple[dict[str, int], list[Difference]]:
        """Compare two types; return the number of members per verdict and the differences."""
        if isinstance(ours, Typedef):
            # The name stands for what is behind it; records and enums with a tag answer themselves.
            (mine, _), (other, _) = named(ours), named(theirs)
            inline = (
                isinstance(mine, (Record, Enum))
                and isinstance(other, (Record, Enum))
                and mine.name is None
                and other.name is None
            )
            if not inline:
                # It does not explain itself.
                return {}, [d._replace(within=d.within[1:]) for d in self._member("", ours, theirs)]
            ours, theirs = mine, other
        if isinstance(ours, Record) and isinstance(theirs, Record):
            return self._records(ours, theirs)
        if isinstance(ours, Enum) and isinstance(theirs, Enum):
            return self._enums(ours, theirs)
        return {}, [Difference("", "kind", kind_of(ours), kind_of(theirs))]

    # ---- Records -----------------------------------------------------------------------------

    def _records(self, ours: Record, theirs: Record) -> tuple[dict[str, int], list[Difference]]:
        differences: list[Difference] = []
        if ours.kind != theirs.kind:
            differences.append(Difference("", "kind", ours.kind, theirs.kind))
        if ours.size != theirs.size and not (ours.opaque and not ours.size):
            differences.append(Difference("", "size", str(ours.size), str(theirs.size)))
        if ours.opaque or (ours.transparent and not theirs.members):
            # GCC describes a typedef that is a transparent union without its members.
            return {}, differences
        mine, others = self._flattened(ours), {f.path: f for f in self._flattened(theirs)}
        counts: Counter[str] = Counter()
        before: dict[str, tuple[Flat | None, Flat | None]] = {}
        missing = _missing({flat.path for flat in mine}, others)
        for flat in mine:
            other = others.get(flat.path)
            if other is None:
                counts[ONLY_OURS] += 1
                differences.append(Difference(flat.path, "presence", _place(flat), "absent"))
            else:
                for absent in missing.pop(flat.path, ()):
                    counts[ONLY_THEIRS] += 1
                    differences.append(absent)
                found = self._members(flat, other)
                if found and found[0].shift is not None:
                    before = before or _before(mine, others)
                    found[0] = found[0]._replace(natural=_is_natural(flat, other, before))
                counts[DIFFERS if found else EQUAL] += 1
                differences += found
        for rest in missing.values():
            counts[ONLY_THEIRS] += len(rest)
            differences += rest
        return dict(counts), differences

    def _flattened(self, record: Record) -> list[Flat]:
        if not self._flat:
            return list(flatten(record))
        # As arrays of arrays are arrays, so are they in paths.
        return [
            each._replace(path=each.path.replace("][", "")) if "][" in each.path else each
            for each in flatten(record)
        ]

    def _members(self, ours: Flat, theirs: Flat) -> list[Difference]:
        differences: list[Difference] = []
        path = ours.path
        mine, other = ours.bits, theirs.bits
        if ours.offset != theirs.offset:
            shift = ours.offset - theirs.offset
            if mine is None and other is None:
                found = ("offset", str(ours.offset // 8), str(theirs.offset // 8))
            else:
                found = ("bit position", str(ours.offset), str(theirs.offset))
            differences.append(Difference(path, *found, shift))
        if mine != other:
            # A bitfield as wide as its type is the same as none.
            full = (size_of(ours.type) or 0) * 8
            if (full if mine is None else mine) != (full if other is None else other):
                differences.append(
                    Difference(path, "bit width", str(mine or full), str(other or full))
                )
        return differences + self._member(path, ours.type, theirs.type)

    def _member(self, path: str, ours: Type, theirs: Type) -> list[Difference]:
        pair = (id(ours), id(theirs))
        if pair in self._same:
            return []
        mine, other = self._shape(ours), self._shape(theirs)
        # BTF has no type at all for what its writer did not understand.
        nothing = self._flat and ("void",) in (mine, other)
        what = None if nothing else self._first(mine, other)
        if what is None:
            self._same.add(pair)
            return []
        texts = (spell(ours), spell(theirs))
        if texts[0] == texts[1] or what[0] in ("size", "array length", "signedness"):
            texts = (what[1], what[2])
        return [Difference(path, what[0], *texts, within=_within(ours))]

    # ---- Enums -------------------------------------------------------------------------------

    def _enums(self, ours: Enum, theirs: Enum) -> tuple[dict[str, int], list[Difference]]:
        differences: list[Difference] = []
        counts: Counter[str] = Counter()
        mask = (1 << 8 * max(ours.size, 4)) - 1 if ENUM_SIGN in self._lost else -1
        if ours.size != theirs.size:
            differences.append(Difference("", "size", str(ours.size), str(theirs.size)))
        if ours.signed != theirs.signed and mask < 0:
            differences.append(
                Difference("", "signedness", _signedness(ours.signed), _signedness(theirs.signed))
            )
        others, mine = dict(theirs.constants), dict(ours.constants)
        for name, value in mine.items():
            if name not in others:
                counts[ONLY_OURS] += 1
                differences.append(Difference(name, "presence", str(value), "absent"))
            elif others[name] & mask != value & mask:
                counts[DIFFERS] += 1
                shift = value - others[name]
                differences.append(
                    Difference(name, "enumerator value", str(value), str(others[name]), shift)
                )
            else:
                counts[EQUAL] += 1
        for name, value in others.items():
            if name not in mine:
                counts[ONLY_THEIRS] += 1
                differences.append(Difference(name, "presence", "absent", str(value)))
        return dict(counts), differences

    # ---- Shapes ------------------------------------------------------------------------------

    def _shape(self, type: Type) -> Shape:
        return _flat(shape(type)) if self._flat else shape(type)

    def _first(self, mine: Shape, other: Shape) -> tuple[str, str, str] | None:
        """Say what differs between two shapes, None when nothing that can be known does."""
        if mine == other:
            return None
        kind, kinds = mine[0], (mine[0], other[0])
        if "opaque" in kinds or (self._flat and {"vector", "complex"} & set(kinds)):
            # All that is known of it is its size; the offsets around it tell that.
            return None
        if kind != other[0]:
            return ("kind", str(mine[0]), str(other[0]))
        if kind == "ptr":
            inner = self._first(mine[1], other[1])
            return None if inner is None else ("pointee", inner[1], inner[2])
        if kind == "array":
            if mine[1] != other[1]:
                return ("array length", str(mine[1]), str(other[1]))
            return self._first(mine[2], other[2])
        if kind == "func":
            return self._function(mine, other)
        if kind in ("struct", "union", "enum"):
            # Where a source lost the name there is nothing to compare.
            if mine[1] != other[1] and mine[1] and other[1]:
                return ("type", f"{kind} {mine[1]}", f"{kind} {other[1]}")
            mine, other = mine[1:], other[1:]
        if len(mine) > 1 and len(other) > 1 and mine[1] != other[1]:
            return ("size", str(mine[1]), str(other[1]))
        if len(mine) > 2 and len(other) > 2 and mine[2] != other[2]:
            if kind == "enum" and ENUM_SIGN in self._lost:
                return None
            return ("signedness", _signedness(mine[2]), _signedness(other[2]))
        return None

    def _function(self, mine: Shape, other: Shape) -> tuple[str, str, str] | None:
        if len(mine) == 1 or len(other) == 1:  # no prototype
            return None
        if len(mine[2]) != len(other[2]) or mine[3] != other[3]:
            return ("parameters", str(len(mine[2])), str(len(other[2])))
        for ours, theirs in zip((mine[1], *mine[2]), (other[1], *other[2])):
            inner = self._first(ours, theirs)
            if inner is not None:
                return ("parameters", inner[1], inner[2])
        return None


def _flat(whole: Shape) -> Shape:
    """Return a shape with arrays of arrays as arrays."""
    if whole[0] == "array":
        inner = _flat(whole[2])
        if inner[0] == "array":
            return ("array", whole[1] * inner[1], inner[2])
        return ("array", whole[1], inner)
    if whole[0] == "ptr":
        return ("ptr", _flat(whole[1]))
    if whole[0] == "func" and len(whole) > 1:
        return ("func", _flat(whole[1]), tuple(map(_flat, whole[2])), whole[3])
    return whole


def _before(
    mine: list[Flat], others: dict[str, Flat]
) -> dict[str, tuple[Flat | None, Flat | None]]:
    """Return by path what each member follows on both sides."""
    theirs = list(others.values())
    left = {flat.path: prior for flat, prior in zip(mine[1:], mine)}
    right = {flat.path: prior for flat, prior in zip(theirs[1:], theirs)}
    return {flat.path: (left.get(flat.path), right.get(flat.path)) for flat in mine}


def _is_natural(
    ours: Flat, theirs: Flat, before: dict[str, tuple[Flat | None, Flat | None]]
) -> bool:
    """Say whether a member follows the same one on both sides, as near as its alignment allows."""
    mine, other = before[ours.path]
    if mine is None or other is None or mine.path != other.path:
        return False
    # A member may ask for more than its type does: both places are multiples of that then.
    both = ours.offset | theirs.offset
    align = max(8 * align_of(ours.type), both & -both)
    return _follows(ours, mine, align) and _follows(theirs, other, align)


def _follows(flat: Flat, prior: Flat, align: int) -> bool:
    if flat.path.startswith(prior.path + "."):
        end = prior.offset
    elif prior.bits is not None:
        end = prior.offset + prior.bits
    else:
        end = prior.offset + 8 * (size_of(prior.type) or 0)
    return 0 <= flat.offset - end < align


def _missing(mine: set[str], others: dict[str, Flat]) -> dict[str, list[Difference]]:
    """Return what only the other side has, by the common member behind it ("": none)."""
    found: dict[str, list[Difference]] = {}
    waiting: list[Difference] = []
    for path, other in others.items():
        if path not in mine:
            waiting.append(Difference(path, "presence", "absent", _place(other)))
        elif waiting:
            found[path] = waiting
            waiting = []
    if waiting:
        found[""] = waiting
    return found


def _place(flat: Flat) -> str:
    where = f"at {flat.offset // 8}"
    if flat.bits is not None:
        where += f", bit {flat.offset % 8} of width {flat.bits}"
    return where


def _within(type: Type) -> tuple[str, ...]:
    """Return the named types that a type consists of: typedefs, then what they stand for."""
    names = []
    while isinstance(type, (Typedef, Qualified, Array)):
        if isinstance(type, Typedef):
            names.append(type.name)
        type = type.target
    if isinstance(type, (Record, Enum)) and type.name:
        names.append(title(type))
    return tuple(names)


def _signedness(signed: bool) -> str:
    return "signed" if signed else "unsigned"
