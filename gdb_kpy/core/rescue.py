# SPDX-License-Identifier: GPL-2.0-or-later
"""What a vCPU was doing before an evaluation took it, kept in the guest in case this GDB dies."""

from __future__ import annotations

from dataclasses import dataclass

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError
from gdb_kpy.core.memory import Read, u32, u64


@dataclass(frozen=True)
class Taken:
    """A vCPU that is in a call of a debugger."""

    thread: int
    narrow: bool  # it ran 32-bit code
    preempt_at: int
    preempt_count: int
    registers: bytes


@dataclass(frozen=True)
class Rescue:
    """The record at its address, described by the module's own offsets."""

    info: DebugInfo

    def _at(self, field: str) -> int:
        return self.info["addr.rescue"] + self.info["off.rescue." + field]

    def take(self, taken: Taken) -> tuple[int, bytes]:
        """Return the write that says a vCPU is taken."""
        start = self.info["addr.rescue"]
        room = self.info["size.rescue.registers"]
        if len(taken.registers) > room:
            raise CorruptError(start, "size of the registers", f"at most {room}", "more")
        raw = bytearray(self.info["off.rescue.registers"])
        for field, size, value in (
            ("taken", 4, 1),
            ("thread", 4, taken.thread),
            ("narrow", 4, int(taken.narrow)),
            ("preempt_count", 4, taken.preempt_count),
            ("preempt_at", 8, taken.preempt_at),
            ("size", 4, len(taken.registers)),
        ):
            offset = self.info["off.rescue." + field]
            raw[offset : offset + size] = value.to_bytes(size, "little")
        return start, bytes(raw) + taken.registers

    def give_back(self) -> tuple[int, bytes]:
        """Return the write that says it is not any more."""
        return self._at("taken"), bytes(4)

    def read(self, read: Read) -> Taken | None:
        """Return what was taken and not given back."""
        if not u32(read, self._at("taken")):
            return None
        size = u32(read, self._at("size"))
        room = self.info["size.rescue.registers"]
        if not 0 < size <= room:
            raise CorruptError(self._at("size"), "size of kept registers", f"1 to {room}", size)
        return Taken(
            u32(read, self._at("thread")),
            bool(u32(read, self._at("narrow"))),
            u64(read, self._at("preempt_at")),
            u32(read, self._at("preempt_count")),
            read(self._at("registers"), size),
        )
