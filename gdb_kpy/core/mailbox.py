# SPDX-License-Identifier: GPL-2.0-or-later
"""The mailbox through which a debugger hands Python to the module and gets its answer."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.memory import Read, u32, u64

STATE_IDLE = 0
STATE_BUSY = 1
STATE_DONE = 2
STATE_POSTED = 3


class Kind(enum.IntEnum):
    """What the source is."""

    EVAL = 0
    EXEC = 1


class Status(enum.IntEnum):
    """How the module answered."""

    OK = 0
    EXCEPTION = 1
    REFUSED = 2


@dataclass(frozen=True)
class Text:
    """Text that the mailbox may have been too small for."""

    text: str
    total: int
    kept: int

    @property
    def cut(self) -> int:
        """Number of bytes that were dropped."""
        return self.total - self.kept


class Flag(enum.IntFlag):
    """How to evaluate."""

    NONE = 0
    KEEP = 1  # keep the value as a numbered result
    UNSAFE = 2  # let it call kernel functions in the frozen guest


@dataclass(frozen=True)
class Value:
    """What the value is to a C program: its number if it has one, and what it points to."""

    number: int | None = None
    struct: str = ""
    none: bool = True
    kept: int = 0


@dataclass(frozen=True)
class Reply:
    """What came back: the result's repr, the traceback or the reason of a refusal; and output."""

    status: Status
    result: Text
    output: Text
    value: Value = Value()


_NONE, _SIGNED, _UNSIGNED = 0, 1, 2


def _joined(writes: list[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Join writes into one, as each costs a round trip; what lies between them becomes zeros."""
    start = min(at for at, _ in writes)
    joined = bytearray(max(at + len(data) for at, data in writes) - start)
    for at, data in writes:
        joined[at - start : at - start + len(data)] = data
    return start, bytes(joined)


@dataclass(frozen=True)
class Mailbox:
    """A mailbox at its address, described by the module's own offsets."""

    address: int
    info: DebugInfo

    def _at(self, field: str) -> int:
        return self.address + self.info["off.mailbox." + field]

    def request(
        self,
        source: str,
        kind: Kind,
        timeout_ms: int,
        flags: Flag = Flag.NONE,
        state: int = STATE_IDLE,
    ) -> list[tuple[int, bytes]]:
        """Return the writes that put a request into the mailbox."""
        raw = source.encode("utf-8", "surrogateescape")
        room = self.info["size.mailbox.source"]
        if len(raw) > room:
            raise NotReadyError(
                f"the source has {len(raw)} bytes and the mailbox takes {room}",
                "shorten it, or put it into a file and import it in the guest",
            )
        # Between them are parts of the answer, which the module sets before anything else.
        return [
            _joined(
                [
                    (self._at("source"), raw),
                    (self._at("source_len"), len(raw).to_bytes(8, "little")),
                    (self._at("kind"), int(kind).to_bytes(4, "little")),
                    (self._at("timeout_ms"), timeout_ms.to_bytes(4, "little")),
                    (self._at("status"), bytes(4)),
                    (self._at("flags"), int(flags).to_bytes(4, "little")),
                    (self._at("state"), state.to_bytes(4, "little")),
                ]
            )
        ]

    def state(self, read: Read) -> int:
        """Read the state word."""
        return u32(read, self._at("state"))

    def state_write(self, state: int) -> tuple[int, bytes]:
        """Return the write that sets the state word."""
        return self._at("state"), state.to_bytes(4, "little")

    def reply(self, read: Read) -> Reply:
        """Decode the answer after a call returned."""
        state = self.state(read)
        if state != STATE_DONE:
            raise CorruptError(self._at("state"), "mailbox state", STATE_DONE, state)
        status = u32(read, self._at("status"))
        if status not in tuple(Status):
            raise CorruptError(self._at("status"), "mailbox status", "0, 1 or 2", status)
        output = self._text(read, "output")
        # MicroPython's print() ends lines for a terminal.
        plain = dataclasses.replace(output, text=output.text.replace("\r\n", "\n"))
        return Reply(Status(status), self._text(read, "result"), plain, self._value(read))

    def _value(self, read: Read) -> Value:
        kind = u32(read, self._at("value_kind"))
        number = None
        if kind in (_SIGNED, _UNSIGNED):
            raw = read(self._at("value"), 8)
            number = int.from_bytes(raw, "little", signed=kind == _SIGNED)
        name = read(self._at("value_type"), self.info["size.mailbox.value_type"])
        struct = name.split(b"\0", 1)[0].decode("ascii", "replace")
        return Value(number, struct, kind == _NONE, u64(read, self._at("kept")))

    def _text(self, read: Read, what: str) -> Text:
        length = u64(read, self._at(what + "_len"))
        room = self.info["size.mailbox." + what]
        if length > room:
            raise CorruptError(self._at(what + "_len"), f"{what} length", f"at most {room}", length)
        total = max(u64(read, self._at(what + "_total")), length)
        raw = read(self._at(what), length) if length else b""
        return Text(raw.decode("utf-8", "replace"), total, length)
