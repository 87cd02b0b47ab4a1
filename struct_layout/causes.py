# SPDX-License-Identifier: GPL-2.0-or-later
"""Sorts differences into causes and what follows from them.

A member that was added moves all behind it, and the struct grows; so do all structs that have it
inside, and theirs. One cause, thousands of differences: people want to read the cause.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from struct_layout.compare import TypeResult
from struct_layout.differences import DIFFERS, Difference

_MOVES = ("offset", "bit position", "enumerator value")
# Facts of a member that are its type's: when that differs in itself, it is what to look at.
_OF_TYPEDEFS = ("array length", "parameters", "pointee")
_OF_THE_TYPE = ("size", "signedness", "kind", *_OF_TYPEDEFS)


class Cause(NamedTuple):
    """A difference that nothing explains, and the members that moved with it."""

    difference: Difference
    moved: tuple[Difference, ...]


class Explanation(NamedTuple):
    """Why a type differs."""

    causes: tuple[Cause, ...]  # in the type itself
    follows: dict[str, tuple[Difference, ...]]  # differing types inside it, and by what they show
    roots: tuple[str, ...]  # the types where it begins; itself when it has causes


def explain(results: Iterable[TypeResult]) -> dict[str, Explanation]:
    """Explain each type that differs."""
    differing = {result.name: result for result in results if result.verdict == DIFFERS}
    parts = {name: _sort(result, differing) for name, result in differing.items()}
    roots: dict[str, tuple[str, ...]] = {}
    return {
        name: Explanation(causes, follows, _roots(name, parts, roots, ()))
        for name, (causes, follows) in parts.items()
    }


_Parts = tuple[tuple[Cause, ...], dict[str, tuple[Difference, ...]]]


def _roots(
    name: str, parts: dict[str, _Parts], known: dict[str, tuple[str, ...]], way: Sequence[str]
) -> tuple[str, ...]:
    if name in known:
        return known[name]
    if name in way:
        return (name,)  # they explain each other: no way out but to name one
    causes, follows = parts[name]
    found = dict.fromkeys([name] if causes else [])
    for other in follows:
        found.update(dict.fromkeys(_roots(other, parts, known, (*way, name))))
    known[name] = tuple(found)
    return known[name]


def _sort(result: TypeResult, differing: dict[str, TypeResult]) -> _Parts:
    """Split the differences of a type into its own causes and what its parts bring along."""
    causes: list[tuple[Difference, list[Difference]]] = []
    follows: dict[str, list[Difference]] = {}
    latest: list[Difference] | None = None  # who moved behind the latest change
    shift: int | None = 0
    fresh = False  # something changed since the members last moved
    resized = [each for each in result.differences if (each.path, each.what) == ("", "size")]
    others = (each for each in result.differences if each not in resized)
    for _, group in itertools.groupby(others, lambda each: each.path):
        facts = list(group)
        inner = next(filter(None, (_inside(each, result.name, differing) for each in facts)), None)
        for each in facts:
            moved = each.what in _MOVES and each.shift is not None
            if inner is not None:
                # Its type moves it, too: by an alignment that changed.
                latest = follows.setdefault(inner, [])
                latest.append(each)
            elif moved and latest is not None and (each.shift == shift or fresh or each.natural):
                latest.append(each)
            else:
                latest = []
                causes.append((each, latest))
            if moved:
                shift = each.shift
            fresh = inner is not None or not moved
    if resized:
        if not causes and not follows:
            causes.append((resized[0], []))
        elif not causes:
            # It grew with what is inside.
            next(iter(follows.values())).append(resized[0])
        else:
            causes[0][1].append(resized[0])
    return (
        tuple(Cause(first, tuple(moved)) for first, moved in causes),
        {name: tuple(found) for name, found in follows.items()},
    )


def _inside(each: Difference, name: str, differing: dict[str, TypeResult]) -> str | None:
    """Return the differing type that a member is made of and that explains how it differs."""
    if each.what not in _OF_THE_TYPE:
        return None
    for other in reversed(each.within):
        # How long an array is or what is pointed to a struct does not tell, but a typedef does.
        if each.what in _OF_TYPEDEFS and " " in other:
            continue
        if other != name and other in differing:
            return other
    return None
