# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is no more: its memory in a core file that QEMU wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import gdb

from gdb_kpy.core import qemu_core
from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.target.stub import Stub


class CoreFile(Stub):
    """Stands where a live guest has its gdbstub; nothing runs here."""

    def __init__(self, path: Path, connection: gdb.TargetConnection) -> None:
        super().__init__(cast("gdb.RemoteTargetConnection", connection))
        self._path = path

    @property
    def name(self) -> str:
        """Return the file's name."""
        return str(self._path)

    @contextlib.contextmanager
    def raw(self, settled: bool = False) -> Iterator[None]:
        """Refuse, as there is no stub to talk to."""
        raise NotReadyError(
            "this is a core file, in which nothing runs", "`kpy print` reads its memory"
        )
        yield


def open_core(path: Path) -> tuple[CoreFile, int]:
    """Give GDB the file; return what stands for the stub, and an interrupt table's address."""
    tables = qemu_core.interrupt_tables(path)
    inferior = gdb.selected_inferior()
    if inferior.connection is not None and inferior.connection.is_valid():
        raise NotReadyError(
            f"GDB is already used for something else ({inferior.connection.description})",
            "`detach` or `kill` it, or start another GDB",
        )
    try:
        gdb.execute(f"with confirm off -- core-file {path}", to_string=True)
    except gdb.error as error:
        raise KpyError(f"GDB cannot open {path} ({error})") from None
    connection = inferior.connection
    if connection is None:
        raise KpyError(f"GDB cannot open {path}")
    return CoreFile(path, connection), tables[0]


def close_core() -> None:
    """Let go of the file."""
    with contextlib.suppress(gdb.error):
        gdb.execute("with confirm off -- core-file", to_string=True)
