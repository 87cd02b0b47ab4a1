# SPDX-License-Identifier: GPL-2.0-or-later
"""Types as rows of numbers: what a build works with, from the plugin's records to the table.

There are a hundred thousand members: as columns of numbers they are read, compared and written
in bulk.
"""

from __future__ import annotations

from typing import NamedTuple

from struct_layout import table_format as t
from struct_layout.model import (
    Array,
    Base,
    Complex,
    Contents,
    Declaration,
    Enum,
    Function,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    Void,
)

RECORDS = (t.T_STRUCT, t.T_UNION)
_COUNTED = (t.T_ARRAY, t.T_OPAQUE)
NO_WIDTH = -1  # of a member that is no bitfield
_U32 = 1 << 32


class Row(NamedTuple):
    """A type: its first byte in a table, its name, the types it is made of, its numbers.

    The numbers are those of docs/layout-table.md. Structs, unions and enums have four: info,
    size, the first of their members or constants in the columns, and how many there are.
    """

    head: int
    name: int
    types: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()


class Members(NamedTuple):
    """The members of all records, in columns."""

    names: list[int]
    offsets: list[int]
    widths: list[int]  # NO_WIDTH: no bitfield
    types: list[int]


class Constants(NamedTuple):
    """The constants of all enums, in columns."""

    names: list[int]
    values: list[int]


class Declared(NamedTuple):
    """A function or variable, with the table's flags."""

    name: int
    flags: int
    type: int


class Graph(NamedTuple):
    """Types that refer to each other by number; names are numbered, too, and 0 is none."""

    texts: list[str]
    rows: list[Row]
    members: Members
    constants: Constants
    roots: list[int]  # what is to be in the table, with all it refers to
    declarations: list[Declared]


class Reach(NamedTuple):
    """The types that a graph's roots and declarations lead to, and how often each is named."""

    types: list[int]  # in the order in which they are found
    uses: list[int]  # by type


def reach(graph: Graph) -> Reach:
    """Find what is to be in a table. A type that members in a row have is named once for all."""
    rows, types = graph.rows, graph.members.types
    found: list[int] = []
    known = [False] * len(rows)
    uses = [0] * len(rows)

    def visit(number: int) -> None:
        if not known[number]:
            for part in rows[number].types:
                visit(part)
                uses[part] += 1
            known[number] = True
            found.append(number)

    for number in [*graph.roots, *(declared.type for declared in graph.declarations)]:
        visit(number)
        uses[number] += 1
    for number in found:  # grows
        head, _, _, numbers = rows[number]
        if head in RECORDS:
            _, _, start, count = numbers
            previous = -1
            for part in types[start : start + count]:
                if part != previous:
                    if not known[part]:
                        visit(part)
                    uses[part] += 1
                    previous = part
    return Reach(found, uses)


def fit(graph: Graph) -> Graph:
    """Return the graph with what is too large for a table as opaque."""
    rows, offsets = list(graph.rows), graph.members.offsets
    texts = graph.texts
    far = max(offsets, default=0) >= _U32
    for number, (head, name, _, numbers) in enumerate(rows):
        if head in RECORDS:
            info, size, start, count = numbers
            if size >= t.NO_SIZE or (
                far and max(offsets[start : start + count], default=0) >= _U32
            ):
                rows[number] = Row(head, name, (), (info | t.R_OPAQUE, 0, start, 0))
        elif head in _COUNTED and numbers[0] >= _U32:
            if head == t.T_ARRAY:
                texts, name = [*texts, "array"], len(texts)
            rows[number] = Row(t.T_OPAQUE, name, (), (0,))
    return graph._replace(texts=texts, rows=rows)


def graph_of(contents: Contents) -> Graph:
    """Write types down as a graph. Records and enums that are not one object stay apart."""
    return _Maker().graph(contents)


