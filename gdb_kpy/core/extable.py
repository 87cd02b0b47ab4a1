# SPDX-License-Identifier: GPL-2.0-or-later
"""Exception tables: the instructions where the kernel expects a fault and survives it."""

from __future__ import annotations

import struct

from gdb_kpy.core.errors import CorruptError
from gdb_kpy.core.memory import MASK64, Read

ENTRY_SIZE = 12  # offsets of the instruction and its fixup, and what to do
_MOST = 1 << 20


def fault_addresses(read: Read, table: int, count: int) -> frozenset[int]:
    """Return the instructions' addresses; each entry holds them relative to its own place."""
    if count > _MOST:
        raise CorruptError(table, "exception table", f"at most {_MOST} entries", count)
    if not count:
        return frozenset()
    raw = read(table, count * ENTRY_SIZE)
    return frozenset(
        (table + at + struct.unpack_from("<i", raw, at)[0]) & MASK64
        for at in range(0, len(raw), ENTRY_SIZE)
    )
