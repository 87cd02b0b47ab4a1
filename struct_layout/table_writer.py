# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes layout tables. The same contents always give the same bytes."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

from struct_layout import table_format as t
from struct_layout.graph import RECORDS, Graph, Reach, graph_of, reach
from struct_layout.model import Contents, Identity, LayoutError
from struct_layout.words import shorten

_SMALL = [bytes((value,)) for value in range(0x80)]
_U32 = 1 << 32
_U64 = (1 << 64) - 1
_WITH_NAME = frozenset((t.T_BASE, t.T_STRUCT, t.T_UNION, t.T_ENUM, t.T_TYPEDEF, t.T_OPAQUE))
_STEPS = {bits: step for step, bits in enumerate(t.STEPS) if bits is not None}


def write_table(contents: Contents, identity: Identity) -> bytes:
    """Return the bytes of the table with these contents and all types that they reach."""
    graph = graph_of(contents)
    return write_graph(graph, reach(graph), identity)


def write_graph(graph: Graph, reached: Reach, identity: Identity) -> bytes:
    """Return the bytes of the table with the types that are reached, and the declarations."""
    return _Writer(graph, reached, identity).write()


def varint(value: int) -> bytes:
    """Write a number in seven bits per byte, the lowest first."""
    if value <= 0x7F:
        return _SMALL[value]
    if value <= 0x3FFF:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    """Return the unsigned number that stands for a signed one of up to 64 bits."""
    return (value << 1 ^ value >> 63) & _U64


class _Names:
    """The names, numbered from 1 (0 is no name): those with several uses first, both sorted."""

    def __init__(self, uses: Counter[bytes]) -> None:
        often = sorted([name for name, count in uses.items() if count > 1])
        once = sorted([name for name, count in uses.items() if count == 1])
        fill = -len(often) % t.BLOCK
        often = sorted(often + once[:fill])
        names = often + once[fill:]
        self.shared = len(often)  # how many are in the first part: whole blocks
        self.numbers = {name: number for number, name in enumerate(names, 1)}
        prefixes = [0, *map(_common, names, names[1:])]
        prefixes[:: t.BLOCK] = [0] * len(prefixes[:: t.BLOCK])
        codes, self.pairs = shorten([name[n:] for name, n in zip(names, prefixes)])
        text, places = bytearray(), []
        for number, (prefix, code) in enumerate(zip(prefixes, codes)):
            if number % t.BLOCK == 0:
                places.append(len(text))
            length = len(code)
            if prefix < t.N_LONG and 1 <= length <= t.N_LENGTHS:
                text.append(prefix | length - 1 << t.N_LENGTH_SHIFT)
            else:
                text.append(t.N_LONG)
                text += varint(prefix) + varint(length)
            text += code
        if len(text) > t.D_NAME:
            raise LayoutError("too many names for a layout table")
        self.text, self.blocks = bytes(text), struct.pack(f"<{len(places)}I", *places)


