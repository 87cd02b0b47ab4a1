# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the layouts of two sources type by type and member by member.

The result is plain data; `CheckResult.render_text()` and `.to_json()` present it. "ours" is
the first source (for a check the layout table), "theirs" the second; each has a label.
"""

from __future__ import annotations

import contextlib
import fnmatch
import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol, Union

from struct_layout.differences import (
    ABSENT,
    DIFFERS,
    EQUAL,
    ONLY_OURS,
    ONLY_THEIRS,
    Comparer,
    Difference,
)
from struct_layout.model import Enum, LayoutError, Record, Type, Typedef, strip
from struct_layout.view import embedded, kind_of, title

if TYPE_CHECKING:
    from struct_layout.proof import Proof

VERDICTS = (EQUAL, DIFFERS, ONLY_OURS, ONLY_THEIRS)
CHECK_LABELS = ("plugin", "dwarf")

Named = Union[Record, Enum, Typedef]
_GLOB = set("*?[")


class Source(Protocol):
    """What the comparison needs of a source of types. `lost` may say what it does not know."""

    def find(self, name: str) -> list[Named]:
        """Return the types of that name."""

    def type_names(self) -> list[str]:
        """Return the names of all types."""


class SelectionError(LayoutError):
    """Nothing to compare: an unknown name, or an empty selection."""


class TypeResult(NamedTuple):
    """The verdict on one type."""

    name: str  # "struct task_struct", "atomic_t"
    verdict: str
    members: dict[str, int]  # verdict to number of members or constants
    differences: tuple[Difference, ...]
    # What else the other source has of that name: how each differs from ours.
    variants: tuple[tuple[Difference, ...], ...] = ()

    @property
    def definitions(self) -> int:
        """How many different types of that name the other source has."""
        return 0 if self.verdict == ONLY_OURS else 1 + len(self.variants)


class CheckResult(NamedTuple):
    """The verdicts on a selection of types."""

    types: tuple[TypeResult, ...]
    selection: tuple[str, ...]
    labels: tuple[str, str] = CHECK_LABELS

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not any(result.verdict == DIFFERS for result in self.types)

    def word(self, verdict: str) -> str:
        """Return a verdict as people read it: with the label of the source."""
        ours, theirs = self.labels
        return {ONLY_OURS: f"only in {ours}", ONLY_THEIRS: f"only in {theirs}"}.get(
            verdict, verdict
        )

    def counts(self) -> dict[str, int]:
        """Return the number of types per verdict."""
        counts = Counter(result.verdict for result in self.types)
        return {self.word(verdict): counts.get(verdict, 0) for verdict in VERDICTS}

    def member_counts(self) -> dict[str, int]:
        """Return the number of members per verdict."""
        counts: Counter[str] = Counter()
        for result in self.types:
            for verdict, number in result.members.items():
                counts[verdict] += number
        return {self.word(verdict): counts.get(verdict, 0) for verdict in VERDICTS}

    def render_text(self, limit: int | None = 40) -> str:
        """Return the report: a summary line, then at most `limit` first causes (None: all)."""
        from struct_layout.report import render_text

        return render_text(self, limit)

    def as_data(self) -> dict[str, Any]:
        """Return the result as plain data, for JSON."""
        from struct_layout.causes import explain

        causes = explain(self.types)
        return {
            "ok": self.ok,
            "sources": list(self.labels),
            "types": self.counts(),
            "members": self.member_counts(),
            "results": [
                {
                    "name": result.name,
                    "verdict": self.word(result.verdict),
                    "members": {self.word(v): n for v, n in result.members.items()},
                    "definitions": result.definitions,
                    "differences": self._facts(result.differences),
                    "variants": [self._facts(variant) for variant in result.variants],
                    "because_of": list(causes[result.name].roots) if result.name in causes else [],
                }
                for result in self.types
            ],
        }

    def _facts(self, differences: Iterable[Difference]) -> list[dict[str, str]]:
        ours, theirs = self.labels
        return [
            {"member": each.path, "what": each.what, ours: each.ours, theirs: each.theirs}
            for each in differences
        ]

    def to_json(self) -> str:
        """Return the result as JSON."""
        import json

        return json.dumps(self.as_data(), indent=1)


def compare(
    table: Source,
    dwarf: Source,
    names: Iterable[str] = (),
    *,
    labels: tuple[str, str] = CHECK_LABELS,
    both_ways: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Compare the types of `names` (tags, typedef names, "struct x", globs; none: all of them).

    Types that lie inside a selected one are compared too: they are part of its layout. With
    `both_ways` the types that only the second source has are told too.
    """
    wanted = tuple(dict.fromkeys(names))
    _require_same_machine(table, dwarf, labels)
    lost = {*getattr(table, "lost", ()), *getattr(dwarf, "lost", ())}
    comparer = Comparer(lost)
    absent: list[Named] = []
    with _collecting_off():
        proof = None if wanted or both_ways else _proof(table, dwarf)
        if proof is not None:
            results = _prove_all(comparer, proof, dwarf, progress)
        else:
            chosen, absent = _select(table, dwarf, wanted, labels, both_ways)
            results = _compare_all(comparer, chosen, dwarf, bool(wanted), progress)
    for theirs in absent:
        results.setdefault(title(theirs), TypeResult(title(theirs), ONLY_THEIRS, {}, ()))
    check = CheckResult(tuple(results[key] for key in sorted(results)), wanted, labels)
    verdicts = {result.verdict for result in check.types}
    if EQUAL not in verdicts and DIFFERS not in verdicts:
        where = labels[1] if ONLY_OURS in verdicts else _the(labels[0])
        raise SelectionError(
            f"nothing to compare: {_listing([r.name for r in check.types])} not in {where}"
        )
    return check


