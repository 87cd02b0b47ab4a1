# SPDX-License-Identifier: GPL-2.0-or-later
"""Which variable of the kernel lies at an address, and of what type it is."""

from __future__ import annotations

import re
from typing import NamedTuple

import gdb

from gdb_kpy.core.errors import AbsentError, KpyError
from gdb_kpy.core.memory import MASK64

_NAMED = re.compile(r"(\S+)(?: \+ (\d+))? in section")


class Place(NamedTuple):
    """A place in a variable."""

    variable: str  # "init_task", "array[2]"
    type: str  # "struct task_struct"
    offset: int  # from the start of that


def variable_at(expression: str) -> Place:
    """Evaluate an expression and find the variable around the address that it gives."""
    try:
        value = gdb.parse_and_eval(expression)
        # A variable means its place; a pointer, or a number, is one.
        if value.address is not None and value.type.strip_typedefs().code != gdb.TYPE_CODE_PTR:
            value = value.address
        address = int(value) & MASK64
    except (gdb.error, TypeError) as error:
        raise KpyError(f"'{expression}' gives no address ({error})") from None
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    found = _NAMED.match(text)
    if found is None:
        raise AbsentError(
            f"{address:#x} is in no variable of the kernel",
            "say NAME+OFFSET with the struct's name",
        )
    try:
        kind = gdb.parse_and_eval(f"'{found[1]}'").type.strip_typedefs()
    except gdb.error:
        raise AbsentError(
            f"{address:#x} is in {found[1]}, which is no variable of a known type",
            "say NAME+OFFSET with the struct's name",
        ) from None
    variable, offset = found[1], int(found[2] or 0)
    while kind.code == gdb.TYPE_CODE_ARRAY:
        kind = kind.target().strip_typedefs()
        if not kind.sizeof:
            break
        index, offset = divmod(offset, kind.sizeof)
        variable += f"[{index}]"
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) or not kind.tag:
        raise AbsentError(f"{variable} is a {kind}, which has no members")
    word = "union" if kind.code == gdb.TYPE_CODE_UNION else "struct"
    return Place(variable, f"{word} {kind.tag}", offset)
