# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that types of a layout table and of BTF are equal, on their numbers alone.

Objects for 40,000 types, and comparing them fact by fact, take long. Here each type of a side
becomes one number, the same on both sides for types that are equal in everything that is
compared; members are compared as rows of numbers. What is not equal that way need not differ:
`differences` decides, and says what differs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from struct_layout import btf as b
from struct_layout import table_format as t
from struct_layout.btf import BtfSource
from struct_layout.differences import ABSENT, ENUM_SIGN
from struct_layout.model import LayoutError
from struct_layout.several import Several
from struct_layout.table import Table
from struct_layout.table_format import LayoutTableError

# The lowest four bits of a type's number say what it is; above them is what is compared of it.
# A type that is equal to none has a negative number, another on each side, and so have, or for
# kinds with keys another positive one, all that are made of it. As no kind is 14 or 15, what is
# made of one is never the number of the other.
(
    _VOID, _BASE, _POINTER, _ARRAY, _RECORD, _RECORD_NAME, _ENUM, _ENUM_NAME, _FUNCTION, _BODY,
    _BEHIND,
) = range(11)  # fmt: skip
_KIND, _KIND_BITS = 15, 4
_COUNT, _COUNT_BITS = (1 << 32) - 1, 32  # of sizes and counts
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


class _Common:
    """What both sides have in common: equal types have equal numbers."""

    def __init__(self) -> None:
        self._keys: dict[tuple[object, ...], int] = {}
        self.inside: dict[int, int] = {}  # how many members are inside, where those count

    def of(self, kind: int, *key: object) -> int:
        """Return the number of what has no number by itself."""
        keys = self._keys
        return keys.setdefault((kind, *key), len(keys)) << _KIND_BITS | kind

    def array(self, count: int, element: int) -> int:
        """Return the number of an array; BTF has the product of dimensions only."""
        if element & _KIND == _ARRAY:
            count *= element >> _KIND_BITS & _COUNT
            element >>= _COUNT_BITS + _KIND_BITS
        number = _sized(element, count) << _KIND_BITS | _ARRAY
        if element in self.inside:
            self.inside[number] = self.inside[element]
        return number

    def body(self, union: bool, size: int, flat: _Flat) -> int:
        """Return the number of a record that has no name: it is what is in it."""
        number = self.of(_BODY, union, size, *map(tuple, flat))
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
        """Return the number of an array behind a typedef: members are not looked into there."""
        return number << _KIND_BITS | _BEHIND if number in self.inside else number


def _sized(what: int, size: int) -> int:
    if size >> _COUNT_BITS:
        raise _Unproven
    return what << _COUNT_BITS | size


class _Side(dict[int, int]):
    """Numbers for the types of one side, each worked out when it is first asked for."""

    unproven = 0  # the number of what contains itself, or cannot be described here

    def __init__(self, common: _Common) -> None:
        super().__init__()
        self.common = common
        self.pointees: dict[int, int] = {}
        self._flats: dict[int, _Flat | None] = {}  # None: unproven, or not done yet
        self._depth = 0

    def __missing__(self, number: int) -> int:
        found = self[number] = self.unproven
        if self._depth <= _MAX_DEPTH:
            self._depth += 1
            with_depth = self._depth
            try:
                found = self[number] = self._key(number, False)
            except (_Unproven, LayoutError, IndexError):
                self._depth = with_depth
            self._depth -= 1
        return found

    def behind(self, number: int) -> int:
        """Return the number of a type behind a pointer: of records and enums the name counts."""
        found = self.pointees.get(number)
        if found is None:
            found = self.pointees[number] = self.unproven
            if self._depth <= _MAX_DEPTH:
                self._depth += 1
                with_depth = self._depth
                try:
                    found = self.pointees[number] = self._key(number, True)
                except (_Unproven, LayoutError, IndexError):
                    self._depth = with_depth
                self._depth -= 1
        return found

    def flat(self, number: int) -> _Flat:
        """Return the members of a record; raises `_Unproven`."""
        flats = self._flats
        if number not in flats:
            flats[number] = None
            flats[number] = self._flatten(number)
        found = flats[number]
        if found is None:
            raise _Unproven
        return found

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

    def __init__(self, common: _Common, table: Table, signs: bool) -> None:
        super().__init__(common)
        self.table, self._signs = table, signs
        self.row, self.starts, self.bodies = table.entries()

    def _key(self, number: int, behind: bool) -> int:
        row, starts = self.row, self.starts
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
            return self.behind(row[at + 1]) << _KIND_BITS | _POINTER
        if kind == t.T_BASE:
            return (row[at + 2] << 2 | head >> t.FLAG_SHIFT & 3) << _KIND_BITS | _BASE
        if kind in (t.T_STRUCT, t.T_UNION):
            _, name, info, size = row[at : at + 4]
            union = kind == t.T_UNION
            what = (name or alias) << 1 | union
            if behind or info & t.R_INCOMPLETE:
                return what << _KIND_BITS | _RECORD_NAME
            if name or aliased:
                return _sized(what, size) << _KIND_BITS | _RECORD
            return self.common.body(union, size, self.flat(number))
        if kind == t.T_ENUM:
            _, name, info, size = row[at : at + 4]
            what = (name or alias) << 1
            if behind or info & t.E_INCOMPLETE:
                return what << _KIND_BITS | _ENUM_NAME
            what |= self._signs and bool(info & t.E_SIGNED)
            return _sized(what, size) << _KIND_BITS | _ENUM
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
            return self.common.of(
                _FUNCTION, bool(flags & t.F_VARIADIC), self.behind(row[at + 1]),
                *map(self.behind, params),
            )  # fmt: skip
        if kind == t.T_VOID:
            return _VOID
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
        for _ in range(_MAX_DEPTH):
            at = starts[number]
            kind = row[at] & t.KIND
            if kind in (t.T_STRUCT, t.T_UNION) and not row[at + 1]:
                return number
            if kind not in (t.T_QUALIFIED, t.T_SPACE):
                break
            number = row[at + 1]
        raise _Unproven


