# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes layout tables. The same contents always give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from struct_layout import table_format as t
from struct_layout.model import (
    Array,
    Base,
    Complex,
    Contents,
    Declaration,
    Enum,
    Function,
    Identity,
    LayoutError,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    Void,
)
from struct_layout.words import shorten

_SMALL = [bytes((value,)) for value in range(0x80)]
_U32 = 1 << 32
_U64 = (1 << 64) - 1
_STEPS = {bits: step for step, bits in enumerate(t.STEPS) if bits is not None}


def write_table(contents: Contents, identity: Identity) -> bytes:
    """Return the bytes of the table with these contents and all types that they reach."""
    return _Writer(identity).write(contents)


def _too_large(record: Record) -> bool:
    """Whether the bit offsets of a record (of 512 MiB) do not fit: it becomes opaque."""
    return record.size >= t.NO_SIZE or any(m.offset >= _U32 for m in record.members)


def _log2(align: int) -> int:
    return max(align, 1).bit_length() - 1


def varint(value: int) -> bytes:
    """Write a number in seven bits per byte, the lowest first."""
    if value <= 0x7F:
        return _SMALL[value]
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

    def __init__(self) -> None:
        self._uses: Counter[bytes] = Counter()
        self._numbers: dict[bytes, int] = {}
        self.text = b""
        self.blocks = b""
        self.pairs: list[bytes] = []
        self.shared = 0  # how many are in the first part: whole blocks

    def want(self, text: str | None) -> None:
        if text:
            name = text.encode()
            if b"\0" in name:
                raise LayoutError(f"name with a NUL byte: {text!r}")
            self._uses[name] += 1

    def place(self) -> None:
        often = sorted(name for name, uses in self._uses.items() if uses > 1)
        once = sorted(name for name, uses in self._uses.items() if uses == 1)
        fill = -len(often) % t.BLOCK
        often = sorted(often + once[:fill])
        names = often + once[fill:]
        self.shared = len(often)
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        prefixes = []
        previous = b""
        for number, name in enumerate(names):
            prefixes.append(_common(previous, name) if number % t.BLOCK else 0)
            previous = name
        codes, self.pairs = shorten([name[n:] for name, n in zip(names, prefixes)])
        text, blocks = bytearray(), bytearray()
        for number, (prefix, code) in enumerate(zip(prefixes, codes)):
            if number % t.BLOCK == 0:
                blocks += len(text).to_bytes(4, "little")
            if prefix < t.N_LONG and 1 <= len(code) <= t.N_LENGTHS:
                text.append(prefix | len(code) - 1 << t.N_LENGTH_SHIFT)
            else:
                text.append(t.N_LONG)
                text += varint(prefix) + varint(len(code))
            text += code
        self.text, self.blocks = bytes(text), bytes(blocks)

    def at(self, text: str | None) -> int:
        return self._numbers[text.encode()] if text else 0


class _Node:
    """A type as it will be written: what it has besides references, and those."""

    def __init__(self, kind: int, flags: int = 0) -> None:
        self.kind = kind
        self.flags = flags
        self.type: Type | None = None
        self.text: str | None = None
        self.numbers: tuple[int, ...] = ()  # written after the references
        self.parts: list[int] = []
        self.uses = 0


