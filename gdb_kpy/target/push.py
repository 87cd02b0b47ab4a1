# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives the interpreter in the guest structs that only debug information describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import gdb

from gdb_kpy.core.errors import AbsentError, FaultError, KpyError
from gdb_kpy.core.pushed import Push, Room, Write
from gdb_kpy.target import layout
from gdb_kpy.target.session import Session
from struct_layout.btf import BtfSource
from struct_layout.btf_writer import write_btf
from struct_layout.compare import Named, Source, of_kind, split_kind, unknown_name
from struct_layout.differences import Comparer
from struct_layout.model import Enum, LayoutError, Record, Typedef, strip
from struct_layout.view import embedded, title


def room(session: Session) -> Room:
    """Return where pushes go."""
    return Room(session.module().info)


class Pushed(NamedTuple):
    """A push that Python sees."""

    push: Push
    names: list[str]  # of the structs that were asked for
    all_names: list[str]  # with those inside them


def pushed(session: Session) -> list[Pushed]:
    """Return the pushes that Python sees, oldest first."""
    place, read = room(session), session.memory.read
    found = []
    for push in place.pushes(read):
        if push.shown:
            source = BtfSource(place.data(read, push), _base(session, push), "what was pushed")
            found.append(Pushed(push, _outermost(source), _names(source)))
    return found


def _names(source: BtfSource) -> list[str]:
    """Return the records of a push."""
    types = [t for name in source.type_names() for t in source.own(name)]
    return [title(type) for type in types if _is_record(type)]


def _outermost(source: BtfSource) -> list[str]:
    """Return those of them that lie in no other: what people asked for."""
    types = [t for name in source.type_names() for t in source.own(name)]
    records = [t for t in types if isinstance(t, Record) and not t.incomplete]
    inner = {
        title(part)
        for record in records
        for part in embedded(record)
        if isinstance(part, (Record, Enum, Typedef))
    }
    return [title(t) for t in records if title(t) not in inner] or _names(source)


def _base(session: Session, push: Push) -> BtfSource | None:
    return layout.btf(session) if push.first_id > 1 else None


def _is_record(type: Named) -> bool:
    plain = strip(type)
    return isinstance(plain, Record) and not plain.incomplete


def push(session: Session, source: Source, names: Sequence[str]) -> list[str]:
    """Push structs by their names; returns the titles of those that Python sees then."""
    chosen: list[Named] = []
    for wanted in names:
        kind, name = split_kind(wanted)
        found = [type for type in of_kind(source.find(name), kind) if _is_record(type)]
        if not found:
            other = of_kind(source.find(name), kind)
            if other:
                raise KpyError(f"{title(other[0])} is no complete struct or union")
            raise KpyError(unknown_name(wanted, source))
        if len(found) > 1 and len({title(type) for type in found}) < len(found):
            raise KpyError(
                f"there are {len(found)} different types of the name {name}: "
                "which is meant cannot be said"
            )
        chosen += found[:1]
    try:
        base: BtfSource | None = layout.btf(session)
    except AbsentError:
        base = None
    for type in chosen:
        _require_new(session, base, type)
    try:
        data = write_btf(list(chosen), base)
    except LayoutError as error:
        raise KpyError(str(error)) from None
    _write(session, room(session).push(session.memory.read, data, base.end_id if base else 1))
    return [title(type) for type in chosen]


def _require_new(session: Session, base: BtfSource | None, type: Named) -> None:
    """Refuse what Python in the guest has already, and has right."""
    for known, label in ((layout.table(session), "the module's table"), (base, "the kernel's BTF")):
        if known is None or type.name is None:
            continue
        same = [each for each in known.find(type.name) if title(each) == title(type)]
        lost = getattr(known, "lost", ())
        if any(not Comparer(lost).types(each, type)[1] for each in same):
            raise KpyError(f"{title(type)} is in {label} already, as it is here")


def pop(session: Session, names: Sequence[str]) -> list[str]:
    """Hide the latest push, or those that have structs of these names; returns their names."""
    known = pushed(session)
    if not known:
        raise KpyError("nothing is pushed")
    if not names:
        chosen = known[-1:]
    else:
        chosen = []
        for name in names:
            plain = split_kind(name)[1]
            hit = [each for each in known if plain in {t.split()[-1] for t in each.all_names}]
            if not hit:
                raise KpyError(f"{name} is not pushed: `kpy layout push` lists what is")
            chosen += hit
    _write(session, room(session).pop([each.push for each in chosen]))
    return list(dict.fromkeys(name for each in chosen for name in each.names))


def _write(session: Session, writes: Sequence[Write]) -> None:
    for address, data in writes:
        try:
            gdb.selected_inferior().write_memory(address, data)
        except gdb.error:
            raise FaultError(address, len(data), "write") from None
    session.memory.drop()
