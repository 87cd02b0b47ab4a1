# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy layout`: the module's knowledge of kernel structs, checked against the kernel's own."""

from __future__ import annotations

from collections.abc import Sequence

from gdb_kpy.commands.base import Failed, KpyCommand, paint, parse, show, tell
from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.target import layout
from gdb_kpy.target import session as sessions
from struct_layout.compare import compare
from struct_layout.dwarf import open_dwarf
from struct_layout.model import LayoutError


class Layout(KpyCommand):
    """Work with the layouts of kernel structs that the module carries.

    Usage: kpy layout check [-json] [NAME...]

    Example:
      kpy layout check task_struct

    """

    word = "layout"
    prefix = True

    def run(self, argument: str) -> None:
        """Point to the sub-commands."""
        what = f"no command `kpy layout {argument.split()[0]}`" if argument else "check or what?"
        raise KpyError(f"{what}: `kpy layout check` compares layouts")


class Check(KpyCommand):
    """Compare the module's struct layouts with the debug info of the running kernel.

    Usage: kpy layout check [-json] [NAME...]

    The layouts are read from the memory of the live module, the other side is the DWARF of the
    vmlinux whose build-id was verified. NAME is a struct, union, enum or typedef, or a pattern
    with *; without one everything in the table is compared. Any difference fails the command, so
    that `gdb -batch` exits with 1.
      -json  as JSON, for programs

    Example:
      kpy layout check task_struct file net_device

    """

    word = "layout check"
    options = ("-json",)

    def complete_word(self, before: Sequence[str], last: str) -> Sequence[str] | int:
        """Complete names of types, once the table was read."""
        return [name for name in layout.known_names() if name.startswith(last)]

    def run(self, argument: str) -> None:
        """Compare and print."""
        options, names = parse(argument, flags=self.options)
        with sessions.viewed() as session:
            table = layout.table(session)
        kernel = session.kernel
        if table.identity.release != kernel.release:
            tell(paint(f"The table was built for {table.identity.release}.", "warn"))
        told = False

        def progress(done: int, total: int) -> None:
            nonlocal told
            if not told:
                tell(f"Indexing the debug info of {kernel.path.name}; the index is kept.")
                told = True

        try:
            dwarf = open_dwarf(kernel.path, progress=progress)
            try:
                if dwarf.build_id != kernel.build_id:
                    raise NotReadyError(
                        f"{kernel.path} changed: build-id {dwarf.build_id}, the running kernel has "
                        f"{kernel.build_id}",
                        "`kpy attach` again",
                    )
                result = compare(table, dwarf, names)
            finally:
                dwarf.close()
        except LayoutError as error:
            raise KpyError(str(error)) from None
        show(result.to_json() if "-json" in options else result.render_text())
        if not result.ok:
            count = result.counts()["differs"]
            raise Failed(
                f"{count} type{'s differ' if count != 1 else ' differs'}: "
                "the module was built for another kernel; rebuild it with make"
            )
