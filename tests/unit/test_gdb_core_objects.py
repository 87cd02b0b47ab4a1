# SPDX-License-Identifier: GPL-2.0-or-later
"""Decoders of Python objects over memory made by hand: sound, corrupt and cyclic ones."""

from __future__ import annotations

import struct

import pytest
from fake_interpreter import HEAP, FakeInterpreter, small
from hypothesis import given, settings
from hypothesis import strategies as st

from gdb_kpy.core import py_text
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.py_objects import Objects
from gdb_kpy.core.py_repr import Limits, Names, Repr


def text(fake: FakeInterpreter, word: int, limits: Limits | None = None) -> str:
    """Decode and write a word, as an item of a list would be."""
    objects = fake.objects()
    holder = Repr(objects, Names(), limits or Limits())
    return holder.words([word])[0]


@pytest.fixture
def fake() -> FakeInterpreter:
    return FakeInterpreter()


def test_words_that_are_no_pointers(fake: FakeInterpreter) -> None:
    word = fake.list(small(5), small(-(2**62)), 0x66, 0x6E, 0x7E, fake.qstr("it's"))
    assert text(fake, word) == '[5, -4611686018427387904, None, False, True, "it\'s"]'


def test_big_ints_with_digits_of_the_configured_size(fake: FakeInterpreter) -> None:
    value = 3**200
    digits = value.to_bytes(40, "little")
    at = fake.put(digits)
    word = fake.object("int", "int", digits=at, len=20, flags=2)
    assert text(fake, word) == str(-value)


def test_containers_in_containers(fake: FakeInterpreter) -> None:
    inner = fake.object("tuple", "tuple", len=1, items=0x66)
    table = fake.words(0, 0, fake.qstr("k"), inner, 4, 0, small(1), fake.text(b"\xff\xc3\xbc"))
    holder = bytearray(64)
    struct.pack_into("<Q", holder, 0, fake.fields["type.dict"])
    struct.pack_into("<QQQ", holder, 16, table, 4, 2 << 5 | 7)
    word = fake.put(bytes(holder))
    assert text(fake, fake.list(word)) == "[{'k': (None,), 1: '\\xff\\xfc'}]"


def test_a_deque_that_wraps(fake: FakeInterpreter) -> None:
    items = fake.words(small(3), 0, small(1), small(2))
    word = fake.object("deque", "deque", alloc=4, i_get=2, i_put=1, items=items)
    objects = fake.objects()
    found = objects.object(word)
    assert [objects.value(each) for each in objects.items(found, 0, 9)] == [1, 2, 3]


def test_a_cycle_ends(fake: FakeInterpreter) -> None:
    items = fake.take(16)
    word = fake.object("list", "list", len=2, items=items)
    fake.memory.put(items, struct.pack("<QQ", small(1), word))
    assert text(fake, word) == "[1, [...]]"


def test_depth_and_number_are_limited(fake: FakeInterpreter) -> None:
    word = fake.list()
    for _ in range(50):
        word = fake.list(word, word, word)
    limits = Limits(depth=3, items=2)
    assert len(text(fake, word, limits)) < 1000
    assert "... 1 more" in text(fake, word, limits)


def test_a_wide_graph_is_limited_as_a_whole(fake: FakeInterpreter) -> None:
    word = fake.list(small(0))
    for _ in range(9):
        word = fake.list(*[word] * 20)
    assert len(text(fake, word)) < 100_000


