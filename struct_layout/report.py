# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparisons as text: one summary line, then the differences, first causes first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from struct_layout.compare import CheckResult, Difference, TypeResult

_PER_TYPE = 12


def summary(check: CheckResult) -> str:
    """Return the line that says it all."""
    types = check.counts()
    members = check.member_counts()
    parts = [f"{types[verdict]} {verdict}" for verdict in ("equal", "differs")]
    parts += [f"{types[v]} {v}" for v in ("only in plugin", "only in dwarf") if types[v]]
    line = f"layouts: {len(check.types)} types: {', '.join(parts)}"
    differing = members["differs"] + members["only in plugin"] + members["only in dwarf"]
    return f"{line}; {members['equal']} members equal, {differing} not"


def render_text(check: CheckResult, limit: int) -> str:
    """Return the whole report."""
    lines = [summary(check)]
    wanted = {name.split()[-1] for name in check.selection}
    differing = [result for result in check.types if result.verdict == "differs"]
    # What was asked for, then structs before enums: a constant seldom is the cause.
    differing.sort(key=lambda r: (r.name.split()[-1] not in wanted, r.name.startswith("enum")))
    for result in differing[:limit]:
        lines += _type_lines(result)
    if len(differing) > limit:
        lines.append(f"… and {len(differing) - limit} more types that differ")
    for result in check.types:
        name = result.name.split()[-1]
        if result.verdict.startswith("only") and name in wanted:
            lines.append(f"{result.name}: {result.verdict}")
        elif result.definitions > 1 and name in wanted:
            lines.append(f"{result.name}: dwarf has {result.definitions} different types of it")
    return "\n".join(lines)


def _type_lines(result: TypeResult) -> list[str]:
    lines = [f"{result.name}: differs"]
    grouped = list(_grouped(result.differences))
    lines += ["  " + line for line in grouped[:_PER_TYPE]]
    if len(grouped) > _PER_TYPE:
        lines.append(f"  … {len(result.differences)} differences in all")
    return lines


def _grouped(differences: Iterable[Difference]) -> Iterable[str]:
    """Give a line each, but one for a run of members that moved by the same distance."""
    run: list[Difference] = []

    def moved(run: list[Difference]) -> str:
        first, last = run[0], run[-1]
        if len(run) == 1:
            return _line(first)
        shift = first.shift or 0
        if first.what == "enumerator value":
            what, distance = "constants", f"{shift:+d}"
        else:
            what = "members"
            distance = f"{shift:+d} bits" if shift % 8 else f"{shift // 8:+d} bytes"
        return (
            f"{first.path} … {last.path}: {len(run)} {what} moved by {distance} "
            f"(the first from {first.what} {first.dwarf} in dwarf to {first.plugin} in plugin)"
        )

    for difference in differences:
        if run and (difference.shift != run[0].shift or difference.what != run[0].what):
            yield moved(run)
            run = []
        if difference.shift is None:
            yield _line(difference)
        else:
            run.append(difference)
    if run:
        yield moved(run)


def _line(difference: Difference) -> str:
    where = f"{difference.path}: " if difference.path else ""
    return f"{where}{difference.what}: plugin {difference.plugin}, dwarf {difference.dwarf}"
