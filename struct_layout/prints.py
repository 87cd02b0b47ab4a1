# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of a table's structs, for the module's check against BTF: docs/layout-prints.md."""

from __future__ import annotations

import struct
import zlib

from struct_layout.graph import RECORDS, Graph, Reach, graph_of, reach
from struct_layout.model import Contents
from struct_layout.table import Table
from struct_layout.table_format import (
    KIND,
    R_INCOMPLETE,
    R_LOCAL,
    T_ARRAY,
    T_BASE,
    T_COMPLEX,
    T_ENUM,
    T_OPAQUE,
    T_POINTER,
    T_QUALIFIED,
    T_SPACE,
    T_TYPEDEF,
    T_UNION,
    T_VECTOR,
)

MAGIC = b"KPYF"
_NESTED_MAX = 8  # anonymous members in each other
_U32 = 0xFFFFFFFF
_THREE = struct.Struct("<3I").pack
_SPELLING = (T_TYPEDEF, T_QUALIFIED, T_SPACE)
_NAME_BITS = 17  # the set of names has that many of a CRC's bits, and a bit for each value


def write_prints(table: Table) -> bytes:
    """Return the fingerprints of a table's records: those found by name, and by it alone."""
    graph = graph_of(Contents(list(table.all_types()), []))
    return prints_of(graph, reach(graph), table)


def prints_of(graph: Graph, reached: Reach, table: Table) -> bytes:
    """Return the fingerprints of the table that was made of a graph."""
    return _Prints(graph, table.identity.pointer_size).write(reached, table.crc)


class _Prints:
    def __init__(self, graph: Graph, pointer_size: int) -> None:
        self.graph = graph
        self.pointer_size = pointer_size
        self.texts = [text.encode() + b"\0" for text in graph.texts]
        self.sizes: dict[int, int] = {}

    def write(self, reached: Reach, table_crc: int) -> bytes:
        rows = self.graph.rows
        named: dict[tuple[int, int], list[int]] = {}
        for number in reached.types:
            kind, name, _, numbers = rows[number]
            if kind in RECORDS and name and not numbers[0] & (R_INCOMPLETE | R_LOCAL):
                named.setdefault((kind, name), []).append(number)
        prints = sorted({self.fingerprint(same[0]) for same in named.values() if len(same) == 1})
        names = bytearray(1 << _NAME_BITS - 3)
        for _, name in named:
            bit = zlib.crc32(self.texts[name]) & (1 << _NAME_BITS) - 1
            names[bit >> 3] |= 1 << (bit & 7)
        head = struct.pack("<2I", table_crc, len(prints))
        return MAGIC + head + bytes(names) + struct.pack(f"<{len(prints)}I", *prints)

    def fingerprint(self, number: int) -> int:
        """Return the number that stands for a record's name and layout."""
        body: list[bytes] = [self.texts[self.graph.rows[number].name]]
        self.add_body(body, number, 0)
        return zlib.crc32(b"".join(body))

    def add_body(self, body: list[bytes], number: int, depth: int) -> None:
        head, _, _, (_, size, start, count) = self.graph.rows[number]
        names, offsets, widths, types = self.graph.members
        end = start + count
        body.append(_THREE(head == T_UNION, size, count))
        for name, offset, width, type in zip(
            names[start:end], offsets[start:end], widths[start:end], types[start:end]
        ):
            if width > 0:
                place = _THREE(offset, width, 0)
            else:
                known = self.sizes.get(type)
                if known is None:
                    known = self.sizes[type] = self.size_of(type) & _U32
                place = _THREE(offset, 0, known)
            body += (self.texts[name], place)
            if not name and depth < _NESTED_MAX:
                inner = self.behind(type)
                if self.graph.rows[inner].head in RECORDS:
                    self.add_body(body, inner, depth + 1)

    def behind(self, type: int) -> int:
        """Return the type behind typedef names and qualifiers."""
        while self.graph.rows[type].head & KIND in _SPELLING:
            type = self.graph.rows[type].types[0]
        return type

    def size_of(self, type: int) -> int:
        """Return the size in bytes; 0 when C gives it none."""
        factor = 1
        while True:
            type = self.behind(type)
            head, _, types, numbers = self.graph.rows[type]
            kind = head & KIND
            if kind != T_ARRAY:
                break
            factor *= max(numbers[0] - 1, 0)
            type = types[0]
        if kind == T_POINTER:
            return self.pointer_size * factor
        if kind in (T_BASE, T_VECTOR, T_COMPLEX):
            return numbers[0] * factor
        if kind == T_OPAQUE:
            return max(numbers[0] - 1, 0) * factor
        if kind in (*RECORDS, T_ENUM):
            return 0 if numbers[0] & R_INCOMPLETE else numbers[1] * factor
        return 0
