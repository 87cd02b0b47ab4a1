# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout table: what is written is read, and damage is refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from struct_layout import table_format as t
from struct_layout.model import (
    Array,
    Base,
    Complex,
    Contents,
    Declaration,
    Enum,
    Function,
    Identity,
    LayoutError,
    Member,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    Void,
)
from struct_layout.table import Table
from struct_layout.table_format import LayoutTableError
from struct_layout.table_writer import write_table

IDENTITY = Identity("6.1.0-1-test", "gcc-12 (Test) 12.2.0", bytes(range(32)))


class Describer:
    """Turns a type, cycles and all, into plain data; records are told once, then by number."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def type(self, type: Type) -> Any:
        if isinstance(type, (Record, Enum)):
            number = self.seen.get(id(type))
            if number is not None:
                return ("again", number)
            self.seen[id(type)] = len(self.seen)
        values: list[Any] = [type.__class__.__name__]
        slots: tuple[str, ...] = type.__slots__
        names = [name for name in slots if not name.startswith("_")]
        if isinstance(type, Record):
            names.append("members")
        elif isinstance(type, Enum):
            names.append("constants")
        for name in sorted(names):
            values.append((name, self.value(getattr(type, name))))
        return tuple(values)

    def value(self, value: Any) -> Any:
        if isinstance(value, Type):
            return self.type(value)
        if isinstance(value, tuple):
            return tuple(self.value(part) for part in value)
        return value


def describe(type: Type) -> Any:
    return Describer().type(type)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
SIZES = st.integers(0, (1 << 32) - 2)
ALIGNS = st.sampled_from([1, 2, 4, 8, 16, 4096])


@st.composite
def contents(draw: st.DrawFn) -> Contents:
    """Draw a set of types that refer to each other in any way, loops through records included."""
    records = [
        Record(
            draw(st.sampled_from(["struct", "union"])),
            draw(st.one_of(st.none(), NAMES)),
            draw(SIZES),
            draw(ALIGNS),
            packed=draw(st.booleans()),
            reverse=draw(st.booleans()),
            transparent=draw(st.booleans()),
            opaque=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    enums = [draw(an_enum()) for _ in range(draw(st.integers(0, 3)))]
    leaf = st.one_of(
        st.just(Void()),
        st.builds(
            Base, NAMES, st.integers(0, 255), st.sampled_from(t.ENCODINGS), st.integers(0, 65535)
        ),
        st.builds(Opaque, st.one_of(st.none(), st.integers(0, (1 << 32) - 2)), NAMES),
        st.sampled_from([*records, *enums]),
    )
    types = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Pointer, inner),
            st.builds(Array, inner, st.one_of(st.none(), st.integers(0, (1 << 32) - 2))),
            st.builds(lambda target: Array(target, None, variable=True), inner),
            st.builds(Vector, inner, SIZES),
            st.builds(Complex, inner, SIZES),
            st.builds(Qualified, st.sampled_from(["c", "v", "cv", "r", "a", "cvra"]), inner),
            st.builds(lambda target: Qualified("", target, 3), inner),
            st.builds(
                lambda result, params, variadic, prototyped: Function(
                    result, tuple(params), variadic, prototyped
                ),
                inner, st.lists(inner, max_size=4), st.booleans(), st.booleans(),
            ),
            st.builds(Typedef, NAMES, inner),
        ),
        max_leaves=6,
    )  # fmt: skip
    member = st.builds(
        Member, st.one_of(st.none(), NAMES), SIZES, st.one_of(st.none(), st.integers(0, 255)), types
    )
    for record in records:
        record.set_members(draw(st.lists(member, max_size=5)))
    extra = [draw(types) for _ in range(draw(st.integers(0, 3)))]
    declarations = [
        Declaration(
            draw(NAMES), draw(types), *(draw(st.booleans()) for _ in range(4))
        )
        for _ in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    return Contents([*records, *enums, *extra], declarations)


@st.composite
def an_enum(draw: st.DrawFn) -> Enum:
    size, signed = draw(st.sampled_from([1, 2, 4, 8])), draw(st.booleans())
    bits = size * 8
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    constants = st.tuples(NAMES, st.integers(low, high))
    name = draw(st.one_of(st.none(), NAMES))
    return Enum(name, size, signed, draw(st.lists(constants, max_size=4)), align=draw(ALIGNS))


@settings(max_examples=80, deadline=None)
@given(contents())
def test_what_is_written_is_read(given_contents: Contents) -> None:
    table = Table(write_table(given_contents, IDENTITY))
    assert table.identity == IDENTITY
    for type in given_contents.types:
        if isinstance(type, (Record, Enum, Typedef)) and type.name:
            wanted = describe(type)
            assert wanted in [describe(found) for found in table.find(type.name)]
    for declaration in given_contents.declarations:
        read = [d for d in table.declarations() if d.name == declaration.name]
        assert (describe(declaration.type), *declaration[2:]) in [
            (describe(d.type), *d[2:]) for d in read
        ]
        assert table.declaration(declaration.name) is not None
    names = set(table.type_names())
    for name in names:
        assert table.find(name)
    assert table.find("no such name") == []
    assert table.constant("no such name") is None


@settings(max_examples=25, deadline=None)
@given(contents())
def test_the_same_contents_give_the_same_bytes(given_contents: Contents) -> None:
    assert write_table(given_contents, IDENTITY) == write_table(given_contents, IDENTITY)


def small() -> bytes:
    inner = Record("struct", "inner", 4, 4, [Member("a", 0, 3, Base("int", 4, "signed"))])
    outer = Record("struct", "outer", 16, 8, [Member("first", 0, None, inner)])
    outer.set_members([*outer.members, Member("next", 64, None, Pointer(outer))])
    shade = Enum("shade", 4, False, [("LIGHT", 0), ("DARK", 0xFFFFFFFF)])
    decl = Declaration("paint", Function(Void(), (shade,), False), noreturn=True)
    return write_table(Contents([outer, shade, Typedef("tone", shade)], [decl]), IDENTITY)


def test_constants_and_declarations() -> None:
    table = Table(small())
    constant = table.constant("DARK")
    assert constant is not None and constant[0].name == "shade" and constant[1] == 0xFFFFFFFF
    declaration = table.declaration("paint")
    assert declaration is not None and declaration.function and declaration.noreturn
    assert table.counts()["records"] == 2


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_damaged_byte_is_refused(data: st.DataObject) -> None:
    table = bytearray(small())
    at = data.draw(st.integers(0, len(table) - 1))
    table[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(LayoutTableError) as caught:
        Table(bytes(table))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 8, 40, t.HEADER_SIZE - 1, t.HEADER_SIZE, -1])
def test_cut_tables_are_refused(length: int) -> None:
    with pytest.raises(LayoutTableError):
        Table(small()[:length])


def test_longer_tables_are_refused() -> None:
    with pytest.raises(LayoutTableError, match="cut or too long"):
        Table(small() + b"\0")


def test_another_version_is_refused() -> None:
    table = bytearray(small())
    table[8:12] = struct.pack("<I", t.VERSION + 1)
    with pytest.raises(LayoutTableError, match=f"version {t.VERSION + 1}.*rebuild with make"):
        Table(bytes(table))


def resealed(table: bytearray) -> bytes:
    table[t.CRC_AT : t.CRC_AT + 4] = t.checksum(table).to_bytes(4, "little")
    return bytes(table)


def read_all(table: bytes) -> None:
    try:
        read = Table(table)
        for name in read.type_names():
            for type in read.find(name):
                describe(type)
        for declaration in read.declarations():
            describe(declaration.type)
        read.constant("DARK")
    except LayoutTableError:
        pass


@given(st.data())
@settings(max_examples=250, deadline=None)
def test_nonsense_under_a_good_checksum_ends_in_one_line(data: st.DataObject) -> None:
    """A reader of guest memory may meet anything; it must neither hang nor crash."""
    table = bytearray(small())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(t.HEADER.size, len(table) - 4))
        table[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    read_all(resealed(table))


@pytest.mark.parametrize("word", [b"\x80\x80\x80\x80", b"\x80\xff\xff\x7f", b"\x80\x00\x80\x07"])
def test_flags_where_no_number_follows(word: bytes) -> None:
    """What is behind the flags of a void type is the next type, which may have flags, too."""
    for at in range(t.HEADER.size, len(small()) - 4):
        table = bytearray(small())
        table[at : at + 4] = word
        read_all(resealed(table))


def test_what_does_not_fit_becomes_opaque() -> None:
    huge = Record("struct", "huge", 1 << 33, 1, [Member("a", 0, None, Void())])
    far = Record("struct", "far", 1 << 31, 1, [Member("a", 1 << 33, None, Void())])
    table = Table(write_table(Contents([huge, far], []), IDENTITY))
    for name in ("huge", "far"):
        (found,) = table.find(name)
        assert isinstance(found, Record)
        assert (found.opaque, found.size, found.members) == (True, 0, ())


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(LayoutError, match="name with a NUL byte"):
        write_table(Contents([Record("struct", "a\0b", 1, 1)], []), IDENTITY)


def test_names_share_what_they_begin_with() -> None:
    names = [f"a_rather_long_name_{number:04}" for number in range(200)]
    table = write_table(Contents([Record("struct", n, 1, 1) for n in names], []), IDENTITY)
    assert sorted(r.name or "" for r in Table(table).records()) == names
    assert len(table) < 200 * 20


def test_constants_share_what_they_begin_with() -> None:
    constants = [(f"A_RATHER_LONG_CONSTANT_{number}", number * 3) for number in range(500)]
    enum = Enum("e", 4, False, constants)
    table = write_table(Contents([enum], []), IDENTITY)
    assert next(Table(table).enums()).constants == tuple(constants)
    assert len(table) < 500 * 8
