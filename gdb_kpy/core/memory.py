# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading integers and strings through a plain ``read(address, size)``."""

from __future__ import annotations

import struct
from typing import Callable

from gdb_kpy.core.errors import CorruptError, FaultError

Read = Callable[[int, int], bytes]

MASK64 = (1 << 64) - 1
_PAGE = 4096


def u32(read: Read, address: int) -> int:
    """Read an unsigned 32-bit integer."""
    return int.from_bytes(read(address, 4), "little")


def s32(read: Read, address: int) -> int:
    """Read a signed 32-bit integer."""
    return int.from_bytes(read(address, 4), "little", signed=True)


def u64(read: Read, address: int) -> int:
    """Read an unsigned 64-bit integer."""
    return int.from_bytes(read(address, 8), "little")


def u64s(read: Read, address: int, count: int) -> tuple[int, ...]:
    """Read consecutive unsigned 64-bit integers with one read."""
    return struct.unpack(f"<{count}Q", read(address, 8 * count))


def cstring(read: Read, address: int, limit: int = 256) -> str:
    """Read a NUL-terminated string of at most ``limit`` bytes, never past the page it ends in."""
    found = b""
    while len(found) < limit:
        start = address + len(found)
        piece = read(start, min(64, limit - len(found), _PAGE - start % _PAGE))
        end = piece.find(0)
        if end >= 0:
            return (found + piece[:end]).decode("utf-8", "replace")
        found += piece
    raise CorruptError(address, "string", f"a NUL within {limit} bytes", "none")


def readable(read: Read, address: int, size: int = 8) -> bool:
    """Say whether memory can be read."""
    try:
        read(address, size)
    except FaultError:
        return False
    return True
