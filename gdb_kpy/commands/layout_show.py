# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy layout show|list|find` and `$kpy_offsetof`: one layout, their names, a member by offset."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Sequence

from gdb_kpy.commands.base import (
    KpyCommand,
    Meter,
    highlighted,
    paint,
    parse,
    show,
    tell,
)
from gdb_kpy.commands.layout import check
from gdb_kpy.core.errors import KpyError
from gdb_kpy.target import layout, places
from gdb_kpy.target import session as sessions
from gdb_kpy.target.session import Session
from struct_layout.beside import side_by_side
from struct_layout.compare import Named, Source, of_kind, split_kind, unknown_name
from struct_layout.differences import Comparer, Difference
from struct_layout.find import at_offset, of_path
from struct_layout.model import LayoutError
from struct_layout.show import as_data, render

_SOURCES = ("dwarf", "btf")
_SUM = re.compile(r"((?:(?:struct|union)\s+)?[A-Za-z_]\w*)\s*\+\s*(0[xX][0-9a-fA-F]+|\d+)$")


class _OfTypes(KpyCommand):
    """A command that takes names of types."""

    def complete_word(self, before: Sequence[str], last: str) -> Sequence[str] | int:
        """Complete names of types, once the table was read."""
        if before and before[-1] == "-source":
            return [each for each in _SOURCES if each.startswith(last)]
        return [name for name in layout.known_names() if name.startswith(last)]


class Show(_OfTypes):
    """Print a struct, union, enum or typedef with offsets, sizes and holes.

    Usage: kpy layout show [-source dwarf|btf] [-json] NAME

    It is that of the module's table; where the kernel's DWARF differs both stand side by side,
    and a star marks what differs. What the table does not have comes from the kernel's DWARF.
      -source  the other side: dwarf (as if not given) or btf
      -json    as JSON, for programs

    Example:
      kpy layout show path

    """

    word = "layout show"
    options = ("-json", "-source")

    def run(self, argument: str) -> None:
        """Find and print."""
        options, words = parse(argument, flags=("-json",), valued=("-source",))
        label = options.get("-source", "dwarf")
        if label not in _SOURCES:
            raise KpyError(f"no source '{label}' (known: {', '.join(_SOURCES)})")
        if not words:
            raise KpyError("show what? `kpy layout show NAME`, as in `kpy layout show path`")
        wanted = " ".join(words)
        with sessions.viewed() as session:
            table, other = layout.table(session), _other(session, label)
        try:
            texts = _shown(wanted, table, other, label, "-json" in options)
        except LayoutError as error:
            raise KpyError(str(error)) from None
        show("[" + ",\n".join(texts) + "]" if "-json" in options else "\n\n".join(texts))


def _other(session: Session, label: str) -> Source:
    if label == "btf":
        return layout.all_btf(session)
    kernel = session.kernel
    with Meter(f"Indexing the debug info of {kernel.path.name}; the index is kept") as meter:
        return layout.with_modules(session, meter)


def _complete(source: Source, wanted: str) -> list[Named]:
    kind, name = split_kind(wanted)
    found = of_kind(source.find(name), kind)
    return [type for type in found if not getattr(type, "incomplete", False)] or found


def _shown(wanted: str, table: Source, other: Source, label: str, as_json: bool) -> list[str]:
    mine, theirs = _complete(table, wanted), _complete(other, wanted)
    if not mine and not theirs:
        raise KpyError(unknown_name(wanted, table))
    lost = {*getattr(table, "lost", ()), *getattr(other, "lost", ())}
    comparer = Comparer(lost)
    texts = []
    for type in mine or theirs:
        if as_json:
            texts.append(json.dumps(as_data(type), indent=1))
            continue
        found = [
            (_differences(comparer, type, candidate), candidate)
            for candidate in theirs
            if isinstance(candidate, type.__class__)
        ]
        differing, candidate = min(found, key=lambda each: len(each[0]), default=([], type))
        if differing:
            paths = [each.path for each in differing]
            texts.append(side_by_side(type, candidate, ("plugin", label), paths))
        else:
            texts.append(highlighted(render(type)))
    if not as_json and not mine:
        tell(paint(f"The module's table does not have it; this is {label}'s.", "dim"))
    if not as_json and not theirs:
        tell(paint(f"Only in the module's table: {label} does not have it.", "dim"))
    return texts


