# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy` alone: the list of its commands."""

from __future__ import annotations

from collections.abc import Sequence

from gdb_kpy.commands.base import KpyCommand, paint, show, summary_of
from gdb_kpy.core.errors import KpyError


class Listing(KpyCommand):
    """Python inside the kernel: list the commands for it.

    Usage: kpy [COMMAND]

    Start with `kpy attach`. `help kpy COMMAND` tells more about each.

    Example:
      kpy attach
      kpy eval 6*7

    """

    prefix = True

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._words = words

    def run(self, argument: str) -> None:
        """Print the list."""
        if argument:
            raise KpyError(f"no command `kpy {argument.split()[0]}`: `kpy` lists them")
        width = max(len(word) for word in self._words)
        for word in self._words:
            show(f"kpy {paint(word, 'name')}{' ' * (width - len(word))}  {summary_of(word)}")
        show("`help kpy COMMAND` tells more about each.")
