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
        self.same = list(range(len(joined.rows)))  # declared-only types: the complete one
        self.classes = self.spelled()
        self.unused = len(self.classes)  # beyond all numbers of classes
        self.complete()
        self.refine()

    # ---- Telling apart -----------------------------------------------------------------------

    def spelled(self) -> list[int]:
        """Return classes by what C would write: a tag stands for all that have it."""
        rows = self.joined.rows
        numbers: dict[object, int] = {}
        classes = [-1] * len(rows)

        def visit(number: int) -> int:
            known = classes[number]
            if known < 0:
                head, name, types, values = rows[number]
                key: object = (head, name)
                if head not in _TAGGED:
                    key = (head, name, values, *[visit(part) for part in types])
                known = classes[number] = numbers.setdefault(key, len(numbers))
            return known

        for number in range(len(rows)):
            visit(number)
        return classes

    def parts(self, number: int) -> Sequence[int]:
        """Return what a type refers to."""
        head, _, types, numbers = self.joined.rows[number]
        if head in RECORDS:
            _, _, start, count = numbers
            types = tuple(self.joined.members.types[start : start + count])
        return [self.same[part] for part in types]

    def content(self, number: int) -> object:
        """Return what a record or enum has in itself."""
        head, _, _, numbers = self.joined.rows[number]
        if head not in _TAGGED:
            return None
        info, size, start, count = numbers
        place = slice(start, start + count)
        if head == t.T_ENUM:
            names, values = self.joined.constants
            return info, size, *names[place], *values[place]
        names, offsets, widths, _ = self.joined.members
        return info, size, *names[place], *offsets[place], *widths[place]

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
        found = {}
        for number in declared:
            head, name = self.joined.rows[number][:2]
            candidates = complete.get((head, name), [])
            if len(candidates) == 1 or len(set(map(self.looks, candidates))) == 1:
                found[number] = candidates[0]
        for number, candidate in found.items():
            self.same[number] = candidate

    def looks(self, number: int) -> object:
        """Return what a type looks like, without what is behind the tags it refers to."""
        return self.content(number), *[self.classes[part] for part in self.parts(number)]

    def refine(self) -> None:
        """Split classes by content, and by the classes that their types refer to."""
        classes = self.classes
        sizes = Counter(classes)
        several = [number for number, kind in enumerate(classes) if sizes[kind] > 1]
        parts = {number: self.parts(number) for number in several}
        content: dict[int, object] = {number: self.content(number) for number in several}
        while several:
            # The first of a class keeps its number, with all that are like it.
            first: dict[int, object] = {}
            numbers: dict[object, int] = {}
            moved: dict[int, int] = {}
            for number in several:
                kind = classes[number]
                key = (kind, content.get(number), *[classes[part] for part in parts[number]])
                if first.setdefault(kind, key) != key:
                    moved[number] = numbers.setdefault(key, self.unused + len(numbers))
            for number, kind in moved.items():
                classes[number] = kind
            self.unused += len(numbers)
            content = {}  # has been told apart
            # What refers to one that has moved may be different now from others of its class.
            split = {
                classes[number]
                for number, refers in parts.items()
                if not moved.keys().isdisjoint(refers)
            }
            several = [number for number in parts if classes[number] in split]

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
