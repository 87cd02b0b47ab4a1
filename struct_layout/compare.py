# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the layouts of two sources type by type and member by member.

The result is plain data; `CheckResult.render_text()` and `.to_json()` present it. "plugin" is
the layout table, "dwarf" the debug information of the kernel that runs.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
from collections import Counter
from collections.abc import Iterable
from typing import Callable, NamedTuple, Protocol, Union

from struct_layout.model import Enum, LayoutError, Record, Type, Typedef, size_of, strip
from struct_layout.view import Flat, Shape, embedded, flatten, named, shape, spell

EQUAL, DIFFERS, ONLY_PLUGIN, ONLY_DWARF = "equal", "differs", "only in plugin", "only in dwarf"
VERDICTS = (EQUAL, DIFFERS, ONLY_PLUGIN, ONLY_DWARF)

Named = Union[Record, Enum, Typedef]
_GLOB = set("*?[")


class Source(Protocol):
    """What the comparison needs of a source of types."""

    def find(self, name: str) -> list[Named]:
        """Return the types of that name."""

    def type_names(self) -> list[str]:
        """Return the names of all types."""


class SelectionError(LayoutError):
    """Nothing to compare: an unknown name, or an empty selection."""


class Difference(NamedTuple):
    """One fact that differs. `path` is "" for the type as a whole."""

    path: str
    what: str
    plugin: str
    dwarf: str
    shift: int | None = None  # by how many bits (for a constant: how much) it moved


class TypeResult(NamedTuple):
    """The verdict on one type."""

    name: str  # "struct task_struct", "atomic_t"
    verdict: str
    members: dict[str, int]  # verdict to number of members or constants
    differences: tuple[Difference, ...]
    definitions: int  # how many different types of that name dwarf has


class CheckResult(NamedTuple):
    """The verdicts on a selection of types."""

    types: tuple[TypeResult, ...]
    selection: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not any(result.verdict == DIFFERS for result in self.types)

    def counts(self) -> dict[str, int]:
        """Return the number of types per verdict."""
        counts = Counter(result.verdict for result in self.types)
        return {verdict: counts.get(verdict, 0) for verdict in VERDICTS}

    def member_counts(self) -> dict[str, int]:
        """Return the number of members per verdict."""
        counts: Counter[str] = Counter()
        for result in self.types:
            counts.update(result.members)
        return {verdict: counts.get(verdict, 0) for verdict in VERDICTS}

    def render_text(self, limit: int = 40) -> str:
        """Return the report: a summary line, then what differs, at most `limit` types of it."""
        from struct_layout.report import render_text

        return render_text(self, limit)

    def to_json(self) -> str:
        """Return the result as JSON."""
        return json.dumps(
            {
                "ok": self.ok,
                "types": self.counts(),
                "members": self.member_counts(),
                "results": [
                    {
                        "name": result.name,
                        "verdict": result.verdict,
                        "members": result.members,
                        "definitions": result.definitions,
                        "differences": [
                            {
                                "member": difference.path,
                                "what": difference.what,
                                "plugin": difference.plugin,
                                "dwarf": difference.dwarf,
                            }
                            for difference in result.differences
                        ],
                    }
                    for result in self.types
                ],
            },
            indent=1,
        )


