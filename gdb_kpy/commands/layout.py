# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy layout check`: the module's knowledge of kernel structs against the kernel's own."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gdb_kpy.commands.base import Failed, KpyCommand, Meter, paint, parse, show, tell
from gdb_kpy.core.errors import AbsentError, KpyError
from gdb_kpy.target import layout
from gdb_kpy.target import session as sessions
from gdb_kpy.target.session import Session
from struct_layout.compare import CheckResult, Source, compare
from struct_layout.model import LayoutError

_SOURCES = ("dwarf", "btf", "both")


class Layout(KpyCommand):
    """Work with the layouts of kernel structs that the module carries.

    Usage: kpy layout COMMAND

    check compares them with the kernel's own, show prints one, list their names, find names the
    member at an offset; push gives Python in the guest a struct that only debug info has, pop
    takes it back.

    Example:
      kpy layout check task_struct

    """

    word = "layout"
    prefix = True

    def run(self, argument: str) -> None:
        """Point to the sub-commands."""
        what = f"no command `kpy layout {argument.split()[0]}`" if argument else "check or what?"
        raise KpyError(f"{what}: `kpy layout check` compares layouts; `help kpy layout` lists all")


class Check(KpyCommand):
    """Compare the module's struct layouts with the running kernel's own.

    Usage: kpy layout check [-source dwarf|btf|both] [-all] [-json] [NAME...]

    The layouts are read from the memory of the live module. The other side is the DWARF of the
    vmlinux whose build-id was verified, or the BTF in the guest's memory, each with that of
    modules. NAME is a struct, union, enum or typedef, or a pattern with *; without one everything
    in the table is compared. Differences are told by their causes. Any fails the command, so that
    `gdb -batch` exits with 1.
      -source  dwarf (as if not given), btf or both
      -all     every difference, one by one
      -json    as JSON, for programs

    Example:
      kpy layout check task_struct file net_device
      kpy layout check -source both

    """

    word = "layout check"
    options = ("-all", "-json", "-source")

    def complete_word(self, before: Sequence[str], last: str) -> Sequence[str] | int:
        """Complete sources, and names of types once the table was read."""
        if before and before[-1] == "-source":
            return [each for each in _SOURCES if each.startswith(last)]
        return [name for name in layout.known_names() if name.startswith(last)]

    def run(self, argument: str) -> None:
        """Compare and print."""
        options, names = parse(argument, flags=("-all", "-json"), valued=("-source",))
        source = options.get("-source", "dwarf")
        if source not in _SOURCES:
            raise KpyError(f"no source '{source}' (known: {', '.join(_SOURCES)})")
        with sessions.viewed() as session:
            labels = ("dwarf", "btf") if source == "both" else (source,)
            results = [check(session, names, label) for label in labels]
        if "-json" in options:
            data = {label: found.as_data() for label, found in zip(labels, results)}
            show(json.dumps(data if len(labels) > 1 else data[source], indent=1))
        else:
            for found in results:
                show(found.render_text(None if "-all" in options else 40))
        count = max(found.counts()["differs"] for found in results)
        if count:
            raise Failed(
                f"{count} type{'s differ' if count != 1 else ' differs'}: "
                "the module was built for another kernel; rebuild it with make"
            )


def check(session: Session, names: Sequence[str], label: str) -> CheckResult:
    """Compare the table with one source."""
    table = layout.table(session)
    kernel = session.kernel
    if table.identity.release != kernel.release:
        tell(paint(f"The table was built for {table.identity.release}.", "warn"))
    with Meter(f"Indexing the debug info of {kernel.path.name}; the index is kept") as meter:
        other = _source(session, names, label, meter)
    try:
        with Meter("Comparing layouts") as meter:
            return compare(table, other, names, labels=("plugin", label), progress=meter)
    except LayoutError as error:
        raise KpyError(str(error)) from None


def _source(session: Session, names: Sequence[str], label: str, meter: Meter) -> Source:
    if label == "btf":
        return layout.all_btf(session)
    # The modules' own files take time to read: only for what was asked for by name.
    if names:
        return layout.with_modules(session, meter)
    return layout.dwarf(session, meter)


def quick_line(session: Session) -> tuple[str, bool]:
    """Return the line that `kpy attach` says about the layouts, and whether it is good news."""
    try:
        found = layout.quick_check(session)
    except AbsentError as error:
        return f"Layouts: not checked ({error.what}).", False
    except KpyError as error:
        return f"Layouts: not checked ({error}).", False
    if found.differing:
        some = ", ".join(found.differing[:3]) + (", …" if len(found.differing) > 3 else "")
        count = len(found.differing)
        what = f"{count} structs of the module differ" if count > 1 else "1 struct differs"
        return f"Layouts: {what} from the kernel's ({some}): `kpy layout check`.", False
    return f"Layouts: {found.equal} types of the module are the kernel's (BTF).", True
