# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds where types are defined in DWARF: an index from name to entry, cached by build-id.

A vmlinux has 16 million entries in 2,000 units; the types of a kernel are repeated in nearly all
of them. The index walks the top level of every unit over raw bytes: childless entries of a
fixed size are skipped by one table lookup, entries with children by their DW_AT_sibling, and a
type that was seen before (same name, size, line and column) costs one set lookup.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, NamedTuple

from struct_layout.cache import keep, kept
from struct_layout.dwarf_units import (
    AT,
    BLOCK_FORMS,
    DWO_NAMES,
    FORM,
    LEB_FORMS,
    SIZED_BLOCKS,
    SPLIT_UNITS,
    TAG,
    Abbrev,
    Abbrevs,
    DwarfError,
    Unit,
    UnitHeader,
    fixed_size,
    uleb,
    unit_headers,
)
from struct_layout.elf import DwarfFile

VERSION = 2
Progress = Callable[[int, int], None]

KINDS = {
    TAG["structure_type"]: "struct",
    TAG["union_type"]: "union",
    TAG["enumeration_type"]: "enum",
    TAG["typedef"]: "typedef",
}
# What tells two definitions of one name apart.
_TELLING = (AT["byte_size"], AT["decl_line"], AT["decl_column"])

# Steps over values whose size varies; a number >= 0 is that many bytes.
_LEB, _BLOCK, _STRING, _SIBLING, _INDIRECT = -1, -2, -3, -4, -5
_BLOCK1, _BLOCK2, _BLOCK4 = -11, -12, -14


class Index(NamedTuple):
    """`names` maps "kind name" to the offsets of the distinct definitions."""

    units: list[int]
    names: dict[str, list[int]]


class _Plan:
    """How to step over entries with one abbreviation, and what to take from them."""

    __slots__ = ("children", "key", "kind", "size", "steps")

    def __init__(self, abbrev: Abbrev, unit: UnitHeader) -> None:
        self.children = abbrev.children
        self.steps: list[int] = []
        self.size: int | None = None  # of all attributes, when fixed and childless
        self.kind = b""
        self.key: tuple[tuple[int, int], ...] | None = None
        declared = False
        fixed: int | None = 0
        slices: list[tuple[int, int]] = []
        for attribute, form, _ in abbrev.attributes:
            size = fixed_size(form, unit)
            if attribute == AT["declaration"]:
                declared = True
            if fixed is not None and size is not None:
                if attribute == AT["name"] or attribute in _TELLING:
                    if slices and slices[-1][1] == fixed:
                        slices[-1] = (slices[-1][0], fixed + size)
                    else:
                        slices.append((fixed, fixed + size))
                fixed += size
            else:
                fixed = None
            self._step(attribute, form, size)
        if abbrev.tag in KINDS and not declared:
            names = [form for attribute, form, _ in abbrev.attributes if attribute == AT["name"]]
            if names:
                self.kind = bytes([abbrev.tag])
                # Only where the name is an offset in .debug_str is it the same in all units.
                if fixed is not None and names[0] == FORM["strp"]:
                    self.key = tuple(slices)
        if fixed is not None and not abbrev.children and not self.kind:
            self.size = fixed

    def _step(self, attribute: int, form: int, size: int | None) -> None:
        steps = self.steps
        if attribute == AT["sibling"] and form == FORM["ref4"]:
            steps.append(_SIBLING)
        elif size is not None:
            if steps and steps[-1] >= 0:
                steps[-1] += size
            else:
                steps.append(size)
        elif form in LEB_FORMS or form == FORM["sdata"]:
            steps.append(_LEB)
        elif form in BLOCK_FORMS:
            steps.append(_BLOCK)
        elif form in SIZED_BLOCKS:
            steps.append(-10 - SIZED_BLOCKS[form])
        elif form == FORM["string"]:
            steps.append(_STRING)
        elif form == FORM["indirect"]:
            steps.append(_INDIRECT)
        else:
            raise DwarfError(f"DWARF with values of the unknown form {form:#x}")


def _pass(data: bytes, at: int, steps: list[int], order: str) -> tuple[int, int]:
    """Step over the attributes at `at`; return where they end, and the sibling or 0."""
    sibling = 0
    for step in steps:
        if step >= 0:
            at += step
        elif step == _SIBLING:
            sibling = int.from_bytes(data[at : at + 4], order)  # type: ignore[arg-type]
            at += 4
        elif step == _LEB:
            while data[at] >= 0x80:
                at += 1
            at += 1
        elif step == _BLOCK:
            length = data[at]
            at += 1
            if length >= 0x80:
                length, at = uleb(data, at - 1)
            at += length
        elif step == _STRING:
            at = data.index(0, at) + 1
        elif step == _INDIRECT:
            raise DwarfError("DWARF with DW_FORM_indirect is not supported")
        else:
            width = -10 - step
            length = int.from_bytes(data[at : at + width], order)  # type: ignore[arg-type]
            at += width + length
    return at, sibling


