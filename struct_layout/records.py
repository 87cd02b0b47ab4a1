# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what the GCC plugin wrote about one translation unit (docs/layout-records.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from struct_layout.graph import Constants, Declared, Graph, Members, Row
from struct_layout.model import LayoutError

VERSION = 2
_FLAGS_SHIFT = 28  # of a declaration's flags, which the table has above the name


class Unit(NamedTuple):
    """One translation unit as the plugin saw it."""

    gcc: str
    pointer_size: int
    big_endian: bool
    graph: Graph


def read_unit(path: Path) -> Unit:
    """Read the plugin's output, complete or not at all."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LayoutError(f"cannot read the layout records {path}: {error}") from None
    version = data.get("kpy-layout") if isinstance(data, dict) else None
    if version is None:
        raise LayoutError(f"{path} has no layout records")
    if version != VERSION:
        raise LayoutError(
            f"{path} has layout records of version {version}, not {VERSION}: "
            "rebuild the plugin with make"
        )
    members, declared = data["members"], data["declarations"]
    return Unit(
        data["gcc"],
        data["pointer"],
        bool(data["big_endian"]),
        Graph(
            data["names"],
            [Row(row[0], row[1], tuple(row[2]), tuple(row[3:])) for row in data["types"]],
            Members(*(members[column::4] for column in range(4))),
            Constants(data["constants"][::2], data["constants"][1::2]),
            data["named"],
            [
                Declared(name, flags << _FLAGS_SHIFT, type)
                for name, flags, type in zip(*[iter(declared)] * 3)
            ],
        ),
    )
