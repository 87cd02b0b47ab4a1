# SPDX-License-Identifier: GPL-2.0-or-later
"""Several sources as one: the kernel's types, then those of its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from struct_layout.compare import Named, Source


class Several:
    """Asks the first source, then the others; the first that has complete types of a name answers.

    `more` opens the others when the first does not know a name.
    """

    def __init__(self, first: Source, more: Callable[[], Sequence[Source]]) -> None:
        self.first = first
        self._more = more
        self._others: Sequence[Source] | None = None
        self.lost = frozenset(getattr(first, "lost", ()))

    def others(self) -> Sequence[Source]:
        """Return the sources besides the first."""
        if self._others is None:
            self._others = self._more()
        return self._others

    def _sources(self) -> Iterator[Source]:
        yield self.first
        yield from self.others()

    def find(self, name: str) -> list[Named]:
        """Return the types of that name."""
        declared: list[Named] = []
        for source in self._sources():
            found = source.find(name)
            if any(not getattr(type, "incomplete", False) for type in found):
                return found
            declared += found
        return declared

    def type_names(self) -> list[str]:
        """Return the names of all types."""
        return sorted({name for source in self._sources() for name in source.type_names()})
