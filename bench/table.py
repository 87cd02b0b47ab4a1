# SPDX-License-Identifier: GPL-2.0-or-later
"""The table that `make bench` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison: ours against the other side, in the same unit."""

    what: str
    ours: float
    other: float
    unit: str
    against: str
    limit: float | None = None  # the largest ratio we aim at

    @property
    def ratio(self) -> float:
        """Return ours / other."""
        return self.ours / self.other

    @property
    def verdict(self) -> str:
        """Return whether the ratio is within its limit, as a word."""
        if self.limit is None:
            return ""
        return "ok" if self.ratio <= self.limit else "above"


def render(rows: Iterable[Row]) -> str:
    """Return the rows as an aligned table."""
    cells = [("measured", "ours", "other", "ratio", "aim", "", "other side")]
    for row in rows:
        cells.append(
            (
                row.what,
                f"{row.ours:.3g} {row.unit}",
                f"{row.other:.3g} {row.unit}",
                f"{row.ratio:.2f}",
                f"<= {row.limit:g}" if row.limit is not None else "",
                row.verdict,
                row.against,
            )
        )
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i in (0, 6) else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in cells
    )
