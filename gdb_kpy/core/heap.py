# SPDX-License-Identifier: GPL-2.0-or-later
"""How full the garbage-collected heap is, by its allocation table (ATB)."""

from __future__ import annotations

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.memory import Read, u64

_MOST = 1 << 26  # bytes of a table: a heap of 8 GB
# Two bits for each block, 0 for a free one; four blocks in a byte (py/gc.c).
_USED = bytes(sum(bool(byte >> at & 3) for at in (0, 2, 4, 6)) for byte in range(256))


def used(read: Read, info: DebugInfo) -> tuple[int, int]:
    """Return the bytes in blocks that are in use, and in all blocks."""
    area = info["addr.mp_state"] + info["off.mp_state.mem"] + info["off.gc.area"]
    table = u64(read, area + info["off.gc.table"])
    length = min(u64(read, area + info["off.gc.table_len"]), _MOST)
    blocks = sum(read(table, length).translate(_USED)) if length else 0
    size = info["cfg.gc_block_bytes"]
    return blocks * size, length * 4 * size