BROKEN = {
    "list": {"len": 1 << 40, "items": HEAP},
    "tuple": {"len": 1 << 60},
    "str": {"len": 1 << 50, "data": HEAP},
    "int": {"len": 1 << 40, "digits": HEAP},
    "set": {"alloc": 1 << 40, "used": 5, "table": HEAP},
    "array": {"typecode": ord("?"), "len": 3, "items": HEAP},
    "range": {"start": 1, "stop": 2, "step": 0},
    "closure": {"n_closed": 1 << 20, "fun": 8},
    "fun_bc": {"bytecode": 0x10},
    "symbol": {"name": 0x66},
    "array_ptr": {"type": 0},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_impossible_fields_are_shown_with_their_address(fake: FakeInterpreter, kind: str) -> None:
    word = fake.object(kind, kind, **BROKEN[kind])
    said = text(fake, fake.list(small(1), word, small(2)))
    assert said.startswith("[1, <corrupt ")
    assert said.endswith(">, 2]")
    assert f"{word:#x}"[:-2] in said


@pytest.mark.parametrize(
    ("kind", "field"),
    [("list", "items"), ("str", "data"), ("int", "digits"), ("array", "items"), ("set", "table")],
)
def test_items_that_are_nowhere(fake: FakeInterpreter, kind: str, field: str) -> None:
    values = {field: 0x1000, "len": 2, "alloc": 2, "used": 2, "typecode": ord("i")}
    known = {name: value for name, value in values.items() if f"off.{kind}.{name}" in fake.fields}
    word = fake.object(kind, kind, **known)
    said = text(fake, fake.list(word))
    assert said.startswith("[<corrupt ")


@pytest.mark.parametrize("word", [0, 4, 12, 8, 0x1000, HEAP + (1 << 30), (1 << 64) - 8])
def test_words_that_lead_nowhere(fake: FakeInterpreter, word: int) -> None:
    assert text(fake, fake.list(word)).startswith("[<corrupt object at ")


def test_an_object_without_a_type(fake: FakeInterpreter) -> None:
    freed = fake.words(0x5A5A5A5A5A5A5A5A, 0, 0, 0)
    assert text(fake, freed) == f"<corrupt object at {freed:#x}: 0x5a5a5a5a5a5a5a5a>"
    data = fake.words(fake.list(), 0, 0)
    assert text(fake, data).startswith(f"<corrupt object at {data:#x}: ")


def test_a_string_number_that_is_none(fake: FakeInterpreter) -> None:
    assert text(fake, fake.list(9999 << 3 | 2)).startswith("[<corrupt qstr at ")


def test_pools_in_a_circle(fake: FakeInterpreter) -> None:
    objects = fake.objects()
    state = fake.fields["addr.mp_state"]
    (pool,) = struct.unpack("<Q", fake.memory.read(state + 8, 8))
    fake.memory.poke(pool + 16, struct.pack("<Q", pool))
    with pytest.raises(CorruptError, match="chain of qstr pools"):
        objects.qstrs.text(1)


def test_strings_survive_stops_and_not_restarts(fake: FakeInterpreter) -> None:
    fake.qstr("first")
    objects = fake.objects()
    number = objects.qstrs.number("first")
    assert number is not None
    reads = fake.memory.reads
    objects.forget()
    assert objects.qstrs.text(number) == "first"
    assert fake.memory.reads - reads < 10
    fake.memory.put(fake.fields["addr.epoch"], struct.pack("<I", 2))
    objects.forget()
    assert objects.qstrs.text(number) == "first"


def test_another_representation_is_refused(fake: FakeInterpreter) -> None:
    fake.fields["cfg.obj_repr"] = 3
    with pytest.raises(NotReadyError, match="representation 3"):
        Objects(fake.memory.read, fake.info)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=64, max_size=512), st.integers(0, 2**64 - 1))
def test_noise_never_breaks_out(noise: bytes, word: int) -> None:
    """Objects of every type full of noise are text, or corrupt; nothing else is raised."""
    fake = FakeInterpreter()
    words = [word]
    for number, name in enumerate(fake.fields):
        if name.startswith("type."):
            shift = number % 32
            body = bytearray((noise[shift:] + noise)[:64])
            struct.pack_into("<Q", body, 0, fake.fields[name])
            words.append(fake.put(bytes(body)))
    for said in Repr(fake.objects(), Names(), Limits(5, 5)).words(words):
        assert isinstance(said, str) and len(said) < 100_000


@given(st.text(max_size=40))
def test_texts_can_be_read_back(value: str) -> None:
    assert eval(py_text.string(value)) == value


@given(st.binary(max_size=40))
def test_bytes_can_be_read_back(value: bytes) -> None:
    assert eval(py_text.byte_string(value)) == value


@given(st.integers(-(10**9000), 10**9000))
@settings(max_examples=20)
def test_ints_have_all_their_digits(value: int) -> None:
    said = py_text.integer(value)
    digits = said.lstrip("-")
    found = 0
    for start in range(0, len(digits), 1000):
        part = digits[start : start + 1000]
        found = found * 10 ** len(part) + int(part)
    assert (-found if said.startswith("-") else found) == value
