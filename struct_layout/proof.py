# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that types of a layout table and of BTF are equal, on their numbers alone.

Objects for 40,000 types, and comparing them fact by fact, take long. Here each type of a side
becomes one number, the same on both sides for types that are equal in everything that is
compared; members are compared as rows of numbers. What is not equal that way need not differ:
`differences` decides, and says what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from struct_layout import btf as b
from struct_layout import table as t
from struct_layout.btf import BtfSource
from struct_layout.differences import ABSENT, ENUM_SIGN
from struct_layout.model import LayoutError
from struct_layout.several import Several
from struct_layout.table import LayoutTableError, Table

# What the keys of types begin with. That of an array behind a typedef is not that of the array:
# members are not looked into through a typedef.
_VOID, _BASE, _POINTER, _ARRAY, _RECORD, _ENUM, _FUNCTION, _BODY, _BEHIND = range(9)
_UNSIGNED, _SIGNED, _BOOL, _FLOAT = range(4)  # as t.ENCODINGS
_MAX_DEPTH = 40
_WIDTH_BITS, _WIDTH_MAX = 8, 255


class _Flat(NamedTuple):
    """The members of a record, those of anonymous members among them."""

    names: list[int]
    places: list[int]  # offset in bits, and the width of a bitfield in the lowest eight
    types: list[int]


class _Unproven(Exception):
    """It takes a closer look."""


