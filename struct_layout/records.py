# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what the GCC plugin wrote about one translation unit (docs/layout-records.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, NamedTuple

from struct_layout.model import (
    Array,
    Base,
    Complex,
    Contents,
    Declaration,
    Enum,
    Function,
    LayoutError,
    Member,
    Opaque,
    Pointer,
    Qualified,
    Record,
    Type,
    Typedef,
    Vector,
    Void,
)

VERSION = 1

Line = dict[str, Any]


class Unit(NamedTuple):
    """One translation unit as the plugin saw it."""

    gcc: str
    pointer_size: int
    big_endian: bool
    contents: Contents


def read_unit(path: Path) -> Unit:
    """Read the plugin's output, complete or not at all."""
    try:
        lines: list[Line] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise LayoutError(f"cannot read the layout records {path}: {error}") from None
    if not lines or lines[0].get("k") != "kpy-layout" or lines[-1].get("k") != "end":
        raise LayoutError(f"{path} is not a complete set of layout records")
    head = lines[0]
    if head["version"] != VERSION:
        raise LayoutError(
            f"{path} has layout records of version {head['version']}, not {VERSION}: "
            "rebuild the plugin with make"
        )
    return Unit(
        gcc=head["gcc"],
        pointer_size=head["pointer"],
        big_endian=bool(head["big_endian"]),
        contents=_Reader(lines[1:-1]).contents(),
    )


class _Reader:
    def __init__(self, lines: Iterable[Line]) -> None:
        self.types: dict[int, Line] = {}
        self.declarations: list[Line] = []
        for line in lines:
            if "i" in line:
                self.types[line["i"]] = line
            else:
                self.declarations.append(line)
        self.made: dict[int, Type] = {}
        self.makers: dict[str, Callable[[Line], Type]] = {
            "void": lambda line: Void(),
            "base": _base,
            "ptr": lambda line: Pointer(self.target(line), line["s"]),
            "array": self.array,
            "vector": lambda line: Vector(self.target(line), line["s"]),
            "complex": lambda line: Complex(self.target(line), line["s"]),
            "func": self.function,
            "qual": lambda line: Qualified(line["q"], self.target(line), line.get("as", 0)),
            "typedef": lambda line: Typedef(line["n"], self.target(line), "local" in line),
            "struct": self.record,
            "union": self.record,
            "enum": _enum,
            "opaque": lambda line: Opaque(line.get("s"), line["why"]),
        }

    def contents(self) -> Contents:
        types: list[Type] = []
        for number in self.types:
            type = self.type(number)
            named = (
                (isinstance(type, Record) and type.name and not (type.incomplete or type.local))
                or (isinstance(type, Enum) and not (type.incomplete or type.local))
                or (isinstance(type, Typedef) and not type.local)
            )
            if named:
                types.append(type)
        return Contents(types, [self.declaration(line) for line in self.declarations])

    def type(self, number: int) -> Type:
        made = self.made.get(number)
        if made is None:
            line = self.types[number]
            made = self.made[number] = self.makers[line["k"]](line)
        return made

    def target(self, line: Line) -> Type:
        return self.type(line["t"])

    def array(self, line: Line) -> Type:
        return Array(self.target(line), line.get("c"), "vla" in line)

    def function(self, line: Line) -> Type:
        params = tuple(self.type(number) for number in line["a"])
        return Function(self.target(line), params, "va" in line, "old" not in line)

    def record(self, line: Line) -> Type:
        return Record(
            line["k"],
            line.get("n"),
            line.get("s", 0),
            line.get("al", 1),
            load=lambda: self.members(line.get("m", ())),
            packed="pk" in line,
            incomplete="inc" in line,
            local="local" in line,
            reverse="sso" in line,
            transparent="tu" in line,
            opaque="vla" in line,
        )

    def members(self, fields: Iterable[tuple[str | None, int, int, int]]) -> Iterable[Member]:
        for name, offset, bits, number in fields:
            # An unnamed bitfield is padding.
            if name is not None or bits < 0:
                yield Member(name, offset, None if bits < 0 else bits, self.type(number))

    def declaration(self, line: Line) -> Declaration:
        return Declaration(
            line["n"],
            self.target(line),
            static="static" in line,
            inline="inline" in line,
            noreturn="noreturn" in line,
            percpu="percpu" in line.get("sec", ""),
        )


def _base(line: Line) -> Type:
    if line["s"] > 0xFF:  # a huge _BitInt
        return Opaque(line["s"], line["n"])
    return Base(line["n"], line["s"], line["e"], line.get("p"))


def _enum(line: Line) -> Type:
    return Enum(
        line.get("n"),
        line.get("s", 0),
        "u" not in line,
        [(name, value) for name, value in line.get("v", ()) if value is not None],
        align=line.get("al", 1),
        incomplete="inc" in line,
        local="local" in line,
    )