class _BtfSide(_Side):
    unproven = -2

    def __init__(self, common: _Common, source: BtfSource, names: list[bytes], signs: bool) -> None:
        super().__init__(common)
        self._signs = signs
        self.words, self.source = source.words, source
        # Types count from 1; 0 is void.
        self.places = [0, *source.places]
        self[0] = self.pointees[0] = _VOID
        self.names = _Names(source, names)

    def _key(self, number: int, behind: bool) -> int:
        words, places = self.words, self.places
        alias, aliased = 0, False
        for _ in range(_MAX_DEPTH):
            if not number:
                return _VOID
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
            return self.behind(words[at + 2]) << _KIND_BITS | _POINTER
        if kind == b.INT:
            flags = words[at + 3] >> 24
            sign = _BOOL if flags & 4 else _SIGNED if flags & 1 else _UNSIGNED
            return (words[at + 2] << 2 | sign) << _KIND_BITS | _BASE
        if kind in (b.STRUCT, b.UNION):
            name = self.names[words[at]] or self.names[alias]
            union, size = kind == b.UNION, words[at + 2]
            what = name << 1 | union
            if behind:
                return what << _KIND_BITS | _RECORD_NAME
            if name or aliased:
                return _sized(what, size) << _KIND_BITS | _RECORD
            return self.common.body(union, size, self.flat(number))
        if kind == b.FWD:
            what = (self.names[words[at]] or self.names[alias]) << 1 | (info >= b.FLAG)
            return what << _KIND_BITS | _RECORD_NAME
        if kind in (b.ENUM, b.ENUM64):
            name = self.names[words[at]] or self.names[alias]
            what = name << 1
            if behind or not info & b.ITEMS:
                return what << _KIND_BITS | _ENUM_NAME
            what |= self._signs and info >= b.FLAG
            return _sized(what, words[at + 2]) << _KIND_BITS | _ENUM
        if kind == b.ARRAY:
            target = words[at + 3]
            element = self.behind(target) if behind else self[target]
            found = self.common.array(words[at + 5], element)
            return self.common.aliased(found) if aliased else found
        if kind == b.FUNC_PROTO:
            items = words[at + 3 : at + 3 + 2 * (info & b.ITEMS)]
            variadic = len(items) > 0 and not items[-1] and not items[-2]
            params = items[1::2][:-1] if variadic else items[1::2]
            return self.common.of(
                _FUNCTION, variadic, self.behind(words[at + 2]), *map(self.behind, params)
            )
        if kind == b.FLOAT:
            return (words[at + 2] << 2 | _FLOAT) << _KIND_BITS | _BASE
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
        self._strings = source.strings
        self._numbers = dict(zip(names, range(len(names))))

    def __missing__(self, place: int) -> int:
        strings = self._strings
        end = strings.find(0, place)
        if end < 0:
            raise _Unproven
        text = strings[place:end]
        # With a dot it could be taken for a path.
        number = self[place] = -1 - place if b"." in text else self._numbers.get(text, -1 - place)
        return number


def find_proof(table: object, other: object) -> Proof | None:
    """Return a proof for two sources, None when there is none for such."""
    if not isinstance(table, Table):
        return None
    first, more = (other.first, other) if isinstance(other, Several) else (other, None)
    if isinstance(first, BtfSource) and first.base is None:
        # What is wrong with it the comparison fact by fact tells.
        with contextlib.suppress(_Unproven):
            return Proof(table, first, more)
    return None


class Proof:
    """Which types of a table BTF has, equal to them.

    When the BTF is the first of `several` sources nothing is proved of what only the others have.
    """

    def __init__(self, table: Table, source: BtfSource, several: Several | None) -> None:
        self.table, self._source, self._several = table, source, several
        self._sign_lost = ENUM_SIGN in source.lost
        common = _Common()
        signs = not self._sign_lost
        self._mine = _TableSide(common, table, signs)
        self._names = table.all_names()
        self._theirs = _BtfSide(common, source, self._names, signs)
        self._common = common
        # By the table's numbers of their names.
        self._index: dict[int, list[int]] = {}
        names, words, places = self._theirs.names, source.words, source.places
        for which in source.named:
            self._index.setdefault(names[words[places[which]]], []).append(which + 1)

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
            found = find(row[at + 1])
            count = self._members(kind, number, found) if found else ABSENT
            if "." in name:
                count = None
            if count == ABSENT and self._several is not None:
                if elsewhere is None:
                    elsewhere = self._elsewhere(self._several)
                if name in elsewhere:
                    count = None
            yield number, title + name, count

    def _elsewhere(self, several: Several) -> frozenset[str]:
        """Return the names of types that the other sources have."""
        return frozenset(name for other in several.others() for name in other.type_names())

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
        return self._common.members(mine) if mine == self._theirs.flat(other) else None

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
