# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of Python as values of GDB: `$kpy` and `$kpyN`."""

from __future__ import annotations

import ast

import gdb

from gdb_kpy.core.mailbox import Reply


def to_gdb(reply: Reply) -> gdb.Value:
    """Return the value of a reply: a number, a struct pointer, a string; else its repr."""
    value = reply.value
    text = reply.result.text
    if value.number is None and text[:1] in "'\"" and not reply.result.cut:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found = text
        if isinstance(found, str):
            text = found
    return value_of(text, value.number, value.struct)


def value_of(text: str, number: int | None, struct: str | None) -> gdb.Value:
    """Return a number, as a pointer to a struct if that is named; a text where there is none."""
    if number is None or not -(1 << 63) <= number < 1 << 64:
        try:
            return gdb.Value(text)
        except UnicodeEncodeError:  # in a locale of ASCII
            return gdb.Value(text.encode("ascii", "backslashreplace").decode("ascii"))
    if struct:
        try:
            return gdb.Value(number).cast(gdb.lookup_type(f"struct {struct}").pointer())
        except gdb.error:
            pass  # a type that the kernel's DWARF does not have
    return gdb.Value(number)


def keep(reply: Reply) -> None:
    """Set `$kpy`, and `$kpyN` if the value was kept under a number."""
    if reply.value.none:
        return
    value = to_gdb(reply)
    gdb.set_convenience_variable("kpy", value)
    if reply.value.kept:
        gdb.set_convenience_variable(f"kpy{reply.value.kept}", value)