class _Keys:
    """The types of both sides by number: equal keys, equal numbers."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[object, ...], int] = {}
        self.arrays: dict[int, tuple[int, int]] = {}  # count and element
        self.inside: dict[int, int] = {}  # how many members are inside, where those count

    def of(self, *key: object) -> int:
        numbers = self.numbers
        return numbers.setdefault(key, len(numbers))

    def array(self, count: int, element: int) -> int:
        # BTF has the product of dimensions only.
        inner = self.arrays.get(element)
        if inner is not None:
            count, element = count * inner[0], inner[1]
        number = self.of(_ARRAY, count, element)
        self.arrays[number] = count, element
        if element in self.inside:
            self.inside[number] = self.inside[element]
        return number

    def body(self, kind: int, size: int, flat: _Flat) -> int:
        """Return the number of a record that has no name: it is what is in it."""
        number = self.of(_BODY, kind, size, *map(tuple, flat))
        self.inside[number] = self.members(flat)
        return number

    def members(self, flat: _Flat) -> int:
        """Return the number of members, with those inside of members."""
        if len(set(flat.names)) != len(flat.names):
            raise _Unproven
        count = len(flat.names)
        if not self.inside.keys().isdisjoint(flat.types):
            count += sum(self.inside[type] for type in flat.types if type in self.inside)
        return count

    def aliased(self, number: int) -> int:
        """Return the number of a type behind a typedef."""
        return self.of(_BEHIND, number) if number in self.inside else number


class _Side(dict[int, int]):
    """Numbers for the types of one side, each worked out when it is first asked for."""

    # A type that contains itself, or cannot be described here, is equal to none.
    unproven = 0

    def __init__(self, keys: _Keys) -> None:
        super().__init__()
        self.common = keys
        self.pointees: dict[int, int] = {}
        self._flats: dict[int, _Flat] = {}
        self._depth = 0

    def __missing__(self, number: int) -> int:
        self[number] = self.unproven
        found = self[number] = self._guarded(number, False)
        return found

    def behind(self, number: int) -> int:
        """Return the number of a type behind a pointer: of records and enums the name counts."""
        found = self.pointees.get(number)
        if found is None:
            self.pointees[number] = self.unproven
            found = self.pointees[number] = self._guarded(number, True)
        return found

    def _guarded(self, number: int, behind: bool) -> int:
        if self._depth > _MAX_DEPTH:
            return self.unproven
        self._depth += 1
        try:
            return self._key(number, behind)
        except (_Unproven, LayoutError, IndexError):
            return self.unproven
        finally:
            self._depth -= 1

    def flat(self, number: int) -> _Flat:
        """Return the members of a record; raises `_Unproven`."""
        known = self._flats.get(number)
        if known is None:
            known = self._flats[number] = self._flatten(number)
        return known

    def _key(self, number: int, behind: bool) -> int:
        raise NotImplementedError

    def _flatten(self, number: int) -> _Flat:
        raise NotImplementedError

    def _inlined(self, names: list[int], places: list[int], numbers: Sequence[int]) -> _Flat:
        """Put the members of anonymous members in their places."""
        flat = _Flat([], [], [])
        for name, place, number in zip(names, places, numbers):
            if name:
                flat.names.append(name)
                flat.places.append(place)
                flat.types.append(self[number])
                continue
            if place & _WIDTH_MAX or self._depth > _MAX_DEPTH:
                raise _Unproven
            self._depth += 1
            try:
                inner = self.flat(self._anonymous(number))
            finally:
                self._depth -= 1
            flat.names.extend(inner.names)
            flat.places.extend([place + each for each in inner.places])
            flat.types.extend(inner.types)
        return flat

    def _anonymous(self, number: int) -> int:
        """Return the number of the record without a name that an anonymous member is."""
        raise NotImplementedError


class _TableSide(_Side):
    unproven = -1

    def __init__(self, keys: _Keys, table: Table, signs: bool) -> None:
        super().__init__(keys)
        self.table, self._signs = table, signs
        self.row, self.starts, self.bodies = table.entries()

    def _key(self, number: int, behind: bool) -> int:
        row, starts, of = self.row, self.starts, self.common.of
        alias, aliased = 0, False
        for _ in range(_MAX_DEPTH):
            at = starts[number]
            head = row[at]
            kind = head & t.KIND
            if kind == t.T_TYPEDEF:
                alias, aliased, number = row[at + 1], True, row[at + 2]
            elif kind in (t.T_QUALIFIED, t.T_SPACE):
                number = row[at + 1]
            else:
                break
        else:
            raise _Unproven
        if kind == t.T_POINTER:
            return of(_POINTER, self.behind(row[at + 1]))
        if kind == t.T_BASE:
            return of(_BASE, row[at + 2], head >> t.FLAG_SHIFT & 3)
        if kind in (t.T_STRUCT, t.T_UNION):
            _, name, info, size = row[at : at + 4]
            union = kind == t.T_UNION
            if behind or info & t.R_INCOMPLETE:
                return of(_RECORD, union, name or alias)
            if name or aliased:
                return of(_RECORD, union, name or alias, size)
            return self.common.body(union, size, self.flat(number))
        if kind == t.T_ENUM:
            _, name, info, size = row[at : at + 4]
            if behind or info & t.E_INCOMPLETE:
                return of(_ENUM, name or alias)
            return of(_ENUM, name or alias, size, self._signs and bool(info & t.E_SIGNED))
        if kind in (t.T_ARRAY, t.T_VARIABLE):
            count = max(0, row[at + 2] - 1) if kind == t.T_ARRAY else 0
            target = row[at + 1]
            found = self.common.array(count, self.behind(target) if behind else self[target])
            return self.common.aliased(found) if aliased else found
        if kind == t.T_FUNCTION:
            flags = head >> t.FLAG_SHIFT
            if flags & t.F_UNPROTOTYPED:
                raise _Unproven
            params = row[at + 3 : at + 3 + row[at + 2]]
            return of(
                _FUNCTION, bool(flags & t.F_VARIADIC), self.behind(row[at + 1]),
                *map(self.behind, params),
            )  # fmt: skip
        if kind == t.T_VOID:
            return of(_VOID)
        raise _Unproven

    def _flatten(self, number: int) -> _Flat:
        at = self.starts[number]
        if self.row[at + 2] & (t.R_OPAQUE | t.R_TRANSPARENT):
            raise _Unproven
        names, offsets, widths, types = self.table.members(self.bodies[number], self.row[at + 4])
        places = [offset << _WIDTH_BITS for offset in offsets]
        for which, width in widths.items():
            if not 0 < width <= _WIDTH_MAX:
                raise _Unproven
            places[which] |= width
        if 0 in names:
            return self._inlined(names, places, types)
        return _Flat(names, places, [self[type] for type in types])

    def _anonymous(self, number: int) -> int:
        row, starts = self.row, self.starts
        while row[starts[number]] & t.KIND in (t.T_QUALIFIED, t.T_SPACE):
            number = row[starts[number] + 1]
        at = starts[number]
        if row[at] & t.KIND not in (t.T_STRUCT, t.T_UNION) or row[at + 1]:
            raise _Unproven
        return number


class _BtfSide(_Side):
    unproven = -2

    def __init__(self, keys: _Keys, source: BtfSource, names: list[bytes], signs: bool) -> None:
        super().__init__(keys)
        self._signs = signs
        self.words, self.source = source.words, source
        # Types count from 1; 0 is void.
        self.places = [0, *source.places]
        self[0] = self.pointees[0] = keys.of(_VOID)
        self.names = _Names(source, names)

    def _key(self, number: int, behind: bool) -> int:
        words, places, of = self.words, self.places, self.common.of
        alias, aliased = 0, False
        for _ in range(_MAX_DEPTH):
            if not number:
                return of(_VOID)
            at = places[number]
            info = words[at + 1]
            kind = info >> b.KIND_SHIFT & b.KIND_MASK
            if kind == b.TYPEDEF:
                alias, aliased, number = words[at], True, words[at + 2]
            elif kind in b.QUALIFIERS:
                number = words[at + 2]
            else:
                break
        else:
            raise _Unproven
        if kind == b.PTR:
            return of(_POINTER, self.behind(words[at + 2]))
        if kind == b.INT:
            flags = words[at + 3] >> 24
            sign = _BOOL if flags & 4 else _SIGNED if flags & 1 else _UNSIGNED
            return of(_BASE, words[at + 2], sign)
        if kind in (b.STRUCT, b.UNION):
            name = self.names[words[at]] or self.names[alias]
            union, size = kind == b.UNION, words[at + 2]
            if behind:
                return of(_RECORD, union, name)
            if name or aliased:
                return of(_RECORD, union, name, size)
            return self.common.body(union, size, self.flat(number))
        if kind == b.FWD:
            return of(_RECORD, info >= b.FLAG, self.names[words[at]] or self.names[alias])
        if kind in (b.ENUM, b.ENUM64):
            name = self.names[words[at]] or self.names[alias]
            if behind or not info & b.ITEMS:
                return of(_ENUM, name)
            return of(_ENUM, name, words[at + 2], self._signs and info >= b.FLAG)
        if kind == b.ARRAY:
            target = words[at + 3]
            element = self.behind(target) if behind else self[target]
            found = self.common.array(words[at + 5], element)
            return self.common.aliased(found) if aliased else found
        if kind == b.FUNC_PROTO:
            items = words[at + 3 : at + 3 + 2 * (info & b.ITEMS)]
            variadic = len(items) > 0 and not items[-1] and not items[-2]
            params = items[1::2][:-1] if variadic else items[1::2]
            return of(_FUNCTION, variadic, self.behind(words[at + 2]), *map(self.behind, params))
        if kind == b.FLOAT:
            return of(_BASE, words[at + 2], _FLOAT)
        raise _Unproven

    def _flatten(self, number: int) -> _Flat:
        at = self.places[number]
        info = self.words[at + 1]
        raw = self.words[at + 3 : at + 3 + 3 * (info & b.ITEMS)]
        known = self.names
        names = [known[name] for name in raw[::3]]
        if info >= b.FLAG:
            places = [(place & 0xFFFFFF) << _WIDTH_BITS | place >> 24 for place in raw[2::3]]
        else:
            places = [place << _WIDTH_BITS for place in raw[2::3]]
        types = raw[1::3]
        if 0 in names:
            return self._inlined(names, places, types)
        return _Flat(names, places, [self[type] for type in types])

    def _anonymous(self, number: int) -> int:
        words, places = self.words, self.places
        for _ in range(_MAX_DEPTH):
            at = places[number] if number else 0
            kind = words[at + 1] >> b.KIND_SHIFT & b.KIND_MASK if number else 0
            if kind in (b.STRUCT, b.UNION) and not self.names[words[at]]:
                return number
            if kind not in b.QUALIFIERS:
                break
            number = words[at + 2]
        raise _Unproven


class _Names(dict[int, int]):
    """The table's numbers for the names of BTF, by their places; negative where it has none."""

    def __init__(self, source: BtfSource, names: list[bytes]) -> None:
        super().__init__()
        self._text = source.raw_text
        self._numbers = dict(zip(names, range(len(names))))

    def __missing__(self, place: int) -> int:
        text = self._text(place)
        # With a dot it could be taken for a path.
        known = None if b"." in text else self._numbers.get(text)
        number = self[place] = -1 - place if known is None else known
        return number


