# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's memory through GDB, kept until the guest may have changed it."""

from __future__ import annotations

import gdb

from gdb_kpy.core.errors import FaultError

LINE = 512
_HUGE = 1 << 17  # what is larger is read once, and by someone who keeps it


class Memory:
    """Reads in lines of 512 bytes and keeps them until the next stop or write.

    A round trip costs as much as a few hundred bytes, so neighbours come for free; lines that
    are wanted together are read together.
    """

    def __init__(self) -> None:
        self._lines: dict[int, bytes] = {}
        self.generation = 0  # how often the guest may have run since attaching
        self.version = 0  # how often memory may have changed
        self.reads = 0  # how often the target was asked

    def forget(self, _event: object = None) -> None:
        """Drop what was read, as the guest ran; an event handler: it must not touch the target."""
        self.generation += 1
        self.drop()

    def drop(self) -> None:
        """Drop what was read, as a call of ours changed memory while the guest stood still."""
        self._lines.clear()
        self.version += 1

    def renew(self, address: int) -> None:
        """Have the line of an address read anew when it is wanted next."""
        self._lines.pop(address - address % LINE, None)

    def keep(self, address: int, data: bytes) -> None:
        """Keep what was read past GDB: the whole lines."""
        for at in range(address + -address % LINE, address + len(data) - LINE + 1, LINE):
            self._lines[at] = data[at - address : at - address + LINE]

    def read(self, address: int, size: int) -> bytes:
        """Read memory; raises FaultError."""
        if size >= _HUGE or size <= 0:
            return self._fetch(address, size) if size > 0 else b""
        lines = self._lines
        first = address - address % LINE
        places = range(first, address + size, LINE)
        missing = [at for at in places if at not in lines]
        if missing:
            self._load(missing[0], missing[-1] + LINE)
        parts = [lines[at] for at in places]
        if any(len(part) < LINE for part in parts):
            return self._fetch(address, size)  # an edge of mapped memory: only what was asked
        return b"".join(parts)[address - first : address - first + size]

    def _load(self, start: int, end: int) -> None:
        """Read lines into the cache with one request; those that cannot be read become empty."""
        try:
            data = self._fetch(start, end - start)
        except FaultError:
            for at in range(start, end, LINE):
                try:
                    self._lines[at] = self._fetch(at, LINE)
                except FaultError:
                    self._lines[at] = b""
            return
        for at in range(start, end, LINE):
            self._lines[at] = data[at - start : at - start + LINE]

    def _fetch(self, address: int, size: int) -> bytes:
        self.reads += 1
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
