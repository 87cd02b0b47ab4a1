# SPDX-License-Identifier: GPL-2.0-or-later
"""One section of an ordinary ELF file, in a millisecond; `elf` reads all others."""

from __future__ import annotations

import struct
from pathlib import Path

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SHT_NOBITS = 8
_SHF_COMPRESSED = 1 << 11
_MOST_NAMES = 1 << 20


def plain_section(path: Path, name: str) -> bytes | None:
    """Return what is in a section of a 64-bit little-endian ELF file.

    None when the file is not such, has no such section, or anything about it is unusual.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)

        def read(at: int, size: int) -> bytes:
            if at + size > end:
                return b""
            file.seek(at)
            return file.read(size)

        head = read(0, 64)
        if head[:6] != b"\x7fELF\x02\x01":
            return None
        (table,) = struct.unpack_from("<Q", head, 40)
        entry, count, names = struct.unpack_from("<HHH", head, 58)
        raw = read(table, entry * count)
        if entry != _SECTION.size or not names < count or not raw:
            return None
        sections = list(_SECTION.iter_unpack(raw))
        at, size = sections[names][4:6]
        texts = read(at, size) if size <= _MOST_NAMES else b""
        wanted = name.encode() + b"\0"
        for text, kind, flags, _, at, size, *_ in sections:
            if texts[text : text + len(wanted)] == wanted:
                usual = kind != _SHT_NOBITS and not flags & _SHF_COMPRESSED and size
                return (read(at, size) or None) if usual else None
    return None
