# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the types of several translation units together.

The same struct appears in every unit that includes its header; two structs of one tag may also
be different ones. Two types are one when no walk through members and pointers tells them apart:
classes by content are refined by the classes they refer to until nothing splits any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from struct_layout import table_format as t
from struct_layout.graph import RECORDS, Constants, Declared, Graph, Members, Row, fit

_TAGGED = (*RECORDS, t.T_ENUM)
# Records and enums have these at the same place.
_INCOMPLETE, _LOCAL = t.R_INCOMPLETE, t.R_LOCAL
assert (t.E_INCOMPLETE, t.E_LOCAL) == (_INCOMPLETE, _LOCAL)


def merge(units: Sequence[Graph]) -> Graph:
    """Return the types of all units, each that they share once."""
    return _Merger(_join(list(map(fit, units)))).graph()


def _join(units: Sequence[Graph]) -> Graph:
    """Put units side by side: numbers are moved, names are those of all."""
    texts = {"": 0}
    whole = Graph([], [], Members([], [], [], []), Constants([], []), [], [])
    rows = whole.rows
    for unit in units:
        names = [texts.setdefault(text, len(texts)) for text in unit.texts]
        name, first = names.__getitem__, len(rows)
        starts = {
            t.T_STRUCT: len(whole.members.names),
            t.T_UNION: len(whole.members.names),
            t.T_ENUM: len(whole.constants.names),
        }
        for head, text, types, numbers in unit.rows:
            if head in _TAGGED:
                info, size, start, count = numbers
                numbers = (info, size, start + starts[head], count)
            if types:
                types = tuple([first + part for part in types])
            rows.append(Row(head, names[text], types, numbers))
        whole.members.names.extend(map(name, unit.members.names))
        whole.members.offsets.extend(unit.members.offsets)
        whole.members.widths.extend(unit.members.widths)
        whole.members.types.extend([first + type for type in unit.members.types])
        whole.constants.names.extend(map(name, unit.constants.names))
        whole.constants.values.extend(unit.constants.values)
        whole.roots.extend([first + root for root in unit.roots])
        whole.declarations.extend(
            Declared(names[text], flags, first + type) for text, flags, type in unit.declarations
        )
    return whole._replace(texts=list(texts))


class _Merger:
    def __init__(self, joined: Graph) -> None:
        self.joined = joined
        members, constants = joined.members, joined.constants
        self.parts: list[Sequence[int]] = []  # what each type refers to
        contents: list[object] = []
        for head, name, types, numbers in joined.rows:
            if head in RECORDS:
                info, size, start, count = numbers
                place = slice(start, start + count)
                self.parts.append(members.types[place])
                contents.append((
                    head, name, info, size, *members.names[place], *members.offsets[place],
                    *members.widths[place],
                ))  # fmt: skip
            elif head == t.T_ENUM:
                info, size, start, count = numbers
                place = slice(start, start + count)
                self.parts.append(())
                contents.append(
                    (head, name, info, size, *constants.names[place], *constants.values[place])
                )
            else:
                self.parts.append(types)
                contents.append((head, name, len(types), numbers))
        self.classes = _numbered(contents)
        self.complete()
        self.refine()

    # ---- Telling apart -----------------------------------------------------------------------

    def complete(self) -> None:
        """Have what only declares a tag be the one complete type of it, where there is just one."""
        complete: dict[tuple[int, int], list[int]] = {}
        declared: list[int] = []
        for number, (head, name, _, numbers) in enumerate(self.joined.rows):
            if head in _TAGGED:
                if numbers[0] & _INCOMPLETE:
                    declared.append(number)
                elif not numbers[0] & _LOCAL:
                    complete.setdefault((head, name), []).append(number)
        self.same = list(range(len(self.joined.rows)))
        for number in declared:
            head, name = self.joined.rows[number][:2]
            candidates = complete.get((head, name), [])
            if len(candidates) == 1 or len(set(map(self.looks, candidates))) == 1:
                self.same[number] = candidates[0]
        self.parts = [[self.same[part] for part in parts] for parts in self.parts]

    def looks(self, number: int) -> object:
        """Return what a type looks like, without what is behind the tags it refers to."""
        return self.classes[number], *map(self.spelled, self.parts[number])

    def spelled(self, number: int) -> object:
        if self.joined.rows[number].head in _TAGGED:
            return None
        return self.looks(number)

    def refine(self) -> None:
        """Split classes by the classes that their types refer to, until none splits any more."""
        classes, parts = self.classes, self.parts
        several: Sequence[int] = range(len(classes))
        unused = len(classes)
        while True:
            # A class of one cannot be split, and keeps its number.
            sizes = Counter([classes[number] for number in several])
            several = [number for number in several if sizes[classes[number]] > 1]
            split = _numbered(
                [
                    (classes[number], *[classes[part] for part in parts[number]])
                    for number in several
                ],
                unused,
            )
            for number, new in zip(several, split):
                classes[number] = new
            count = len(set(split))
            unused += count
            if count == sum(1 for size in sizes.values() if size > 1):
                return

    # ---- Writing -----------------------------------------------------------------------------

    def graph(self) -> Graph:
        """Return one type for each class, and declarations for each name."""
        joined = self.joined
        numbers: dict[int, int] = {}
        rows: list[Row] = []
        for row, kind in zip(joined.rows, self.classes):
            if kind not in numbers:
                numbers[kind] = len(rows)
                rows.append(row)
        new = [numbers[self.classes[same]] for same in self.same]
        declarations: dict[int, Declared] = {}
        for declared in joined.declarations:
            if declared.name not in declarations:
                declarations[declared.name] = declared._replace(type=new[declared.type])
        return joined._replace(
            rows=[
                Row(head, name, tuple([new[part] for part in types]), numbers)
                for head, name, types, numbers in rows
            ],
            members=joined.members._replace(types=[new[part] for part in joined.members.types]),
            roots=list(dict.fromkeys(new[root] for root in joined.roots)),
            declarations=list(declarations.values()),
        )


def _numbered(keys: Sequence[object], first: int = 0) -> list[int]:
    """Return a number for each key: the same for keys that are equal."""
    numbers: dict[object, int] = {}
    return [numbers.setdefault(key, first + len(numbers)) for key in keys]
