# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of a table's structs, for the module's check against BTF: docs/layout-prints.md."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

from struct_layout.model import Record, size_of, strip
from struct_layout.table import Table

MAGIC = b"KPYF"
_NESTED_MAX = 8  # anonymous members in each other
_U32 = 0xFFFFFFFF
_NAME_BITS = 17  # the set of names has that many of a CRC's bits, and a bit for each value


def fingerprint(record: Record) -> int:
    """Return the number that stands for a record's name and layout."""
    assert record.name is not None
    return _add_body(_add_name(record.name), record, 0)


def _add_name(name: str) -> int:
    return zlib.crc32(name.encode() + b"\0")


def _add_body(crc: int, record: Record, depth: int) -> int:
    members = [member for member in record.members if member.name or not member.bits]
    crc = zlib.crc32(struct.pack("<3I", record.kind == "union", record.size, len(members)), crc)
    for member in members:
        size = 0 if member.bits else (size_of(member.type) or 0) & _U32
        place = struct.pack("<3I", member.offset & _U32, member.bits or 0, size)
        crc = zlib.crc32((member.name or "").encode() + b"\0" + place, crc)
        inner = strip(member.type)
        if not member.name and depth < _NESTED_MAX and isinstance(inner, Record):
            crc = _add_body(crc, inner, depth + 1)
    return crc


def write_prints(table: Table) -> bytes:
    """Return the fingerprints of all records that are found by name, and by it alone."""
    named = [r for r in table.records() if r.name and not r.local and not r.incomplete]
    uses = Counter((record.kind, record.name) for record in named)
    prints = sorted({fingerprint(r) for r in named if uses[r.kind, r.name] == 1})
    names = bytearray(1 << _NAME_BITS - 3)
    for record in named:
        bit = _add_name(record.name or "") & (1 << _NAME_BITS) - 1
        names[bit >> 3] |= 1 << (bit & 7)
    head = struct.pack("<2I", table.crc, len(prints))
    return MAGIC + head + bytes(names) + struct.pack(f"<{len(prints)}I", *prints)