class _Maker:
    def __init__(self) -> None:
        self.texts = {"": 0}
        self.rows: list[Row] = []
        self.members = Members([], [], [], [])
        self.constants = Constants([], [])
        self.known: dict[int, int] = {}
        self.kept: list[Type] = []  # so that ids stay taken
        self.same: dict[Row, int] = {}
        self.waiting: list[tuple[int, Record]] = []

    def graph(self, contents: Contents) -> Graph:
        roots = [self.number(type) for type in contents.types]
        declarations = [
            Declared(self.name(decl.name), _flags(decl), self.number(decl.type))
            for decl in contents.declarations
        ]
        while self.waiting:
            self.fill(*self.waiting.pop())
        texts = list(self.texts)
        graph = Graph(texts, self.rows, self.members, self.constants, roots, declarations)
        return fit(graph)

    def name(self, text: str | None) -> int:
        return self.texts.setdefault(text or "", len(self.texts))

    def number(self, type: Type) -> int:
        known = self.known.get(id(type))
        if known is None:
            known = self.known[id(type)] = self.add(type)
            self.kept.append(type)
        return known

    def add(self, type: Type) -> int:
        if isinstance(type, (Record, Enum)):
            return self.container(type)
        if isinstance(type, Qualified) and not type.space and not type.quals:
            return self.number(type.target)
        row = self.row(type)
        number = self.same.get(row)
        if number is None:
            number = self.same[row] = len(self.rows)
            self.rows.append(row)
        return number

    def row(self, type: Type) -> Row:
        if isinstance(type, Void):
            return Row(t.T_VOID, 0)
        if isinstance(type, Base):
            head = t.T_BASE | t.ENCODINGS.index(type.encoding) << t.FLAG_SHIFT
            return Row(head, self.name(type.name), (), (type.size, type.bits))
        if isinstance(type, Opaque):
            size = 0 if type.size is None else type.size + 1
            return Row(t.T_OPAQUE, self.name(type.why), (), (size,))
        if isinstance(type, Function):
            flags = (t.F_VARIADIC if type.variadic else 0) | (
                0 if type.prototyped else t.F_UNPROTOTYPED
            )
            types = tuple(self.number(part) for part in (type.result, *type.params))
            return Row(t.T_FUNCTION | flags << t.FLAG_SHIFT, 0, types)
        assert isinstance(type, (Typedef, Pointer, Array, Qualified, Vector, Complex))
        inner = (self.number(type.target),)
        if isinstance(type, Typedef):
            return Row(t.T_TYPEDEF, self.name(type.name), inner)
        if isinstance(type, Pointer):
            return Row(t.T_POINTER, 0, inner)
        if isinstance(type, Array):
            if type.variable:
                return Row(t.T_VARIABLE, 0, inner)
            return Row(t.T_ARRAY, 0, inner, (0 if type.count is None else type.count + 1,))
        if isinstance(type, Qualified):
            if type.space and type.quals:
                plain = Qualified("", type.target, type.space)
                inner = (self.number(plain),)
            elif type.space:
                return Row(t.T_SPACE, 0, inner, (type.space,))
            flags = sum(1 << t.QUALS.index(letter) for letter in set(type.quals))
            return Row(t.T_QUALIFIED | flags << t.FLAG_SHIFT, 0, inner)
        return Row(t.T_VECTOR if isinstance(type, Vector) else t.T_COMPLEX, 0, inner, (type.size,))

    def container(self, type: Record | Enum) -> int:
        name = self.name(type.name)
        info = max(type.align, 1).bit_length() - 1
        flags: tuple[tuple[int, bool], ...]
        if isinstance(type, Enum):
            flags = (
                (t.E_SIGNED, type.signed),
                (t.E_INCOMPLETE, type.incomplete),
                (t.E_LOCAL, type.local),
            )
            numbers = (len(self.constants.names), len(type.constants))
            self.constants.names.extend(self.name(text) for text, _ in type.constants)
            self.constants.values.extend(value for _, value in type.constants)
            kind = t.T_ENUM
        else:
            flags = (
                (t.R_PACKED, type.packed),
                (t.R_INCOMPLETE, type.incomplete),
                (t.R_LOCAL, type.local),
                (t.R_REVERSE, type.reverse),
                (t.R_TRANSPARENT, type.transparent),
                (t.R_OPAQUE, type.opaque),
            )
            numbers = (0, 0)
            kind = t.T_UNION if type.kind == "union" else t.T_STRUCT
            self.waiting.append((len(self.rows), type))
        info |= sum(flag for flag, on in flags if on)
        self.rows.append(Row(kind, name, (), (info, type.size, *numbers)))
        return len(self.rows) - 1

    def fill(self, number: int, record: Record) -> None:
        """Add the members of a record, later than itself: they may lead back to it."""
        members = self.members
        info, size = self.rows[number].numbers[:2]
        numbers = (info, size, len(members.names), len(record.members))
        self.rows[number] = self.rows[number]._replace(numbers=numbers)
        members.names.extend(self.name(member.name) for member in record.members)
        members.offsets.extend(member.offset for member in record.members)
        members.widths.extend(
            NO_WIDTH if member.bits is None else member.bits for member in record.members
        )
        members.types.extend(self.number(member.type) for member in record.members)


def _flags(decl: Declaration) -> int:
    return (
        (t.D_STATIC if decl.static else 0)
        | (t.D_INLINE if decl.inline else 0)
        | (t.D_NORETURN if decl.noreturn else 0)
        | (t.D_PERCPU if decl.percpu else 0)
    )
