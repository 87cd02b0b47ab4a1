# SPDX-License-Identifier: GPL-2.0-or-later
"""The room in the module for structs that a debugger describes: kmod/structs/pushed.h."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.memory import Read, u32

_PUSH = struct.Struct("<IIII")  # at, size, first_id, shown
_ALIGN = 8
Write = tuple[int, bytes]


@dataclass(frozen=True)
class Push:
    """One push."""

    number: int
    at: int
    size: int
    first_id: int
    shown: bool


class Room:
    """Reads what was pushed and says what to write. Nothing written is ever overwritten."""

    def __init__(self, info: DebugInfo) -> None:
        self._at = info["addr.pushed"]
        self._pushes = self._at + info["off.pushed.pushes"]
        self._data = self._at + info["off.pushed.data"]
        self._most = info["size.pushed.pushes"]
        self._bytes = info["size.pushed.data"]
        self._each = info["size.pushed.most"]

    def pushes(self, read: Read) -> list[Push]:
        """Return all pushes, those that were popped too."""
        count = u32(read, self._at)
        if count > self._most:
            raise CorruptError(self._at, "number of pushes", f"at most {self._most}", count)
        raw = read(self._pushes, count * _PUSH.size) if count else b""
        found = []
        for number, (at, size, first_id, shown) in enumerate(_PUSH.iter_unpack(raw)):
            if at + size > self._bytes:
                raise CorruptError(self._pushes, "push", f"within {self._bytes} bytes", at + size)
            found.append(Push(number, at, size, first_id, bool(shown)))
        return found

    def data(self, read: Read, push: Push) -> bytes:
        """Return what was pushed."""
        return read(self._data + push.at, push.size)

    def push(self, read: Read, data: bytes, first_id: int) -> list[Write]:
        """Return what to write in order to add a push; the count comes last."""
        pushes = self.pushes(read)
        for known in pushes:
            if known.size == len(data) and self.data(read, known) == data:
                return [self._shown(known.number, True)]
        at = max((each.at + each.size for each in pushes), default=0)
        at += -at % _ALIGN
        if len(data) > self._each:
            raise NotReadyError(
                f"this takes {len(data)} bytes, the most of one push is {self._each}",
                "push fewer structs at once",
            )
        if len(pushes) == self._most or at + len(data) > self._bytes:
            raise NotReadyError(
                f"there is no more room ({len(pushes)} pushes, {at} of {self._bytes} bytes; "
                "popped ones keep theirs, as Python may still use them)",
                "reload the module",
            )
        entry = _PUSH.pack(at, len(data), first_id, 1)
        place = self._pushes + len(pushes) * _PUSH.size
        return [
            (self._data + at, data),
            (place, entry),
            (self._at, struct.pack("<I", len(pushes) + 1)),
        ]

    def pop(self, pushes: Sequence[Push]) -> list[Write]:
        """Return what to write in order to hide pushes."""
        return [self._shown(each.number, False) for each in pushes]

    def _shown(self, number: int, shown: bool) -> Write:
        return self._pushes + number * _PUSH.size + 12, struct.pack("<I", shown)