class _Walker:
    """Walks the top level of units and remembers the first of each distinct definition."""

    def __init__(self, file: DwarfFile, abbrevs: Abbrevs) -> None:
        self.info = file.sections.info
        self.order = "big" if file.sections.big_endian else "little"
        self.abbrevs = abbrevs
        self.plans: dict[tuple[int, int, bytes], _Plan] = {}
        self.seen: dict[bytes, int] = {}

    def is_elsewhere(self, unit: UnitHeader) -> bool:
        """Say whether a unit of DWARF 4 only names a .dwo file."""
        if unit.kind != 1 or unit.first >= unit.end:
            return False
        code, _ = uleb(self.info, unit.first)
        for number, body in self.abbrevs.raw(unit.abbrev):
            if number == code:
                found = self.abbrevs.parse(body).attributes
                return any(attribute in DWO_NAMES for attribute, _, _ in found)
        return False

    def walk(self, unit: UnitHeader) -> None:
        plans: dict[int, _Plan] = {}
        fast = [0] * 256
        known, parse = self.plans, self.abbrevs.parse
        sizes = (unit.offset_size, unit.address_size)
        for code, body in self.abbrevs.raw(unit.abbrev):
            plan = known.get((*sizes, body))
            if plan is None:
                plan = known[(*sizes, body)] = _Plan(parse(body), unit)
            plans[code] = plan
            if plan.size is not None and code < 0x80:
                fast[code] = plan.size + 1
        data = bytes(self.info[unit.offset : unit.end])
        try:
            self._walk(data, unit.first - unit.offset, unit.offset, plans, fast)
        except (IndexError, KeyError, ValueError):
            raise DwarfError(f"DWARF unit at {unit.offset:#x} is damaged") from None

    def _walk(
        self, data: bytes, at: int, base: int, plans: dict[int, _Plan], fast: list[int]
    ) -> None:
        end, seen, order = len(data), self.seen, self.order
        depth = 0
        while at < end:
            code = data[at]
            size = fast[code]
            if size:
                at += size
                continue
            here = at
            if code >= 0x80:
                code, at = uleb(data, at)
            else:
                at += 1
                if code == 0:
                    depth -= 1
                    continue
            plan = plans[code]
            if plan.kind and depth == 1:
                if plan.key is not None:
                    key = plan.kind
                    for start, stop in plan.key:
                        key += data[at + start : at + stop]
                    if key not in seen:
                        seen[key] = base + here
                    after, sibling = _pass(data, at, plan.steps, order)
                else:
                    after, sibling = _pass(data, at, plan.steps, order)
                    # The place of the key's parts varies: all of the entry is the key.
                    seen.setdefault(plan.kind + b"\0" + data[at:after], base + here)
            elif plan.size is not None:
                at += plan.size
                continue
            else:
                after, sibling = _pass(data, at, plan.steps, order)
            if not plan.children:
                at = after
            elif sibling and depth:
                if not after <= sibling <= end:
                    raise DwarfError(f"DWARF entry at {base + here:#x} has a wild sibling")
                at = sibling
            else:
                at = after
                depth += 1
        if at != end:
            raise IndexError


def build_index(file: DwarfFile, abbrevs: Abbrevs, progress: Progress | None = None) -> Index:
    """Walk all units. `progress` is called with bytes done and bytes in all."""
    walker = _Walker(file, abbrevs)
    units: list[UnitHeader] = []
    total = len(file.sections.info)
    for number, unit in enumerate(unit_headers(file.sections.info, file.sections.big_endian)):
        if unit.kind in SPLIT_UNITS or walker.is_elsewhere(unit):
            raise DwarfError(f"{file.path} has split DWARF (.dwo files), which is not supported")
        walker.walk(unit)
        units.append(unit)
        if progress is not None and number % 64 == 0:
            progress(unit.end, total)
    return _distinct(file, abbrevs, units, list(walker.seen.values()))


def _distinct(
    file: DwarfFile, abbrevs: Abbrevs, units: list[UnitHeader], offsets: list[int]
) -> Index:
    """Read the entries found and keep one of those that tell the same."""
    names: dict[str, list[int]] = {}
    told = set()
    at = 0
    unit: Unit | None = None
    for offset in sorted(offsets):
        while units[at].end <= offset:
            at, unit = at + 1, None
        if unit is None:
            unit = Unit(units[at], file.sections, abbrevs)
        die = unit.die(offset)
        if die is None:
            continue
        name = f"{KINDS[die.tag]} {die.attributes[AT['name']]}"
        telling = (name, *(die.attributes.get(attribute) for attribute in _TELLING))
        if telling not in told:
            told.add(telling)
            names.setdefault(name, []).append(offset)
    return Index([unit.offset for unit in units], names)


# ---- The cache -----------------------------------------------------------------------------------


def load_index(folder: Path, build_id: str, size: int) -> Index | None:
    """Return the cached index of that build, None when there is none that can be used."""
    try:
        data = json.loads(kept(folder / build_id) or "")
        if data["version"] != VERSION or data["size"] != size:
            return None
        return Index(data["units"], data["names"])
    except (ValueError, KeyError, TypeError):
        return None


def save_index(folder: Path, build_id: str, size: int, index: Index) -> None:
    """Keep an index. A cache that cannot be written is not an error."""
    data = {"version": VERSION, "size": size, "units": index.units, "names": index.names}
    keep(folder / build_id, json.dumps(data, separators=(",", ":")))