class _Writer:
    def __init__(self, graph: Graph, reached: Reach, identity: Identity) -> None:
        self.graph = graph
        self.reached = reached
        self.identity = identity
        self.texts = [text.encode() for text in graph.texts]
        self.order = [0] * len(graph.rows)  # the number of a type in the table

    def write(self) -> bytes:
        names = _Names(self.count_names())
        numbers = names.numbers
        numbers[b""] = 0
        # By number of the graph: those of the table, and how they are written.
        self.names = [numbers.get(text, 0) for text in self.texts]
        self.name_codes = list(map(varint, self.names))
        uses = self.reached.uses
        ranked = sorted(self.reached.types, key=lambda number: -uses[number])
        for new, old in enumerate(ranked):
            self.order[old] = new
        self.type_codes = list(map(varint, self.order))
        types, bodies, blocks, pairs = self.types(ranked)
        return self.assemble(
            [
                *(self.index(), blocks, types, bodies, self.declared()),
                *(names.blocks, names.text, b"".join(names.pairs + pairs)),
            ],
            names.numbers,
            len(names.pairs) | len(pairs) << 8,
            names.shared,
        )

    # ---- What there is -----------------------------------------------------------------------

    def count_names(self) -> Counter[bytes]:
        """Return how often each name will be written; those of constants are none."""
        graph = self.graph
        used = [declared.name for declared in graph.declarations]
        for number in self.reached.types:
            head, name, _, numbers = graph.rows[number]
            used.append(name)
            if head in RECORDS:
                _, _, start, count = numbers
                used += graph.members.names[start : start + count]
        uses = Counter(used)
        del uses[0]
        names = Counter({self.texts[number]: count for number, count in uses.items()})
        names.update(text.encode() for text in self.identity[:2] if text)
        _refuse_nul(names)
        return names

    # ---- Types -------------------------------------------------------------------------------

    def types(self, ranked: list[int]) -> tuple[bytes, bytes, bytes, list[bytes]]:
        """Return the types, their bodies, the places of both, and the words of constants."""
        rows, name_codes, type_codes = self.graph.rows, self.name_codes, self.type_codes
        constants = _Constants(self.texts, self.graph, ranked)
        types, bodies = bytearray(), bytearray()
        places: list[int] = []
        for new, old in enumerate(ranked):
            head, name, parts, numbers = rows[old]
            if new % t.BLOCK == 0:
                places += (len(types), len(bodies))
            types.append(head)
            if head in (*RECORDS, t.T_ENUM):
                info, size, start, count = numbers
                if head == t.T_ENUM:
                    body = constants.body(start, count)
                else:
                    body = self.members(start, count)
                numbers = (info, size, count, len(body))
                bodies += body
            elif head & t.KIND == t.T_FUNCTION:
                types += type_codes[parts[0]]
                parts, numbers = parts[1:], ()
                types += varint(len(parts))
            if head & t.KIND in _WITH_NAME:
                types += name_codes[name]
            for part in parts:
                types += type_codes[part]
            for number in numbers:
                types += varint(number)
        blocks = struct.pack(f"<{len(places)}I", *places)
        return bytes(types), bytes(bodies), blocks, constants.pairs

    def members(self, start: int, count: int) -> bytearray:
        names, offsets, widths, types = self.graph.members
        name_codes, type_codes = self.name_codes, self.type_codes
        end = start + count
        out = bytearray()
        offset = width = 0
        previous = -1
        for name, at, bits, type in zip(
            names[start:end], offsets[start:end], widths[start:end], types[start:end]
        ):
            distance = at - offset
            step = _STEPS.get(distance, 0)
            if not step and distance == width:
                step = t.STEP_WIDTH
            head = step << t.M_STEP_SHIFT
            if type != previous:
                head |= t.M_TYPE
            if name:
                head |= t.M_NAME
            if bits >= 0:
                head |= t.M_BITS
            out.append(head)
            if not step:
                out += varint(zigzag(distance))
            if name:
                out += name_codes[name]
            if type != previous:
                out += type_codes[type]
                previous = type
            if bits >= 0:
                out += varint(bits)
                width = bits
            else:
                width = 0
            offset = at
        return out

    def declared(self) -> bytes:
        numbers = [
            (self.names[name] | flags, self.order[type])
            for name, flags, type in sorted(
                self.graph.declarations, key=lambda declared: self.names[declared.name]
            )
        ]
        return b"".join(struct.pack("<2I", *pair) for pair in numbers)

    def index(self) -> bytes:
        entries: list[tuple[int, int, int]] = []
        for number in self.reached.types:
            head, name, _, numbers = self.graph.rows[number]
            if head == t.T_TYPEDEF or (
                head in (*RECORDS, t.T_ENUM)
                and name
                and not numbers[0] & (t.R_INCOMPLETE | t.R_LOCAL)
            ):
                entries.append((self.names[name], head, self.order[number]))
        if len(self.reached.types) > 0xFFFFFF:
            raise LayoutError("too many types for a layout table")
        return b"".join([order.to_bytes(3, "little") for _, _, order in sorted(entries)])

    def assemble(
        self, sections: list[bytes], numbers: dict[bytes, int], pairs: int, shared: int
    ) -> bytes:
        body = bytearray()
        directory = b""
        for blob, size in zip(sections, t.ENTRY_SIZES):
            body += bytes(-(t.HEADER_SIZE + len(body)) % 8)
            directory += t.SECTION.pack(t.HEADER_SIZE + len(body), len(blob) // size)
            body += blob
        body += bytes(-(t.HEADER_SIZE + len(body)) % 8)
        total = t.HEADER_SIZE + len(body)
        if total >= _U32:
            raise LayoutError("layout table of more than 4 GiB")
        flags = self.identity.pointer_size << t.POINTER_SHIFT
        flags |= t.FLAG_BIG_ENDIAN if self.identity.big_endian else 0
        header = t.HEADER.pack(
            t.MAGIC,
            t.VERSION,
            t.HEADER_SIZE,
            total,
            0,
            flags,
            len(t.ENTRY_SIZES),
            self.identity.digest,
            numbers[self.identity.release.encode()],
            numbers[self.identity.compiler.encode()],
            pairs,
            shared,
        )
        table = bytearray(header + directory + body)
        table[t.CRC_AT : t.CRC_AT + 4] = t.checksum(table).to_bytes(4, "little")
        return bytes(table)


class _Constants:
    """The constants of enums, as they are written."""

    def __init__(self, texts: list[bytes], graph: Graph, ranked: list[int]) -> None:
        self.values = graph.constants.values
        # What each name has in common with the one before, and the rest of it.
        self.shared = [0] * len(self.values)
        self.codes = [b""] * len(self.values)
        written: set[bytes] = set()
        for number in ranked:
            row = graph.rows[number]
            if row.head == t.T_ENUM and row.numbers[3]:
                place = slice(row.numbers[2], sum(row.numbers[2:]))
                names = [texts[name] for name in graph.constants.names[place]]
                shared = [0, *map(_common, names, names[1:])]
                self.shared[place] = shared
                self.codes[place] = rest = [name[n:] for name, n in zip(names, shared)]
                written.update(rest)
        _refuse_nul(written)
        ordered = sorted(written)
        codes, self.pairs = shorten(ordered)
        words = dict(zip(ordered, codes))
        self.codes = [words.get(code, b"") for code in self.codes]

    def body(self, start: int, count: int) -> bytearray:
        end = start + count
        out = bytearray()
        previous, prefix = -1, 0
        for value, common, code in zip(
            self.values[start:end], self.shared[start:end], self.codes[start:end]
        ):
            distance = value - previous & _U64
            head = 0
            if distance != 1:
                head = t.C_VALUE
            if common != prefix:
                head |= t.C_PREFIX
            length = len(code)
            out.append(head | (length if length < t.C_LONG else t.C_LONG) << t.C_LENGTH_SHIFT)
            if distance != 1:
                out += varint(zigzag(distance - (1 << 64) if distance >> 63 else distance))
            if common != prefix:
                out += varint(common)
            if length >= t.C_LONG:
                out += varint(length)
            out += code
            previous, prefix = value, common
        return out


def _refuse_nul(names: Iterable[bytes]) -> None:
    for name in names:
        if b"\0" in name:
            raise LayoutError(f"name with a NUL byte: {name.decode('utf-8', 'replace')!r}")


def _common(a: bytes, b: bytes) -> int:
    """Return how many bytes two names begin with in common."""
    length = min(len(a), len(b))
    differ = int.from_bytes(a[:length], "big") ^ int.from_bytes(b[:length], "big")
    return length - (differ.bit_length() + 7) // 8
