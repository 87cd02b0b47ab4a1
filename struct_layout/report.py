# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparisons as text: one summary line, then the differences, first causes first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from struct_layout.causes import Cause, Explanation, explain
from struct_layout.compare import CHECK_LABELS, VERDICTS
from struct_layout.differences import DIFFERS, EQUAL, ONLY_OURS, ONLY_THEIRS, Difference

if TYPE_CHECKING:
    from struct_layout.compare import CheckResult, TypeResult

_PER_TYPE = 12
_LISTED = 6


def summary(check: CheckResult) -> str:
    """Return the line that says it all."""
    types, members = check.counts(), check.member_counts()
    parts = [f"{types[verdict]} {verdict}" for verdict in (EQUAL, DIFFERS)]
    only = [check.word(verdict) for verdict in (ONLY_OURS, ONLY_THEIRS)]
    parts += [f"{types[v]} {v}" for v in only if types[v]]
    # The usual two go without saying.
    which = (
        "layouts" if check.labels == CHECK_LABELS else "layouts, {} and {}".format(*check.labels)
    )
    line = f"{which}: {len(check.types)} types: {', '.join(parts)}"
    differing = members[DIFFERS] + sum(members[v] for v in only)
    return f"{line}; {members[EQUAL]} members equal, {differing} not"


def render_text(check: CheckResult, limit: int | None) -> str:
    """Return the whole report; at most `limit` causes, None: everything in full."""
    lines = [summary(check)]
    wanted = {name.split()[-1] for name in check.selection}
    why = explain(check.types)
    followers = _followers(why)
    differing = [result for result in check.types if result.verdict == DIFFERS]
    shown = [
        result
        for result in differing
        if limit is None or why[result.name].causes or result.name.split()[-1] in wanted
    ] or differing
    # What was asked for, then structs before enums (a constant seldom is the cause), and what
    # most others follow from.
    shown.sort(
        key=lambda r: (
            r.name.split()[-1] not in wanted,
            r.name.startswith("enum"),
            -len(followers.get(r.name, ())),
        )
    )
    for result in shown[:limit]:
        lines += _type_lines(result, why[result.name], check.labels, limit is None)
        behind = followers.get(result.name)
        if behind:
            lines.append(f"  and so differ {_counted(behind)}")
    if limit is not None and len(shown) > limit:
        rest = len(shown) - limit
        lines.append(f"… and {rest} more types that differ (-all shows them)")
    lines += _remarks(check, wanted, limit is None)
    return "\n".join(lines)


def _followers(why: dict[str, Explanation]) -> dict[str, list[str]]:
    """Return by type those that differ because it does."""
    found: dict[str, list[str]] = {}
    for name, explanation in why.items():
        for root in explanation.roots:
            if root != name:
                found.setdefault(root, []).append(name)
    return found


def _counted(names: Sequence[str]) -> str:
    """Return a number of types and some of their names."""
    what = f"{len(names)} types that contain it" if len(names) > 1 else "1 type that contains it"
    some = ", ".join(names[:_LISTED])
    return f"{what}: {some}{', …' if len(names) > _LISTED else ''}"


def _type_lines(
    result: TypeResult, why: Explanation, labels: tuple[str, str], everything: bool
) -> list[str]:
    lines = []
    if everything:
        lines = [_line(difference, labels) for difference in result.differences]
    else:
        for cause in why.causes:
            lines += _cause(cause, labels)
        for other, found in why.follows.items():
            lines.append(_follow(other, found, labels))
    more = [f"  … {len(result.differences)} differences in all (-all shows them)"]
    cut = not everything and len(lines) > _PER_TYPE
    lines = ["  " + line for line in (lines[:_PER_TYPE] if cut else lines)]
    return [f"{result.name}: differs", *lines, *(more if cut else [])]


def _cause(cause: Cause, labels: tuple[str, str]) -> Iterable[str]:
    first, moved = cause
    runs = list(_runs(moved))
    if first.shift is not None and runs and runs[0][0].shift == first.shift:
        runs[0].insert(0, first)
        yield _moved(runs.pop(0), labels)
    else:
        yield _line(first, labels)
    for run in runs:
        yield f"  {_moved(run, labels) if len(run) > 1 else _line(run[0], labels)}"


def _runs(moved: Iterable[Difference]) -> Iterable[list[Difference]]:
    """Part members into runs that moved by the same distance."""
    run: list[Difference] = []
    for each in moved:
        if run and (each.shift != run[0].shift or each.shift is None):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _moved(run: Sequence[Difference], labels: tuple[str, str]) -> str:
    first, last = run[0], run[-1]
    shift = first.shift or 0
    before, after = (first.theirs, labels[1]), (first.ours, labels[0])
    if labels[0] != CHECK_LABELS[0]:
        # The module's table is wrong against the kernel; of two others the second is the newer.
        shift, before, after = -shift, after, before
    if first.what == "enumerator value":
        what, distance = "constants", f"{shift:+d}"
    else:
        what = "members"
        distance = f"{shift:+d} bits" if shift % 8 else f"{shift // 8:+d} bytes"
    return (
        f"{first.path} … {last.path}: {len(run)} {what} moved by {distance} "
        f"(the first from {first.what} {before[0]} in {before[1]} to {after[0]} in {after[1]})"
    )


def _follow(other: str, found: Sequence[Difference], labels: tuple[str, str]) -> str:
    direct = [each for each in found if each.shift is None and each.path]
    moved = sum(1 for each in found if each.shift is not None)
    members = ", ".join(each.path for each in direct[:_LISTED])
    if len(direct) > _LISTED:
        members += ", …"
    also = f", and {moved} member{'s' if moved != 1 else ''} moved with it" if moved else ""
    sizes = [each for each in found if not each.path]
    size = f"; {_line(sizes[0], labels)}" if sizes else ""
    return f"because of {other} in {members}{also}{size}"


def _remarks(check: CheckResult, wanted: set[str], everything: bool) -> Iterable[str]:
    several = []
    usual = (EQUAL, DIFFERS) if wanted or everything else VERDICTS
    for result in check.types:
        if not result.variants and result.verdict in usual:
            continue  # there is nothing to say, and they are many
        name = result.name.split()[-1]
        if result.verdict in (ONLY_OURS, ONLY_THEIRS) and (name in wanted or everything):
            yield f"{result.name}: {check.word(result.verdict)}"
        elif result.variants and (name in wanted or everything):
            count = result.definitions
            yield f"{result.name}: {check.labels[1]} has {count} different types of it"
            for variant in result.variants:
                first = _line(variant[0], check.labels) if variant else "equal"
                rest = f", and {len(variant) - 1} more" if len(variant) > 1 else ""
                yield f"  another: {first}{rest}"
        elif result.variants:
            several.append(result.name)
    if several:
        some = ", ".join(several[:_LISTED])
        yield (
            f"defined differently in several units of {check.labels[1]}: {len(several)} "
            f"({some}{', …' if len(several) > _LISTED else ''})"
        )


def _line(difference: Difference, labels: tuple[str, str]) -> str:
    where = f"{difference.path}: " if difference.path else ""
    ours, theirs = labels
    return f"{where}{difference.what}: {ours} {difference.ours}, {theirs} {difference.theirs}"
