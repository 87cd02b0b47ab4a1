# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout table as it lies in the live module's memory."""

from __future__ import annotations

from gdb_kpy.core.errors import CorruptError, KpyError, NotReadyError
from gdb_kpy.target.session import Session
from struct_layout.model import LayoutError
from struct_layout.table import Table

_MOST_BYTES = 64 << 20

# The table is constant: one read per loaded module (its debug info's identity) is enough.
_kept: tuple[object, Table] | None = None


def table(session: Session) -> Table:
    """Read and decode the table."""
    global _kept
    info = session.module().info
    if _kept is not None and _kept[0] is info:
        return _kept[1]
    at, size = info["addr.layout_table"], info.layout_size
    if size == 0:
        raise NotReadyError("the module was built without a layout table", "rebuild with make")
    if not 0 < size <= _MOST_BYTES:
        raise CorruptError(at, "size of the layout table", f"at most {_MOST_BYTES}", size)
    try:
        found = Table(session.memory.read(at, size))
    except LayoutError as error:
        raise KpyError(str(error)) from None
    _kept = (info, found)
    return found


def known_names() -> list[str]:
    """Return the names of types in the table if it was read already; does not read it."""
    return [] if _kept is None else _kept[1].type_names()


def identity(session: Session) -> dict[str, str | int]:
    """Say what the table was built from and how much is in it."""
    found = table(session)
    return {
        "release": found.identity.release,
        "compiler": found.identity.compiler,
        "digest": found.identity.digest.hex(),
        "bytes": found.size,
        **found.counts(),
    }
