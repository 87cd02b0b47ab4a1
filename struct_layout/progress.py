# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress of long work on stderr, shown only when the work turns out to be long."""

from __future__ import annotations

import sys
import time


class Progress:
    """Call it with what is done and how much there is; nothing is shown in the first 2 s."""

    def __init__(self, what: str, after: float = 2.0) -> None:
        self._what = what
        self._next = time.monotonic() + after
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show the state if it is time."""
        now = time.monotonic()
        if now < self._next or not total:
            return
        self._next = now + 0.5
        end = "\r" if sys.stderr.isatty() else "\n"
        if self._shown or sys.stderr.isatty():
            print(f"{self._what}: {done * 100 // total} %", end=end, file=sys.stderr, flush=True)
        else:
            print(f"{self._what} …", file=sys.stderr, flush=True)
        # Without a terminal one line says it all.
        if not sys.stderr.isatty():
            self._next = float("inf")
        self._shown = True

    def done(self) -> None:
        """Take the line away."""
        if self._shown and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