def find_proof(table: object, other: object) -> Proof | None:
    """Return a proof for two sources, None when there is none for such."""
    if not isinstance(table, Table):
        return None
    first, more = (other.first, other) if isinstance(other, Several) else (other, None)
    if isinstance(first, BtfSource) and first.base is None:
        return Proof(table, first, more)
    return None


class Proof:
    """Which types of a table BTF has, equal to them.

    When the BTF is the first of `several` sources nothing is proved of what only the others have.
    """

    def __init__(self, table: Table, source: BtfSource, several: Several | None) -> None:
        self.table, self._source, self._several = table, source, several
        self._sign_lost = ENUM_SIGN in source.lost
        keys = _Keys()
        signs = not self._sign_lost
        self._mine = _TableSide(keys, table, signs)
        self._names = table.all_names()
        self._theirs = _BtfSide(keys, source, self._names, signs)
        self._keys = keys
        self._index = source.names()

    def all(self) -> Iterator[tuple[int, str, int | None]]:
        """Iterate over the named types: number, name as C says it, and how many members are equal.

        The last is `ABSENT` when BTF has no such type, and None when there is no proof.
        """
        row, starts, names, find = self._mine.row, self._mine.starts, self._names, self._index.get
        elsewhere: frozenset[str] | None = None
        numbers = self.table.named()
        if max(numbers, default=0) >= len(starts):
            raise LayoutTableError("layout table with a name for a type that it has not")
        for number in numbers:
            at = starts[number]
            kind = row[at] & t.KIND
            title = _TITLES.get(kind)
            # Those of the last kind are not compared at all.
            if title is None or not 0 < row[at + 1] < len(names) or row[at + 2] & _UNCOMPARED[kind]:
                yield number, "", None
                continue
            name = names[row[at + 1]].decode("utf-8", "backslashreplace")
            found = find(name)
            count = self._members(kind, number, found) if found else ABSENT
            if count == ABSENT:
                if elsewhere is None:
                    elsewhere = self._elsewhere()
                if name in elsewhere:
                    count = None
            yield number, title + name, count

    def _elsewhere(self) -> frozenset[str]:
        """Return the names of types that the other sources have."""
        if self._several is None:
            return frozenset()
        return frozenset(name for other in self._several.others() for name in other.type_names())

    def _members(self, kind: int, number: int, others: list[int]) -> int | None:
        typedef = kind == t.T_TYPEDEF
        found = [
            other
            for other in others
            if (self._kind(other) == b.TYPEDEF) == typedef and not self._is_declared(other)
        ]
        if not found:
            return ABSENT
        if len(found) > 1 or self._kind(found[0]) not in _KINDS[kind]:
            return None
        try:
            return self._equal(kind, number, found[0])
        except (_Unproven, LayoutError, IndexError):
            return None

    def _kind(self, other: int) -> int:
        theirs = self._theirs
        return theirs.words[theirs.places[other] + 1] >> b.KIND_SHIFT & b.KIND_MASK

    def _is_declared(self, other: int) -> bool:
        info = self._theirs.words[self._theirs.places[other] + 1]
        return not info & b.ITEMS and self._kind(other) in (b.ENUM, b.ENUM64)

    def _equal(self, kind: int, number: int, other: int) -> int | None:
        row, at = self._mine.row, self._mine.starts[number]
        place = self._theirs.places[other]
        if kind == t.T_TYPEDEF:
            return self._typedefs(number, other)
        if row[at + 3] != self._theirs.words[place + 2]:
            return None
        return self._enums(number, other) if kind == t.T_ENUM else self._records(number, other)

    def _records(self, number: int, other: int) -> int | None:
        mine = self._mine.flat(number)
        return self._keys.members(mine) if mine == self._theirs.flat(other) else None

    def _typedefs(self, number: int, other: int) -> int | None:
        row, starts = self._mine.row, self._mine.starts
        words, places = self._theirs.words, self._theirs.places
        if self._mine[number] != self._theirs[other]:
            return None
        # Of what has no other name the members are compared, too.
        for _ in range(_MAX_DEPTH):
            kind = row[starts[number]] & t.KIND
            if kind == t.T_TYPEDEF:
                number = row[starts[number] + 2]
            elif kind in (t.T_QUALIFIED, t.T_SPACE):
                number = row[starts[number] + 1]
            else:
                break
        for _ in range(_MAX_DEPTH):
            if not other or self._kind(other) not in (b.TYPEDEF, *b.QUALIFIERS):
                break
            other = words[places[other] + 2]
        kinds = _KINDS.get(kind)
        if kinds is None or kind == t.T_TYPEDEF:
            return 0
        if row[starts[number] + 1] or self._theirs.names[words[places[other]]]:
            return 0
        if self._kind(other) not in kinds:
            return None
        return self._equal(kind, number, other)

    def _enums(self, number: int, other: int) -> int | None:
        mine, theirs = self._mine, self._theirs
        row, at, place = mine.row, mine.starts[number], theirs.places[other]
        info = theirs.words[place + 1]
        signed = bool(row[at + 2] & t.E_SIGNED)
        if not self._sign_lost and signed != (info >= b.FLAG):
            return None
        items = info & b.ITEMS
        if items != row[at + 4]:
            return None
        names, others, _ = self._source.constants(place)
        mine_names, values = self.table.constants(mine.bodies[number], items, signed)
        if mine_names != list(map(self._source.raw_text, names)):
            return None
        if self._sign_lost:
            mask = (1 << 8 * max(row[at + 3], 4)) - 1
            values, others = [v & mask for v in values], [v & mask for v in others]
        return items if values == others and len(set(names)) == items else None


_TITLES = {t.T_STRUCT: "struct ", t.T_UNION: "union ", t.T_ENUM: "enum ", t.T_TYPEDEF: ""}
_KINDS = {
    t.T_STRUCT: (b.STRUCT,), t.T_UNION: (b.UNION,), t.T_ENUM: (b.ENUM, b.ENUM64),
    t.T_TYPEDEF: (b.TYPEDEF,),
}  # fmt: skip
_UNCOMPARED = {
    t.T_STRUCT: t.R_INCOMPLETE | t.R_LOCAL,
    t.T_UNION: t.R_INCOMPLETE | t.R_LOCAL,
    t.T_ENUM: t.E_INCOMPLETE | t.E_LOCAL,
    t.T_TYPEDEF: 0,
}