class _Writer:
    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.names = _Names()
        self.nodes: list[_Node] = []
        self.keys: dict[object, int] = {}
        self.known: dict[int, int] = {}
        self.kept: list[Type] = []
        self.order: list[int] = []  # node to number
        self.pairs: list[bytes] = []  # of constants' names
        self.codes: dict[bytes, bytes] = {}  # what is written of constants' names

    # ---- Types -------------------------------------------------------------------------------

    def node(self, type: Type) -> int:
        """Return the node of a type and count one use of it."""
        known = self.known.get(id(type))
        if known is None:
            known = self.known[id(type)] = self._node(type)
            self.kept.append(type)  # keeps the id taken
        self.nodes[known].uses += 1
        return known

    def _node(self, type: Type) -> int:
        if isinstance(type, Void):
            return self._add(t.T_VOID)
        if isinstance(type, Base):
            encoding = t.ENCODINGS.index(type.encoding)
            return self._add(t.T_BASE, encoding, type.name, (), (type.size, type.bits))
        if isinstance(type, (Record, Enum)):
            return self._container(type)
        if isinstance(type, Typedef):
            return self._add(t.T_TYPEDEF, 0, type.name, (type.target,))
        if isinstance(type, Pointer):
            return self._add(t.T_POINTER, 0, None, (type.target,))
        if isinstance(type, Array):
            if type.variable:
                return self._add(t.T_VARIABLE, 0, None, (type.target,))
            count = 0 if type.count is None else type.count + 1
            if count >= _U32:
                return self._add(t.T_OPAQUE, 0, "array", (), (0,))
            return self._add(t.T_ARRAY, 0, None, (type.target,), (count,))
        if isinstance(type, Qualified):
            return self._qualified(type)
        if isinstance(type, Function):
            flags = (t.F_VARIADIC if type.variadic else 0) | (
                0 if type.prototyped else t.F_UNPROTOTYPED
            )
            return self._add(t.T_FUNCTION, flags, None, (type.result, *type.params))
        if isinstance(type, (Vector, Complex)):
            kind = t.T_VECTOR if isinstance(type, Vector) else t.T_COMPLEX
            return self._add(kind, 0, None, (type.target,), (type.size,))
        assert isinstance(type, Opaque)
        size = 0 if type.size is None or type.size >= t.NO_SIZE else type.size + 1
        return self._add(t.T_OPAQUE, 0, type.why, (), (size,))

    def _add(
        self,
        kind: int,
        flags: int = 0,
        text: str | None = None,
        parts: tuple[Type, ...] = (),
        numbers: tuple[int, ...] = (),
    ) -> int:
        """Return the node for a type that is known by its contents alone."""
        inner = [self.node(part) for part in parts]
        key = (kind, flags, text, tuple(inner), numbers)
        at = self.keys.get(key)
        if at is not None:
            for part in inner:
                self.nodes[part].uses -= 1
            return at
        node = _Node(kind, flags)
        node.text, node.parts, node.numbers = text, inner, numbers
        return self._append(node, key)

    def _append(self, node: _Node, key: object) -> int:
        self.keys[key] = len(self.nodes)
        self.nodes.append(node)
        self.names.want(node.text)
        return len(self.nodes) - 1

    def _container(self, type: Record | Enum) -> int:
        if isinstance(type, Enum):
            node = _Node(t.T_ENUM)
        else:
            node = _Node(t.T_UNION if type.kind == "union" else t.T_STRUCT)
        node.type, node.text = type, type.name
        return self._append(node, id(type))

    def _qualified(self, type: Qualified) -> int:
        if type.space:
            plain = Qualified("", type.target, type.space)
            if type.quals:
                return self._node(self._keep(Qualified(type.quals, self._keep(plain))))
            return self._add(t.T_SPACE, 0, None, (type.target,), (type.space,))
        flags = sum(1 << t.QUALS.index(letter) for letter in set(type.quals))
        if not flags:
            return self._node(type.target)
        return self._add(t.T_QUALIFIED, flags, None, (type.target,))

    def _keep(self, type: Type) -> Type:
        self.kept.append(type)
        return type

    # ---- The whole ---------------------------------------------------------------------------

    def write(self, contents: Contents) -> bytes:
        for type in contents.types:
            self.node(type)
        decl_nodes = {id(decl): self.node(decl.type) for decl in contents.declarations}
        for decl in contents.declarations:
            self.names.want(decl.name)
        self._reach()
        for text in (self.identity.release, self.identity.compiler):
            self.names.want(text)
        self.names.place()
        enums = [node.type for node in self.nodes if isinstance(node.type, Enum)]
        ordered = sorted({suffix for enum in enums for _, suffix in _suffixes(enum)})
        codes, self.pairs = shorten(ordered)
        self.codes = dict(zip(ordered, codes))
        if len(self.names.text) > t.D_NAME:
            raise LayoutError("too many names for a layout table")
        ranked = sorted(range(len(self.nodes)), key=lambda at: (-self.nodes[at].uses, at))
        self.order = [0] * len(ranked)
        for new, old in enumerate(ranked):
            self.order[old] = new
        types, bodies, blocks = self._types(ranked)
        declared = b"".join(
            (self.names.at(decl.name) | _decl_flags(decl)).to_bytes(4, "little")
            + self.order[decl_nodes[id(decl)]].to_bytes(4, "little")
            for decl in sorted(contents.declarations, key=lambda decl: self.names.at(decl.name))
        )
        pairs = b"".join(self.names.pairs + self.pairs)
        texts = [self.names.blocks, self.names.text, pairs]
        return self._assemble([self._index(), blocks, types, bodies, declared, *texts])

    def _reach(self) -> None:
        """Give a node to everything that members refer to."""
        at = 0
        while at < len(self.nodes):
            node = self.nodes[at]
            at += 1
            if isinstance(node.type, Record) and not _too_large(node.type):
                previous = None
                for member in node.type.members:
                    self.names.want(member.name)
                    part = self.node(member.type)
                    node.parts.append(part)
                    if part == previous:  # written once for all in a row
                        self.nodes[part].uses -= 1
                    previous = part

    def _types(self, ranked: list[int]) -> tuple[bytes, bytes, bytes]:
        types, bodies, blocks = bytearray(), bytearray(), bytearray()
        for new, old in enumerate(ranked):
            node = self.nodes[old]
            if new % t.BLOCK == 0:
                blocks += len(types).to_bytes(4, "little") + len(bodies).to_bytes(4, "little")
            types.append(node.kind | node.flags << t.FLAG_SHIFT)
            if isinstance(node.type, Record):
                body = self._members(node.type, node.parts)
                self._head(types, _record_numbers(node.type), node.text, len(body))
                bodies += body
            elif isinstance(node.type, Enum):
                body = self._constants(node.type)
                self._head(types, _enum_numbers(node.type), node.text, len(body))
                bodies += body
            else:
                types += self._plain(node)
        return bytes(types), bytes(bodies), bytes(blocks)

    def _head(
        self, types: bytearray, numbers: tuple[int, ...], text: str | None, length: int
    ) -> None:
        for value in (self.names.at(text), *numbers, length):
            types += varint(value)

    def _plain(self, node: _Node) -> bytes:
        parts = [self.order[part] for part in node.parts]
        if node.kind == t.T_FUNCTION:
            values = [parts[0], len(parts) - 1, *parts[1:]]
        elif node.kind in (t.T_BASE, t.T_TYPEDEF, t.T_OPAQUE):
            values = [self.names.at(node.text), *parts, *node.numbers]
        else:
            values = [*parts, *node.numbers]
        return b"".join(varint(value) for value in values)

    def _members(self, record: Record, parts: list[int]) -> bytes:
        out = bytearray()
        offset = width = 0
        previous = -1
        for member, part in zip(() if _too_large(record) else record.members, parts):
            distance = member.offset - offset
            step = _STEPS.get(distance, 0)
            if not step and distance == width:
                step = t.STEP_WIDTH
            type = self.order[part]
            head = (
                (t.M_TYPE if type != previous else 0)
                | (t.M_NAME if member.name else 0)
                | (t.M_BITS if member.bits is not None else 0)
                | step << t.M_STEP_SHIFT
            )
            out.append(head)
            if not step:
                out += varint(zigzag(distance))
            if member.name:
                out += varint(self.names.at(member.name))
            if type != previous:
                out += varint(type)
            if member.bits is not None:
                out += varint(member.bits)
            offset, width, previous = member.offset, member.bits or 0, type
        return bytes(out)

    def _constants(self, enum: Enum) -> bytes:
        out = bytearray()
        previous, prefix = -1, 0
        for (name, value), (common, suffix) in zip(enum.constants, _suffixes(enum)):
            if b"\0" in name.encode():
                raise LayoutError(f"name with a NUL byte: {name!r}")
            distance = value - previous & _U64
            code = self.codes[suffix]
            long = len(code) >= t.C_LONG
            head = (t.C_VALUE if distance != 1 else 0) | (t.C_PREFIX if common != prefix else 0)
            out.append(head | (t.C_LONG if long else len(code)) << t.C_LENGTH_SHIFT)
            if distance != 1:
                signed = distance - (1 << 64) if distance >> 63 else distance
                out += varint(zigzag(signed))
            if common != prefix:
                out += varint(common)
            if long:
                out += varint(len(code))
            out += code
            previous, prefix = value, common
        return bytes(out)

    def _index(self) -> bytes:
        entries: list[tuple[int, int, int]] = []
        for at, node in enumerate(self.nodes):
            type = node.type
            if node.kind == t.T_TYPEDEF or (
                isinstance(type, (Record, Enum))
                and type.name
                and not type.incomplete
                and not type.local
            ):
                assert node.text is not None
                entries.append((self.names.at(node.text), node.kind, self.order[at]))
        if len(self.nodes) > 0xFFFFFF:
            raise LayoutError("too many types for a layout table")
        return b"".join(order.to_bytes(3, "little") for _, _, order in sorted(entries))

    def _assemble(self, sections: list[bytes]) -> bytes:
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
            self.names.at(self.identity.release),
            self.names.at(self.identity.compiler),
            len(self.names.pairs) | len(self.pairs) << 8,
            self.names.shared,
        )
        table = bytearray(header + directory + body)
        table[t.CRC_AT : t.CRC_AT + 4] = t.checksum(table).to_bytes(4, "little")
        return bytes(table)


