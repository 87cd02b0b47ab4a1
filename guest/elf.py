# SPDX-License-Identifier: GPL-2.0-or-later
"""The little of ELF and bzImage that a guest needs: build-ids, section names, module info."""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

NT_GNU_BUILD_ID = 3
SHT_NOTE = 7
PT_NOTE = 4
LZ4_BLOCK = 8 << 20


def build_id_in_notes(notes: bytes) -> str | None:
    """Return the GNU build-id in the bytes of a note section."""
    at = 0
    while at + 12 <= len(notes):
        name_size, data_size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size]
        data = at + 12 + (name_size + 3 & ~3)
        if kind == NT_GNU_BUILD_ID and name.rstrip(b"\0") == b"GNU":
            return notes[data : data + data_size].hex()
        at = data + (data_size + 3 & ~3)
    return None


def _sections(stream: BinaryIO) -> dict[str, tuple[int, int, int]]:
    """Return {section name: (type, offset, size)} of a 64-bit little-endian ELF file."""
    stream.seek(0)
    header = stream.read(64)
    if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
        return {}
    (offset,) = struct.unpack_from("<Q", header, 40)
    entry, count, names = struct.unpack_from("<HHH", header, 58)
    stream.seek(offset)
    table = stream.read(entry * count)
    if len(table) < entry * count or names >= count:
        return {}
    rows = [struct.unpack_from("<IIQQQQ", table, entry * i) for i in range(count)]
    stream.seek(rows[names][4])
    strings = stream.read(rows[names][5])
    found = {}
    for name_at, kind, _flags, _addr, at, size in rows:
        name = strings[name_at : strings.find(b"\0", name_at)].decode("ascii", "replace")
        found[name] = (kind, at, size)
    return found


def build_id(path: Path) -> str | None:
    """Return the build-id of an ELF file as hexadecimal digits; None when it has none."""
    with path.open("rb") as stream:
        for kind, at, size in _sections(stream).values():
            if kind == SHT_NOTE:
                stream.seek(at)
                found = build_id_in_notes(stream.read(size))
                if found:
                    return found
    return None


def has_section(path: Path, name: str) -> bool:
    """Tell whether an ELF file has a section of that name."""
    with path.open("rb") as stream:
        return name in _sections(stream)


class _Payload:
    """The compressed kernel in a bzImage; unpacks only as far as it is asked for."""

    def __init__(self, payload: bytes) -> None:
        self.rest = payload
        self.out = b""
        self.tool: lzma.LZMADecompressor | bz2.BZ2Decompressor | zlib._Decompress | None = None
        if payload.startswith(b"\xfd7zXZ"):
            self.tool = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        elif payload.startswith(b"\x5d\0\0"):
            self.tool = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
        elif payload.startswith(b"BZh"):
            self.tool = bz2.BZ2Decompressor()
        elif payload.startswith(b"\x1f\x8b"):
            self.tool = zlib.decompressobj(31)

    def read(self, at: int, size: int) -> bytes:
        """Return bytes of the kernel; fewer at its end, none when Python cannot unpack it."""
        if self.rest.startswith(b"\x02\x21\x4c\x18"):
            return _read_lz4(self.rest, at, size)
        parts = [self.out]
        have = len(self.out)
        while have < at + size and self.rest and self.tool and not self.tool.eof:
            block, self.rest = self.rest[: 1 << 20], self.rest[1 << 20 :]
            parts.append(self.tool.decompress(block))
            have += len(parts[-1])
        self.out = b"".join(parts)
        return self.out[at : at + size]


def _read_lz4(stream: bytes, at: int, size: int) -> bytes:
    """Return a range of a legacy LZ4 stream, whose blocks of 8 MiB stand for themselves."""
    position, start, found = 4, 0, b""
    while len(found) < size and position + 4 < len(stream):
        (length,) = struct.unpack_from("<I", stream, position)
        position += 4
        end = start + LZ4_BLOCK
        if at < end and at + size > start:
            block = _lz4_block(stream[position : position + length], at + size - start)
            found += block[max(0, at - start) : at + size - start]
        position += length
        start = end
    return found


def _lz4_block(block: bytes, enough: int) -> bytearray:
    """Unpack a block of LZ4, up to at least `enough` bytes."""
    out = bytearray()
    at = 0
    while at < len(block) and len(out) < enough:
        token = block[at]
        at += 1
        literals, match = token >> 4, (token & 15) + 4
        if literals == 15:
            while block[at] == 255:
                literals, at = literals + 255, at + 1
            literals, at = literals + block[at], at + 1
        out += block[at : at + literals]
        at += literals
        if at + 2 > len(block):
            break
        distance = block[at] | block[at + 1] << 8
        at += 2
        if match == 19:
            while block[at] == 255:
                match, at = match + 255, at + 1
            match, at = match + block[at], at + 1
        source = len(out) - distance
        if distance >= match:
            out += out[source : source + match]
        else:
            # The match overlaps what it writes: a pattern that repeats.
            pattern = bytes(out[source:])
            out += (pattern * (match // distance + 1))[:match]
    return out


def bzimage_build_id(path: Path) -> str | None:
    """Return the build-id of the kernel inside a bzImage.

    None when the compression is one that Python cannot undo (zstd, lzo).
    """
    data = path.read_bytes()
    if data[0x202:0x206] != b"HdrS":
        return None
    start = ((data[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", data, 0x248)
    payload = _Payload(data[start + offset : start + offset + length])
    try:
        header = payload.read(0, 4096)
        if header[:6] != b"\x7fELF\x02\x01":
            return None
        (table,) = struct.unpack_from("<Q", header, 32)
        entry, count = struct.unpack_from("<HH", header, 54)
        for i in range(count):
            kind, _flags, at, _va, _pa, size = struct.unpack_from(
                "<IIQQQQ", header, table + entry * i
            )
            if kind == PT_NOTE:
                return build_id_in_notes(payload.read(at, size))
    except (struct.error, lzma.LZMAError, zlib.error, OSError, EOFError, IndexError):
        return None
    return None


def read_module(path: Path) -> bytes:
    """Return the bytes of a kernel module, decompressed when it is packed."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return zlib.decompress(data, 31)
    return data


def module_depends(module: bytes) -> list[str]:
    """Return the names of the modules that a kernel module needs loaded first."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    names = found.group(1).decode().split(",") if found else []
    return [name for name in names if name]
