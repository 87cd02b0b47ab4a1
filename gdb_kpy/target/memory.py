# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's memory through GDB, kept until the guest may have changed it."""

from __future__ import annotations

import gdb

from gdb_kpy.core.errors import FaultError

_LINE = 512
_BULK = 1024


class Memory:
    """Reads in lines of 512 bytes and keeps them until the next stop or write.

    A round trip costs as much as a few hundred bytes, so neighbours come for free.
    """

    def __init__(self) -> None:
        self._lines: dict[int, bytes] = {}
        self.generation = 0  # how often the guest may have run since attaching

    def forget(self, _event: object = None) -> None:
        """Drop what was read, as the guest ran; an event handler: it must not touch the target."""
        self._lines.clear()
        self.generation += 1

    def drop(self) -> None:
        """Drop what was read, as a call of ours changed memory while the guest stood still."""
        self._lines.clear()

    def read(self, address: int, size: int) -> bytes:
        """Read memory; raises FaultError."""
        if size >= _BULK:
            return self._fetch(address, size)
        first = address - address % _LINE
        parts = [self._line(at) for at in range(first, address + size, _LINE)]
        if any(len(part) < _LINE for part in parts):
            return self._fetch(address, size)  # an edge of mapped memory: only what was asked
        return b"".join(parts)[address - first : address - first + size]

    def _line(self, address: int) -> bytes:
        line = self._lines.get(address)
        if line is None:
            try:
                line = self._fetch(address, _LINE)
            except FaultError:
                line = b""
            self._lines[address] = line
        return line

    @staticmethod
    def _fetch(address: int, size: int) -> bytes:
        try:
            return bytes(gdb.selected_inferior().read_memory(address, size))
        except (gdb.error, OverflowError):
            raise FaultError(address, size) from None


def watch_events(memory: Memory) -> None:
    """Connect a memory's ``forget`` to everything after which its content may be stale."""
    for registry in (gdb.events.stop, gdb.events.cont, gdb.events.memory_changed):
        registry.connect(memory.forget)


def unwatch_events(memory: Memory) -> None:
    """Undo ``watch_events``."""
    for registry in (gdb.events.stop, gdb.events.cont, gdb.events.memory_changed):
        registry.disconnect(memory.forget)