def _common(a: bytes, b: bytes) -> int:
    """Return how many bytes two names begin with in common."""
    length = min(len(a), len(b))
    differ = int.from_bytes(a[:length], "big") ^ int.from_bytes(b[:length], "big")
    return length - (differ.bit_length() + 7) // 8


def _suffixes(enum: Enum) -> Iterable[tuple[int, bytes]]:
    """Iterate over what each constant's name shares with the one before, and the rest of it."""
    previous = b""
    for text, _ in enum.constants:
        name = text.encode()
        common = _common(previous, name)
        yield common, name[common:]
        previous = name


def _record_numbers(record: Record) -> tuple[int, int, int]:
    info = _log2(record.align)
    for flag, on in (
        (t.R_PACKED, record.packed),
        (t.R_INCOMPLETE, record.incomplete),
        (t.R_LOCAL, record.local),
        (t.R_REVERSE, record.reverse),
        (t.R_TRANSPARENT, record.transparent),
        (t.R_OPAQUE, record.opaque or _too_large(record)),
    ):
        info |= flag if on else 0
    if _too_large(record):
        return info, 0, 0
    return info, record.size, len(record.members)


def _enum_numbers(enum: Enum) -> tuple[int, int, int]:
    info = _log2(enum.align)
    for flag, on in (
        (t.E_SIGNED, enum.signed),
        (t.E_INCOMPLETE, enum.incomplete),
        (t.E_LOCAL, enum.local),
    ):
        info |= flag if on else 0
    return info, enum.size, len(enum.constants)


def _decl_flags(decl: Declaration) -> int:
    return (
        (t.D_STATIC if decl.static else 0)
        | (t.D_INLINE if decl.inline else 0)
        | (t.D_NORETURN if decl.noreturn else 0)
        | (t.D_PERCPU if decl.percpu else 0)
    )
