# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of a guest that does not exist."""

from __future__ import annotations

import struct

from gdb_kpy.core.errors import FaultError


class MockMemory:
    """Pieces of memory at chosen addresses; everything else faults."""

    def __init__(self) -> None:
        self.pieces: dict[int, bytearray] = {}
        self.reads = 0

    def put(self, address: int, data: bytes) -> int:
        """Add a piece; returns its address."""
        self.pieces[address] = bytearray(data)
        return address

    def put_u64(self, address: int, *values: int) -> int:
        return self.put(address, struct.pack(f"<{len(values)}Q", *values))

    def poke(self, address: int, data: bytes) -> None:
        """Change bytes inside a piece."""
        for start, piece in self.pieces.items():
            if start <= address and address + len(data) <= start + len(piece):
                piece[address - start : address - start + len(data)] = data
                return
        raise FaultError(address, len(data), "write")

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        found = b""
        while len(found) < size:
            at = address + len(found)
            for start, piece in self.pieces.items():
                if start <= at < start + len(piece):
                    found += piece[at - start : at - start + size - len(found)]
                    break
            else:
                raise FaultError(address, size)
        return found
