# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the types of several translation units together.

The same struct appears in every unit that includes its header; two structs of one tag may also
be different ones. Two types are one when no walk through members and pointers tells them apart:
classes by content are refined by the classes they refer to until nothing splits any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from struct_layout.model import (
    Array,
    Complex,
    Contents,
    Declaration,
    Enum,
    Function,
    Member,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
)


def merge(units: list[Contents]) -> Contents:
    """Return the contents of all units, with one type for each that they share."""
    if len(units) == 1:
        return units[0]
    return _Merger(units).contents()


class _Flat(NamedTuple):
    """A type written down, what it refers to, and itself: its id must stay its own."""

    parts: tuple[object, ...]
    nodes: tuple[Record | Enum, ...]
    type: Type


class _Merger:
    def __init__(self, units: list[Contents]) -> None:
        self.units = units
        self.nodes: dict[int, Record | Enum] = {}
        self.flat: dict[int, _Flat] = {}
        self.signatures: dict[int, tuple[object, list[int]]] = {}
        for unit in units:
            for type in unit.types:
                self._collect(type)
            for declaration in unit.declarations:
                self._collect(declaration.type)
        self.classes = self._refine(self._completions())
        self.chosen: dict[int, Record | Enum] = {}
        self.made: dict[int, Type] = {}
        self.kept: list[Type] = []

    # ---- Reading -----------------------------------------------------------------------------

    def _collect(self, type: Type) -> None:
        """Give every record and enum in reach a signature and the list of what it refers to."""
        waiting: list[Record | Enum] = []
        self._parts(type, [], waiting)
        while waiting:
            node = waiting.pop()
            references: list[int] = []
            if isinstance(node, Enum):
                content: object = ("enum", node.size, node.signed, node.constants)
            else:
                content = (
                    node.kind, node.size, node.align, node.packed, node.reverse, node.transparent,
                    node.opaque,
                    tuple(
                        (m.name, m.offset, m.bits, *self._parts(m.type, references, waiting))
                        for m in node.members
                    ),
                )  # fmt: skip
            signature = (node.name, node.local, node.incomplete, content)
            self.signatures[id(node)] = (signature, references)

    def _parts(
        self, type: Type, references: list[int], waiting: list[Record | Enum]
    ) -> tuple[object, ...]:
        """Write a type down flat; records and enums stand for themselves."""
        parts, nodes, _ = self._flat(type)
        for node in nodes:
            references.append(id(node))
            if id(node) not in self.nodes:
                self.nodes[id(node)] = node
                waiting.append(node)
        return parts

    def _flat(self, type: Type) -> _Flat:
        if isinstance(type, (Record, Enum)):
            return _Flat(("node",), (type,), type)
        known = self.flat.get(id(type))
        if known is None:
            known = self.flat[id(type)] = self._write(type)
        return known

    def _write(self, type: Type) -> _Flat:
        parts: list[object] = [type.__class__.__name__]
        nodes: list[Record | Enum] = []
        names: tuple[str, ...] = type.__slots__
        for value in [getattr(type, name) for name in names]:
            inner: tuple[object, ...] = (value,)
            if isinstance(value, tuple):
                parts.append(len(value))
                inner = value
            for part in inner:
                if isinstance(part, Type):
                    flat = self._flat(part)
                    parts += flat.parts
                    nodes += flat.nodes
                else:
                    parts.append(part)
        return _Flat(tuple(parts), tuple(nodes), type)

    # ---- Telling apart -----------------------------------------------------------------------

    def _completions(self) -> dict[int, int]:
        """Map declared-only types to the one complete type of that tag, where there is just one."""
        complete: dict[tuple[str, str | None], list[int]] = {}
        for key, node in self.nodes.items():
            if not node.incomplete and not node.local:
                complete.setdefault((_kind(node), node.name), []).append(key)
        found = {}
        for key, node in self.nodes.items():
            if node.incomplete:
                candidates = complete.get((_kind(node), node.name), [])
                if len({str(self.signatures[c][0]) for c in candidates}) == 1:
                    found[key] = candidates[0]
        return found

    def _refine(self, completions: dict[int, int]) -> dict[int, int]:
        numbers: dict[object, int] = {}
        classes = {
            key: numbers.setdefault(self.signatures[key][0], len(numbers)) for key in self.nodes
        }
        for key, other in completions.items():
            classes[key] = classes[other]
        count = len(set(classes.values()))
        while True:
            numbers = {}
            refined = {}
            for key in self.nodes:
                behind = tuple(classes[reference] for reference in self.signatures[key][1])
                refined[key] = numbers.setdefault((classes[key], behind), len(numbers))
            for key, other in completions.items():
                refined[key] = refined[other]
            classes = refined
            now = len(set(classes.values()))
            if now == count:
                return classes
            count = now

    # ---- Writing -----------------------------------------------------------------------------

    def contents(self) -> Contents:
        for key, node in self.nodes.items():
            known = self.chosen.get(self.classes[key])
            if known is None or (known.incomplete and not node.incomplete):
                self.chosen[self.classes[key]] = node
        types = [self._one(type) for unit in self.units for type in unit.types]
        declarations: dict[str, Declaration] = {}
        for unit in self.units:
            for declaration in unit.declarations:
                if declaration.name not in declarations:
                    one = declaration._replace(type=self._one(declaration.type))
                    declarations[declaration.name] = one
        return Contents(list({id(type): type for type in types}.values()), [*declarations.values()])

    def _one(self, type: Type) -> Type:
        """Return the type made of the chosen records and enums."""
        key = id(type)
        if isinstance(type, (Record, Enum)):
            number = self.classes[key]
            type = self.chosen[number]
            key = id(type)
        known = self.made.get(key)
        if known is None:
            self.kept.append(type)
            known = self.made[key] = self._copy(type)
        return known

    def _copy(self, type: Type) -> Type:
        if isinstance(type, Record):
            return self._record(type)
        if isinstance(type, Pointer):
            return Pointer(self._one(type.target), type.size)
        if isinstance(type, Array):
            return Array(self._one(type.target), type.count, type.variable)
        if isinstance(type, Vector):
            return Vector(self._one(type.target), type.size)
        if isinstance(type, Complex):
            return Complex(self._one(type.target), type.size)
        if isinstance(type, Qualified):
            return Qualified(type.quals, self._one(type.target), type.space)
        if isinstance(type, Typedef):
            return Typedef(type.name, self._one(type.target), type.local)
        if isinstance(type, Function):
            params = tuple(self._one(param) for param in type.params)
            return Function(self._one(type.result), params, type.variadic, type.prototyped)
        return type

    def _record(self, record: Record) -> Record:
        def members() -> Iterator[Member]:
            for member in record.members:
                yield member._replace(type=self._one(member.type))

        return Record(
            record.kind,
            record.name,
            record.size,
            record.align,
            load=members,
            packed=record.packed,
            incomplete=record.incomplete,
            local=record.local,
            reverse=record.reverse,
            transparent=record.transparent,
            opaque=record.opaque,
        )


def _kind(node: Record | Enum) -> str:
    return node.kind if isinstance(node, Record) else "enum"