def _require_same_machine(table: Source, dwarf: Source, labels: tuple[str, str]) -> None:
    """Refuse sources for different machines: everything would differ, and say nothing."""
    machines = [getattr(source, "machine", None) for source in (table, dwarf)]
    ours, theirs = machines
    if ours is None or theirs is None:
        return
    if ours[0] != theirs[0]:
        raise LayoutError(
            f"{_the(labels[0])} is for a machine with {ours[0]}-byte pointers, "
            f"{labels[1]} for one with {theirs[0]}-byte pointers"
        )
    if ours[1] != theirs[1]:
        order = ("little-endian", "big-endian")
        raise LayoutError(
            f"{_the(labels[0])} is for a {order[ours[1]]} machine, "
            f"{labels[1]} for a {order[theirs[1]]} one"
        )


@contextlib.contextmanager
def _collecting_off() -> Iterator[None]:
    """Keep Python from looking for garbage: types are many, and they stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _compare_all(
    comparer: Comparer,
    chosen: list[Named],
    dwarf: Source,
    inner: bool,
    progress: Callable[[int, int], None] | None,
) -> dict[str, TypeResult]:
    """Compare the chosen types and, if not all were, those inside them."""
    results: dict[str, TypeResult] = {}
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
        result = _compare_named(comparer, ours, dwarf)
        if result is not None:
            known = results.get(result.name)
            if known is None or known.verdict == EQUAL:
                results[result.name] = result
        if inner:
            record = strip(ours)
            if isinstance(record, Record):
                queue.extend(_named_only(embedded(record)))
    return results


def _proof(table: Source, dwarf: Source) -> Proof | None:
    """Return what tells equal types apart sooner, when there is such for the two sources."""
    # Not for other sources: it would be read for nothing.
    from struct_layout.proof import find_proof

    return find_proof(table, dwarf)


def _prove_all(
    comparer: Comparer,
    proof: Proof,
    dwarf: Source,
    progress: Callable[[int, int], None] | None,
) -> dict[str, TypeResult]:
    """Compare all types of a table; only those that are not proven equal fact by fact."""
    results: dict[str, TypeResult] = {}
    total = len(proof.table.named())
    for position, (number, name, count) in enumerate(proof.all()):
        if progress is not None and position % 64 == 0:
            progress(position, total)
        result: TypeResult | None
        if count is None:
            result = _compare_named(comparer, proof.table.named_type(number), dwarf)
            if result is None:
                continue
        elif count == ABSENT:
            result = TypeResult(name, ONLY_OURS, {}, ())
        else:
            members = {EQUAL: count} if count else {}
            result = TypeResult(name, EQUAL, members, ())
        known = results.get(result.name)
        if known is None or known.verdict == EQUAL:
            results[result.name] = result
    return results


# ---- Selecting -----------------------------------------------------------------------------------


def _the(label: str) -> str:
    return "the layout table" if label == CHECK_LABELS[0] else label


def _select(
    table: Source, dwarf: Source, names: tuple[str, ...], labels: tuple[str, str], both_ways: bool
) -> tuple[list[Named], list[Named]]:
    """Return the selected types of the table, and those that only the other source has."""
    if not names:
        chosen = all_types(table)
        if not chosen:
            raise SelectionError(f"nothing to compare: {_the(labels[0])} has no types")
        return chosen, list(_absent(chosen, dwarf)) if both_ways else []
    chosen, absent = [], []
    known: list[str] | None = None
    others: list[str] | None = None
    for wanted in names:
        kind, name = split_kind(wanted)
        if _GLOB & set(name):
            # A glob selects from the table: DWARF has thousands of private types besides.
            known = table.type_names() if known is None else known
            matching = fnmatch.filter(known, name)
            found = [t for match in matching for t in of_kind(table.find(match), kind)]
            chosen += found
            missing = []
            if both_ways:
                others = dwarf.type_names() if others is None else others
                outside = set(fnmatch.filter(others, name)) - set(matching)
                missing = [t for n in sorted(outside) for t in of_kind(dwarf.find(n), kind)]
                absent += missing
            if not found and not missing:
                raise SelectionError(f"no type in {_the(labels[0])} matches '{wanted}'")
            continue
        found = of_kind(table.find(name), kind)
        chosen += found
        if not found:
            theirs = of_kind(dwarf.find(name), kind)
            if not theirs:
                raise SelectionError(unknown_name(wanted, table))
            absent += theirs
    return chosen, absent


def all_types(source: Source) -> list[Named]:
    """Return all named types of a source."""
    every: Callable[[], Iterator[Named]] | None = getattr(source, "all_types", None)
    if every is not None:
        return list(every())
    return [type for name in source.type_names() for type in source.find(name)]


def _absent(chosen: list[Named], dwarf: Source) -> Iterator[Named]:
    known = {title(type) for type in chosen}
    for theirs in all_types(dwarf):
        if title(theirs) not in known and not getattr(theirs, "incomplete", False):
            yield theirs


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
    return [type for type in types if kind_of(type) == kind]


def unknown_name(wanted: str, table: Source) -> str:
    """Say that a name is unknown, with what it may have been meant for."""
    name = split_kind(wanted)[1]
    import difflib  # for a mistake only

    same = [title(type) for type in table.find(name)]
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


# ---- Comparing -----------------------------------------------------------------------------------


def _compare_named(comparer: Comparer, ours: Named, dwarf: Source) -> TypeResult | None:
    if ours.name is None or getattr(ours, "incomplete", False) or getattr(ours, "local", False):
        return None
    # Tags and typedef names are two spaces of names.
    candidates = [
        theirs
        for theirs in dwarf.find(ours.name)
        if isinstance(theirs, Typedef) == isinstance(ours, Typedef)
        and not getattr(theirs, "incomplete", False)
    ]
    candidates = [t for t in candidates if kind_of(t) == kind_of(ours)] or candidates
    name = title(ours)
    if not candidates:
        return TypeResult(name, ONLY_OURS, {}, ())
    found: dict[tuple[Difference, ...], dict[str, int]] = {}
    for theirs in candidates:
        members, differences = comparer.types(ours, theirs)
        found.setdefault(tuple(differences), members)
    # Several units may define several types of one name: the table's is one of them.
    best = min(found, key=len)
    variants = tuple(variant for variant in found if variant is not best)
    return TypeResult(name, DIFFERS if best else EQUAL, found[best], best, variants)
