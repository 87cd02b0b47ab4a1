# SPDX-License-Identifier: GPL-2.0-or-later
"""The block of registers that a gdbstub sends for one vCPU (the `g` packet)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gdb_kpy.core.errors import NotReadyError

#: Registers that a call into the guest touches or that say what a vCPU is doing, with their size.
NEEDED: Mapping[str, int] = {
    **dict.fromkeys(("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"), 8),
    **{f"r{n}": 8 for n in range(8, 16)},
    "rip": 8,
    **dict.fromkeys(("eflags", "cs", "ss", "ds", "es", "fs", "gs"), 4),
    **dict.fromkeys(("fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4", "efer"), 8),
}


@dataclass(frozen=True)
class Layout:
    """Where each register lies in the block, and its number for packets about it alone."""

    places: Mapping[str, tuple[int, int]]
    numbers: Mapping[str, int]
    size: int


def parse_layout(text: str) -> Layout:
    """Decode GDB's ``maint print remote-registers``, which follows the stub's own description.

    A line reads: name, number, relative number, offset in GDB, size, type, remote number, offset
    in the packet; the last two are missing for what the stub does not send.
    """
    places: dict[str, tuple[int, int]] = {}
    numbers: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 8 or not all(words[i].isdigit() for i in (1, 4, -2, -1)):
            continue
        places[words[0]] = (int(words[-1]), int(words[4]))
        numbers[words[0]] = int(words[-2])
    for name, size in NEEDED.items():
        if places.get(name, (0, 0))[1] != size:
            raise NotReadyError(
                f"the stub's registers lack {name}", "attach to QEMU's gdbstub of an x86-64 guest"
            )
    return Layout(places, numbers, max(offset + size for offset, size in places.values()))


class Registers:
    """One vCPU's block; values are read and set by name."""

    def __init__(self, layout: Layout, raw: bytes) -> None:
        if len(raw) != layout.size:
            raise NotReadyError(
                f"the stub sent {len(raw)} bytes of registers, its description has {layout.size}"
            )
        self.layout = layout
        self.raw = bytearray(raw)

    def __getitem__(self, name: str) -> int:
        offset, size = self.layout.places[name]
        return int.from_bytes(self.raw[offset : offset + size], "little")

    def __setitem__(self, name: str, value: int) -> None:
        offset, size = self.layout.places[name]
        self.raw[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, "little")

    def copy(self) -> Registers:
        """Return a copy that can be changed on its own."""
        return Registers(self.layout, bytes(self.raw))

    def differing(self, other: Registers) -> list[str]:
        """Name the registers whose values are not the same in ``other``."""
        return [
            name
            for name, (offset, size) in self.layout.places.items()
            if self.raw[offset : offset + size] != other.raw[offset : offset + size]
        ]
