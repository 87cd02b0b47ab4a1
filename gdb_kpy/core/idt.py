# SPDX-License-Identifier: GPL-2.0-or-later
"""The x86-64 interrupt table: the one thing a CPU always knows about where its kernel lies."""

from __future__ import annotations

import re
import struct

from gdb_kpy.core.errors import CorruptError, NotReadyError

GATE_SIZE = 16
_GATE = struct.Struct("<HHBBHII")
_INTERRUPT_GATE = 0xE
_IDT_LINE = re.compile(r"^IDT=\s*([0-9a-fA-F]+)\s+([0-9a-fA-F]+)\s*$", re.MULTILINE)


def base_from_monitor(text: str) -> int:
    """Take the table's address out of QEMU's ``info registers``."""
    match = _IDT_LINE.search(text)
    if match is None:
        raise NotReadyError(
            "QEMU's `info registers` does not tell where the interrupt table is",
            "attach to QEMU's own gdbstub",
        )
    return int(match.group(1), 16)


def handler(gate: bytes, address: int) -> int:
    """Decode the handler's address from a 64-bit gate at ``address``."""
    low, _selector, _ist, kind, middle, high, _zero = _GATE.unpack(gate)
    if kind & 0x8F != 0x80 | _INTERRUPT_GATE:
        raise CorruptError(address, "interrupt gate", "a present 64-bit gate", f"type {kind:#x}")
    found: int = low | middle << 16 | high << 32
    return found
