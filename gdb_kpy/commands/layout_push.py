# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy layout push` and `pop`: structs of debug information for Python in the guest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gdb_kpy.commands.base import COMPLETE_FILENAME, KpyCommand, Meter, parse, show
from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.target import layout, push
from gdb_kpy.target import session as sessions


class Push(KpyCommand):
    """Give Python in the guest structs that only debug information describes.

    Usage: kpy layout push [-file FILE] [NAME...]

    After it `lookup_struct(NAME)` works in the interpreter, at once. NAME is a struct or union of
    the kernel's DWARF, of that of modules whose files GDB has read, or of FILE; what lies inside
    it comes along. There is room for 64 pushes and 192 KiB until the module is loaded again.
    Without a name the pushed ones are listed.
      -file FILE  an ELF file with DWARF: the .ko of a module

    Example:
      kpy layout push -file my_driver.ko my_device
      kpy eval lookup_struct("my_device")

    """

    word = "layout push"
    options = ("-file",)

    def complete_word(self, before: Sequence[str], last: str) -> Sequence[str] | int:
        """Complete a file's name."""
        return COMPLETE_FILENAME if before and before[-1] == "-file" else []

    def run(self, argument: str) -> None:
        """Push, or list."""
        options, names = parse(argument, valued=("-file",))
        with sessions.viewed() as session:
            if not names:
                if options:
                    raise KpyError("push what? `kpy layout push -file FILE NAME...`")
                known = push.pushed(session)
                show("\n".join(", ".join(each.names) for each in known) or "nothing is pushed")
                return
            with Meter("Indexing debug info") as meter:
                if "-file" in options:
                    path = Path(options["-file"]).expanduser().absolute()
                    if not path.is_file():
                        raise NotReadyError(f"no file {path}", "give an existing file")
                    done = push.push(session, layout.debug_file(path), names)
                else:
                    done = push.push(session, layout.with_modules(session, meter), names)
        show(f"pushed {', '.join(done)}")


class Pop(KpyCommand):
    """Take back what `kpy layout push` gave: the latest push, or those of these structs.

    Usage: kpy layout pop [NAME...]

    Structs that Python has looked up already stay as they are.

    Example:
      kpy layout pop

    """

    word = "layout pop"

    def run(self, argument: str) -> None:
        """Pop and say what."""
        _, names = parse(argument)
        with sessions.viewed() as session:
            show(f"popped {', '.join(push.pop(session, names))}")
