# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``kpy`` commands: parse, call core and target, print. Nobody imports this but gdbinit.py."""

from __future__ import annotations

from gdb_kpy.commands import (
    attach,
    evaluate,
    layout,
    layout_push,
    layout_show,
    listing,
    parameters,
    print_,
    recover,
    status,
)
from gdb_kpy.commands.base import KpyCommand
from gdb_kpy.target import functions

#: In the order in which a person meets them.
COMMANDS: tuple[type[KpyCommand], ...] = (
    attach.Attach,
    status.Status,
    print_.Print,
    evaluate.Eval,
    evaluate.Exec,
    evaluate.Forget,
    recover.Recover,
    layout.Layout,
    layout.Check,
    layout_show.Show,
    layout_show.List,
    layout_show.Find,
    layout_push.Push,
    layout_push.Pop,
)


def register() -> None:
    """Give GDB the commands and settings."""
    parameters.register()
    listing.Listing([command.word for command in COMMANDS if not command.prefix])
    for command in COMMANDS:
        command()
    functions.register(evaluate.answer, print_.answer, layout_show.offset_of)
