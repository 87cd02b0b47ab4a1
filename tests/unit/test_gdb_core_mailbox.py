# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from mock_memory import MockMemory

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.mailbox import STATE_BUSY, STATE_DONE, Kind, Mailbox, Reply, Status

AT = 0xFFFF_C900_0000_0000
ROOM = 32
OFFSETS = {
    "state": 0,
    "kind": 4,
    "status": 8,
    "timeout_ms": 12,
    "source_len": 16,
    "result_len": 24,
    "result_total": 32,
    "output_len": 40,
    "output_total": 48,
    "flags": 56,
    "value_kind": 60,
    "value": 64,
    "kept": 72,
    "value_type": 80,
    "source": 80 + ROOM,
    "result": 80 + 2 * ROOM,
    "output": 80 + 3 * ROOM,
}
TEXTS = ("source", "result", "output", "value_type")


def mailbox() -> tuple[Mailbox, MockMemory]:
    fields = {f"off.mailbox.{name}": at for name, at in OFFSETS.items()}
    fields |= {f"size.mailbox.{name}": ROOM for name in TEXTS}
    memory = MockMemory()
    memory.put(AT, bytes(80 + 4 * ROOM))
    return Mailbox(AT, DebugInfo(0, 1, "0", "0", fields)), memory


def poke(memory: MockMemory, field: str, value: int, size: int = 8) -> None:
    memory.poke(AT + OFFSETS[field], value.to_bytes(size, "little"))


def answer(status: int, result: bytes, output: bytes = b"", total: int | None = None) -> Reply:
    box, memory = mailbox()
    poke(memory, "state", STATE_DONE, 4)
    poke(memory, "status", status, 4)
    poke(memory, "result_len", len(result))
    poke(memory, "result_total", len(result) if total is None else total)
    poke(memory, "output_len", len(output))
    poke(memory, "output_total", len(output))
    memory.poke(AT + OFFSETS["result"], result)
    memory.poke(AT + OFFSETS["output"], output)
    return box.reply(memory.read)


def test_a_request_fills_in_every_field() -> None:
    box, memory = mailbox()
    for address, data in box.request("ü + 1", Kind.EXEC, 2000):
        memory.poke(address, data)
    source = "ü + 1".encode()
    assert memory.read(AT + OFFSETS["source"], len(source)) == source
    assert memory.read(AT + OFFSETS["source_len"], 8) == len(source).to_bytes(8, "little")
    assert memory.read(AT + OFFSETS["kind"], 4) == b"\1\0\0\0"
    assert memory.read(AT + OFFSETS["timeout_ms"], 4) == (2000).to_bytes(4, "little")
    assert box.state(memory.read) == 0


def test_a_source_that_just_fits_and_one_that_does_not() -> None:
    box, _memory = mailbox()
    assert box.request("x" * ROOM, Kind.EVAL, 1)
    with pytest.raises(NotReadyError, match="33 bytes and the mailbox takes 32"):
        box.request("x" * (ROOM + 1), Kind.EVAL, 1)


def test_a_value_and_output() -> None:
    reply = answer(0, b"42", b"hello\r\n")
    assert reply.status is Status.OK
    assert (reply.result.text, reply.result.cut, reply.output.text) == ("42", 0, "hello\n")


def test_a_traceback() -> None:
    reply = answer(1, b"NameError: x\n")
    assert reply.status is Status.EXCEPTION
    assert reply.result.text == "NameError: x\n"


def test_a_result_longer_than_the_mailbox() -> None:
    assert answer(0, b"x" * ROOM, total=1000).result.cut == 1000 - ROOM


def test_a_character_cut_in_the_middle() -> None:
    reply = answer(0, "é".encode()[:1], total=2)
    assert reply.result.text == "\ufffd"
    assert reply.result.cut == 1


def test_an_evaluation_that_did_not_end() -> None:
    box, memory = mailbox()
    poke(memory, "state", STATE_BUSY, 4)
    with pytest.raises(CorruptError, match="mailbox state"):
        box.reply(memory.read)


@pytest.mark.parametrize(("status", "what"), [(3, "status"), (0xFFFF_FFFF, "status")])
def test_an_unknown_status(status: int, what: str) -> None:
    with pytest.raises(CorruptError, match=what):
        answer(status, b"")


def test_a_length_beyond_the_mailbox() -> None:
    box, memory = mailbox()
    poke(memory, "state", STATE_DONE, 4)
    poke(memory, "output_len", 1 << 62)
    with pytest.raises(CorruptError, match="output length"):
        box.reply(memory.read)
