# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the layout table and the BTF in a core of a guest (QEMU's `dump-guest-memory -p`)."""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from struct_layout.btf import BtfError, BtfSource
from struct_layout.elf import elf_build_id, load_segments
from struct_layout.model import LayoutError
from struct_layout.table import Table
from struct_layout.table_format import MAGIC, LayoutTableError

_BTF_START = struct.pack("<HBBI", 0xEB9F, 1, 0, 24)
_NOTE = struct.pack("<III4s", 4, 20, 3, b"GNU\0")
_MOST = 1 << 28


class _Segment(NamedTuple):
    address: int
    size: int
    offset: int  # in the file


class CoreFile:
    """A core, searched by what is in it: KASLR does not matter then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = sorted(_Segment(*each) for each in load_segments(path))
        if not found:
            raise LayoutError(f"{path} is no core: it has no memory in it")
        self._segments = found
        self._by_offset = sorted(found, key=lambda segment: segment.offset)
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def close(self) -> None:
        """Give the mapping back."""
        self._data.close()

    def read(self, address: int, size: int) -> bytes:
        """Read memory; what follows in addresses may be elsewhere in the file."""
        parts = []
        while size:
            number = bisect_right(self._segments, (address, 1 << 64, 0)) - 1
            segment = self._segments[number]
            into = address - segment.address
            if number < 0 or not 0 <= into < segment.size:
                break
            length = min(size, segment.size - into)
            parts.append(self._data[segment.offset + into : segment.offset + into + length])
            address, size = address + length, size - length
        return b"".join(parts)

    def _places(self, pattern: bytes) -> Iterator[int]:
        """Iterate over the addresses where bytes are, aligned to 4."""
        at = self._data.find(pattern)
        while at >= 0:
            number = bisect_right([s.offset for s in self._by_offset], at) - 1
            segment = self._by_offset[number]
            into = at - segment.offset
            if number >= 0 and into < segment.size and (segment.address + into) % 4 == 0:
                yield segment.address + into
            at = self._data.find(pattern, at + 1)

    def table(self) -> Table:
        """Return the layout table of the module that was loaded."""
        for address in self._places(MAGIC):
            size = int.from_bytes(self.read(address + 16, 4), "little")
            if 0 < size < _MOST:
                try:
                    return Table(self.read(address, size))
                except LayoutTableError:
                    continue
        raise LayoutError(
            f"{self.path} has no layout table in it: was the module loaded, and the core made "
            "by dump-guest-memory -p?"
        )

    def btf(self) -> BtfSource | None:
        """Return the BTF of the kernel, the largest that is not split; None without one."""
        best: BtfSource | None = None
        for address in self._places(_BTF_START):
            at, length, texts, size = struct.unpack("<IIII", self.read(address + 8, 16).ljust(16))
            whole = 24 + max(at + length, texts + size)
            if whole > _MOST or (best is not None and length < len(best)):
                continue
            try:
                found = BtfSource(self.read(address, whole), name=str(self.path))
            except BtfError:
                continue
            if not found.is_split():
                best = found
        return best

    def require_build(self, vmlinux: Path) -> None:
        """Refuse a vmlinux that is not the kernel's in the core."""
        wanted = elf_build_id(vmlinux)
        if wanted and self._data.find(_NOTE + bytes.fromhex(wanted)) < 0:
            raise LayoutError(
                f"{self.path} is of another kernel than {vmlinux} (build-id {wanted}): "
                "give the vmlinux of the kernel that ran"
            )
