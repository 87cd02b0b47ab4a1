# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of Python as values of GDB: `$kpy` and `$kpyN`."""

from __future__ import annotations

import ast

import gdb

from gdb_kpy.core.mailbox import Reply


def to_gdb(reply: Reply) -> gdb.Value:
    """Return the value of a reply: a number, a struct pointer, a string; else its repr."""
    value = reply.value
    if value.number is not None:
        if value.struct:
            try:
                kind = gdb.lookup_type(f"struct {value.struct}").pointer()
                return gdb.Value(value.number).cast(kind)
            except gdb.error:
                pass  # a type that the kernel's DWARF does not have
        return gdb.Value(value.number)
    text = reply.result.text
    if text[:1] in "'\"" and not reply.result.cut:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found = text
        if isinstance(found, str):
            text = found
    return gdb.Value(text)


def keep(reply: Reply) -> None:
    """Set `$kpy`, and `$kpyN` if the value was kept under a number."""
    if reply.value.none:
        return
    value = to_gdb(reply)
    gdb.set_convenience_variable("kpy", value)
    if reply.value.kept:
        gdb.set_convenience_variable(f"kpy{reply.value.kept}", value)
