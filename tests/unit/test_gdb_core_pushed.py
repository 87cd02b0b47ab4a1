# SPDX-License-Identifier: GPL-2.0-or-later
"""The room for pushed structs: appended to, bounded, hidden but never overwritten."""

from __future__ import annotations

import struct

import pytest
from mock_memory import MockMemory

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.pushed import Room, Write

AT = 0xFFFF_FFFF_C000_0000
PUSHES, BYTES, MOST = 3, 64, 32
DATA_AT = 64


def room() -> tuple[Room, MockMemory]:
    fields = {
        "addr.pushed": AT,
        "off.pushed.pushes": 4,
        "off.pushed.data": DATA_AT,
        "size.pushed.pushes": PUSHES,
        "size.pushed.data": BYTES,
        "size.pushed.most": MOST,
    }
    memory = MockMemory()
    memory.put(AT, bytes(DATA_AT + BYTES))
    return Room(DebugInfo(0, 1, "0", "0", fields)), memory


def apply(memory: MockMemory, writes: list[Write]) -> None:
    for address, data in writes:
        memory.poke(address, data)


def test_a_push_is_whole_before_it_counts() -> None:
    place, memory = room()
    writes = place.push(memory.read, b"abcde", 77)
    assert writes[-1] == (AT, struct.pack("<I", 1))
    for address, data in writes[:-1]:
        memory.poke(address, data)
        assert place.pushes(memory.read) == []
    apply(memory, writes[-1:])
    (push,) = place.pushes(memory.read)
    assert (push.at, push.size, push.first_id, push.shown) == (0, 5, 77, True)
    assert place.data(memory.read, push) == b"abcde"


def test_popped_ones_keep_their_place() -> None:
    place, memory = room()
    for data in (b"first", b"second"):
        apply(memory, place.push(memory.read, data, 1))
    first, second = place.pushes(memory.read)
    assert second.at == 8
    apply(memory, place.pop([first]))
    assert [each.shown for each in place.pushes(memory.read)] == [False, True]
    apply(memory, place.push(memory.read, b"third", 1))
    assert place.data(memory.read, first) == b"first"
    # The same again is only shown again.
    apply(memory, place.push(memory.read, b"first", 1))
    assert [each.shown for each in place.pushes(memory.read)] == [True, True, True]


def test_bounds() -> None:
    place, memory = room()
    with pytest.raises(NotReadyError, match="the most of one push is 32"):
        place.push(memory.read, bytes(33), 1)
    apply(memory, place.push(memory.read, bytes(30), 1))
    with pytest.raises(NotReadyError, match=r"no more room \(2 pushes, 64 of 64 bytes"):
        apply(memory, place.push(memory.read, b"x" * 32, 1))
        place.push(memory.read, b"y" * 32, 1)
    place, memory = room()
    for number in range(PUSHES):
        apply(memory, place.push(memory.read, bytes([number + 1]), 1))
    with pytest.raises(NotReadyError, match="reload the module"):
        place.push(memory.read, b"z", 1)


def test_damage_is_named() -> None:
    place, memory = room()
    memory.poke(AT, struct.pack("<I", PUSHES + 1))
    with pytest.raises(CorruptError, match="number of pushes"):
        place.pushes(memory.read)
    memory.poke(AT, struct.pack("<IIIII", 1, BYTES, 1, 1, 1))
    with pytest.raises(CorruptError, match="within 64 bytes"):
        place.pushes(memory.read)