def _differences(comparer: Comparer, ours: Named, theirs: Named) -> list[Difference]:
    return comparer.types(ours, theirs)[1]


class List(KpyCommand):
    """List the types of the module's table, or those that differ from the kernel's.

    Usage: kpy layout list [-differs] [-source dwarf|btf] [-json] [PATTERN]

      -differs  only those that differ from the kernel's
      -source   in what: dwarf (as if not given) or btf
      -json     as JSON, for programs

    Example:
      kpy layout list net_*
      kpy layout list -differs

    """

    word = "layout list"
    options = ("-differs", "-json", "-source")

    def run(self, argument: str) -> None:
        """Select and print."""
        options, words = parse(argument, flags=("-differs", "-json"), valued=("-source",))
        label = options.get("-source", "dwarf")
        if label not in _SOURCES:
            raise KpyError(f"no source '{label}' (known: {', '.join(_SOURCES)})")
        if len(words) > 1:
            raise KpyError(f"one pattern is enough, not {len(words)} ({' '.join(words)})")
        pattern = words[0] if words else "*"
        with sessions.viewed() as session:
            if "-differs" in options:
                found = check(session, words, label)
                names = [each.name for each in found.types if each.differences]
            else:
                names = fnmatch.filter(layout.table(session).type_names(), pattern)
                if not names:
                    raise KpyError(f"no type in the layout table matches '{pattern}'")
        if "-json" in options:
            show(json.dumps(names))
        elif names:
            show("\n".join(names))
        else:
            tell("None differs.")


class Find(_OfTypes):
    """Name the member that lies at an offset of a struct, or at an address.

    Usage: kpy layout find NAME+OFFSET
           kpy layout find ADDRESS

    ADDRESS is any expression of GDB that gives a place in a variable of the kernel, as that tells
    the type. Several members are named in a union, none in a hole.

    Example:
      kpy layout find task_struct+0xb80
      kpy layout find &init_task.comm[2]

    """

    word = "layout find"

    def run(self, argument: str) -> None:
        """Find and print."""
        if not argument:
            raise KpyError("find what? `kpy layout find NAME+OFFSET`, or an address")
        given = _SUM.match(argument)
        with sessions.viewed() as session:
            try:
                if given and _type(session, given[1]):
                    self._show(session, given[1], given[1], int(given[2], 0))
                else:
                    place = places.variable_at(argument)
                    self._show(session, place.type, place.variable, place.offset)
            except LayoutError as error:
                raise KpyError(str(error)) from None

    def _show(self, session: Session, name: str, label: str, offset: int) -> None:
        types = _type(session, name)
        if not types:
            raise KpyError(f"{label}+{offset:#x} is in a {name}, which no source describes")
        label = split_kind(label)[1]
        found = [place for type in types[:1] for place in at_offset(type, offset)]
        if not found:
            show(f"{label}+{offset:#x} is in a hole")
        for place in found:
            into = f" +{place.into:#x}" if place.into else ""
            where = f"{label}.{place.path}" if place.path else label
            show(f"{where.replace('.[', '[')}{into}  {place.type}")


def _type(session: Session, wanted: str) -> list[Named]:
    """Return the type of a name: of the table, else of DWARF."""
    found = _complete(layout.table(session), wanted)
    return found or _complete(layout.with_modules(session), wanted)


def offset_of(struct: str, member: str) -> int:
    """Return the offset of a member in bytes, from the module's table or from DWARF."""
    with sessions.viewed() as session:
        types = _type(session, struct)
        if not types:
            raise KpyError(unknown_name(struct, layout.table(session)))
        try:
            offset, _ = of_path(types[0], member)
        except LayoutError as error:
            raise KpyError(str(error)) from None
    if offset % 8:
        raise KpyError(f"{struct}.{member} begins inside a byte (bit {offset})")
    return offset // 8