def compare(
    table: Source,
    dwarf: Source,
    names: Iterable[str] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Compare the types of `names` (tags, typedef names, "struct x", globs; none: all of them).

    Types that lie inside a selected one are compared too: they are part of its layout.
    """
    wanted = tuple(names)
    chosen, absent = _select(table, dwarf, wanted)
    results: dict[tuple[str, str], TypeResult] = {}
    queue: list[Named] = list(chosen)
    done: set[int] = set()
    position = 0
    while position < len(queue):
        ours = queue[position]
        position += 1
        if progress is not None and position % 64 == 0:
            progress(position, len(queue))
        if id(ours) in done:
            continue
        done.add(id(ours))
        result = _compare_named(ours, dwarf)
        if result is not None:
            known = results.get((result.name, ""))
            if known is None or known.verdict == EQUAL:
                results[result.name, ""] = result
        record = strip(ours)
        if isinstance(record, Record):
            queue.extend(_named_only(embedded(record)))
    for theirs in absent:
        name = _title(theirs)
        results[name, ""] = TypeResult(name, ONLY_DWARF, {}, (), 1)
    check = CheckResult(tuple(results[key] for key in sorted(results)), wanted)
    counts = check.counts()
    if not counts[EQUAL] and not counts[DIFFERS]:
        where = "dwarf" if counts[ONLY_PLUGIN] else "the layout table"
        raise SelectionError(
            f"nothing to compare: {_listing([r.name for r in check.types])} not in {where}"
        )
    return check


# ---- Selecting -----------------------------------------------------------------------------------


def _select(
    table: Source, dwarf: Source, names: tuple[str, ...]
) -> tuple[list[Named], list[Named]]:
    """Return the selected types of the table, and those that only the DWARF has."""
    if not names:
        chosen = [type for name in table.type_names() for type in table.find(name)]
        if not chosen:
            raise SelectionError("nothing to compare: the layout table has no types")
        return chosen, []
    chosen, absent = [], []
    for wanted in names:
        kind, name = split_kind(wanted)
        if _GLOB & set(name):
            # A glob selects from the table: DWARF has thousands of private types besides.
            matching = fnmatch.filter(table.type_names(), name)
            found = [t for match in matching for t in of_kind(table.find(match), kind)]
            if not found:
                raise SelectionError(f"no type in the layout table matches '{wanted}'")
            chosen += found
            continue
        found = of_kind(table.find(name), kind)
        chosen += found
        if not found:
            others = of_kind(dwarf.find(name), kind)
            if not others:
                raise SelectionError(unknown_name(wanted, table))
            absent += others
    return chosen, absent


def split_kind(wanted: str) -> tuple[str | None, str]:
    """Split "struct task_struct" into kind and name; the kind is None when not given."""
    words = wanted.split()
    if len(words) == 2 and words[0] in ("struct", "union", "enum"):
        return words[0], words[1]
    return None, wanted.strip()


def of_kind(types: list[Named], kind: str | None) -> list[Named]:
    """Return those of a kind: struct, union or enum; None for any."""
    if kind is None:
        return types
    return [type for type in types if _kind(type) == kind]


def _kind(type: Type) -> str:
    if isinstance(type, Record):
        return type.kind
    return "enum" if isinstance(type, Enum) else "typedef"


def unknown_name(wanted: str, table: Source) -> str:
    """Say that a name is unknown, with what it may have been meant for."""
    name = split_kind(wanted)[1]
    same = [_title(type) for type in table.find(name)]
    near = same or difflib.get_close_matches(name, table.type_names(), n=3, cutoff=0.6)
    hint = f"; did you mean {_listing(near, 'or')}?" if near else ""
    return f"unknown type '{wanted}'{hint}"


def _listing(names: list[str], word: str = "and") -> str:
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} more"]
    return (
        f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
    )


def _named_only(types: Iterable[Type]) -> Iterable[Named]:
    for type in types:
        if isinstance(type, (Record, Enum, Typedef)):
            yield type


def _title(type: Named) -> str:
    return str(type.name) if isinstance(type, Typedef) else f"{_kind(type)} {type.name}"


# ---- Comparing -----------------------------------------------------------------------------------


def _compare_named(ours: Named, dwarf: Source) -> TypeResult | None:
    if ours.name is None or getattr(ours, "incomplete", False) or getattr(ours, "local", False):
        return None
    candidates = [
        theirs
        for theirs in dwarf.find(ours.name)
        if _kind(theirs) == _kind(ours) and not getattr(theirs, "incomplete", False)
    ]
    name = _title(ours)
    if not candidates:
        return TypeResult(name, ONLY_PLUGIN, {}, (), 0)
    best: TypeResult | None = None
    for theirs in candidates:
        members, differences = compare_types(ours, theirs)
        result = TypeResult(
            name, DIFFERS if differences else EQUAL, members, tuple(differences), len(candidates)
        )
        # Several units may define several types of one name: the table's is one of them.
        if best is None or len(result.differences) < len(best.differences):
            best = result
    return best


def compare_types(ours: Type, theirs: Type) -> tuple[dict[str, int], list[Difference]]:
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
            return {}, _shape_differences("", shape(ours), shape(theirs), ours, theirs)
        ours, theirs = mine, other
    if isinstance(ours, Record) and isinstance(theirs, Record):
        return _compare_records(ours, theirs)
    if isinstance(ours, Enum) and isinstance(theirs, Enum):
        return _compare_enums(ours, theirs)
    return {}, [Difference("", "kind", _kind(ours), _kind(theirs))]


def _compare_records(ours: Record, theirs: Record) -> tuple[dict[str, int], list[Difference]]:
    differences: list[Difference] = []
    if ours.kind != theirs.kind:
        differences.append(Difference("", "kind", ours.kind, theirs.kind))
    if ours.size != theirs.size and not (ours.opaque and not ours.size):
        differences.append(Difference("", "size", str(ours.size), str(theirs.size)))
    counts: Counter[str] = Counter()
    if ours.opaque or (ours.transparent and not theirs.members):
        # GCC describes a typedef that is a transparent union without its members.
        return dict(counts), differences
    others = {flat.path: flat for flat in flatten(theirs)}
    mine = {flat.path: flat for flat in flatten(ours)}
    for path, flat in mine.items():
        other = others.get(path)
        if other is None:
            counts[ONLY_PLUGIN] += 1
            differences.append(Difference(path, "presence", _place(flat), "absent"))
            continue
        found = _compare_members(flat, other)
        counts[DIFFERS if found else EQUAL] += 1
        differences += found
    for path, other in others.items():
        if path not in mine:
            counts[ONLY_DWARF] += 1
            differences.append(Difference(path, "presence", "absent", _place(other)))
    return dict(counts), differences


def _place(flat: Flat) -> str:
    where = f"at {flat.offset // 8}"
    if flat.bits is not None:
        where += f", bit {flat.offset % 8} of width {flat.bits}"
    return where


def _compare_members(ours: Flat, theirs: Flat) -> list[Difference]:
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
            differences.append(Difference(path, "bit width", str(mine or full), str(other or full)))
    differences += _shape_differences(
        path, shape(ours.type), shape(theirs.type), ours.type, theirs.type
    )
    return differences


def _compare_enums(ours: Enum, theirs: Enum) -> tuple[dict[str, int], list[Difference]]:
    differences: list[Difference] = []
    counts: Counter[str] = Counter()
    if ours.size != theirs.size:
        differences.append(Difference("", "size", str(ours.size), str(theirs.size)))
    if ours.signed != theirs.signed:
        differences.append(
            Difference("", "signedness", _signedness(ours.signed), _signedness(theirs.signed))
        )
    others, mine = dict(theirs.constants), dict(ours.constants)
    for name, value in mine.items():
        if name not in others:
            counts[ONLY_PLUGIN] += 1
            differences.append(Difference(name, "presence", str(value), "absent"))
        elif others[name] != value:
            counts[DIFFERS] += 1
            differences.append(
                Difference(
                    name,
                    "enumerator value",
                    str(value),
                    str(others[name]),
                    value - others[name],
                )
            )
        else:
            counts[EQUAL] += 1
    for name, value in others.items():
        if name not in mine:
            counts[ONLY_DWARF] += 1
            differences.append(Difference(name, "presence", "absent", str(value)))
    return dict(counts), differences


def _signedness(signed: bool) -> str:
    return "signed" if signed else "unsigned"


def _shape_differences(
    path: str, mine: Shape, other: Shape, ours: Type, theirs: Type
) -> list[Difference]:
    what = _first_difference(mine, other)
    if what is None:
        return []
    texts = (spell(ours), spell(theirs))
    if texts[0] == texts[1] or what[0] in ("size", "array length", "signedness"):
        texts = (what[1], what[2])
    return [Difference(path, what[0], *texts)]


def _first_difference(mine: Shape, other: Shape) -> tuple[str, str, str] | None:
    """Say what differs between two shapes, None when nothing that can be known does."""
    if mine == other:
        return None
    kind, kinds = mine[0], (mine[0], other[0])
    if "opaque" in kinds:
        # All that is known of it is its size; the offsets around it tell that.
        return None
    if kind != other[0]:
        return ("kind", str(mine[0]), str(other[0]))
    if kind == "ptr":
        inner = _first_difference(mine[1], other[1])
        return None if inner is None else ("pointee", inner[1], inner[2])
    if kind == "array":
        if mine[1] != other[1]:
            return ("array length", str(mine[1]), str(other[1]))
        return _first_difference(mine[2], other[2])
    if kind == "func":
        return _function_difference(mine, other)
    if kind in ("struct", "union", "enum"):
        # Where a source lost the name there is nothing to compare.
        if mine[1] != other[1] and mine[1] and other[1]:
            return ("type", f"{kind} {mine[1]}", f"{kind} {other[1]}")
        mine, other = mine[1:], other[1:]
    if len(mine) > 1 and len(other) > 1 and mine[1] != other[1]:
        return ("size", str(mine[1]), str(other[1]))
    if len(mine) > 2 and len(other) > 2 and mine[2] != other[2]:
        return ("signedness", _signedness(mine[2]), _signedness(other[2]))
    return None


def _function_difference(mine: Shape, other: Shape) -> tuple[str, str, str] | None:
    if len(mine) == 1 or len(other) == 1:  # no prototype
        return None
    if len(mine[2]) != len(other[2]) or mine[3] != other[3]:
        return ("parameters", str(len(mine[2])), str(len(other[2])))
    for ours, theirs in zip((mine[1], *mine[2]), (other[1], *other[2])):
        inner = _first_difference(ours, theirs)
        if inner is not None:
            return ("parameters", inner[1], inner[2])
    return None
