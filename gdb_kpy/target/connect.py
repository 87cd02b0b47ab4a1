# SPDX-License-Identifier: GPL-2.0-or-later
"""Connecting GDB to a gdbstub, with errors that say what to do."""

from __future__ import annotations

import contextlib
import re
import stat
import time
from pathlib import Path

import gdb

from gdb_kpy.core.errors import NotReadyError
from gdb_kpy.target.stub import Stub

_START = "start a guest (`python3 -m guest up`), or give its name or socket"
_ANSWER_SECONDS = 3
_LEAVING_SECONDS = 2  # in which a debugger that has just ended is gone
_CONNECTED = "03"  # in /proc/net/unix
_HOST_PORT = re.compile(r"^(tcp:)?\[?[\w.:-]*\]?:\d+$")


def connect(address: str) -> tuple[Stub, bool]:
    """Connect to a unix socket or HOST:PORT; an existing connection to it is kept.

    The second value says whether the connection is a new one.
    """
    connection = gdb.selected_inferior().connection
    if isinstance(connection, gdb.RemoteTargetConnection) and connection.is_valid():
        if _same(connection.details or "", address):
            return _checked(Stub(connection)), False
        leave()
    elif connection is not None and connection.is_valid():
        raise NotReadyError(
            f"GDB is already used for something else ({connection.description})",
            "`detach` or `kill` it, or start another GDB",
        )
    _check_socket(address)
    try:
        _execute(f"target remote {address}")
    except gdb.error as error:
        raise _explain(address, str(error)) from None
    connection = gdb.selected_inferior().connection
    if not isinstance(connection, gdb.RemoteTargetConnection):
        raise NotReadyError(f"{address} did not answer like a gdbstub", _START)
    return _checked(Stub(connection)), True


def leave() -> None:
    """Let the guest run on without us."""
    with contextlib.suppress(gdb.error):
        _execute("detach")


def _checked(stub: Stub) -> Stub:
    thread = gdb.selected_thread()
    if thread is None:
        raise NotReadyError(f"{stub.name} has no vCPU", _START)
    return stub


def _same(connected: str, address: str) -> bool:
    if connected == address:
        return True
    with contextlib.suppress(OSError):
        return Path(connected).samefile(address)
    return False


def _check_socket(address: str) -> None:
    """Refuse early what GDB would report cryptically."""
    if _HOST_PORT.match(address):
        return
    try:
        mode = Path(address).stat().st_mode
    except OSError as error:
        raise NotReadyError(
            f"no running guest or socket {address} ({error.strerror})", _START
        ) from None
    if not stat.S_ISSOCK(mode):
        raise NotReadyError(f"{address} is not a socket", _START)
    # QEMU serves one debugger. A second one would wait in vain, and stop the guest later.
    end = time.monotonic() + _LEAVING_SECONDS
    while _in_use(address):
        if time.monotonic() > end:
            raise NotReadyError(f"another debugger is attached at {address}", "`detach` it first")
        time.sleep(0.1)


def _in_use(socket: str) -> bool:
    """Say whether somebody is connected to a unix socket of this machine."""
    names = {socket, str(Path(socket).resolve())}
    try:
        lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[5] == _CONNECTED and words[7] in names:
            return True
    return False


def _explain(address: str, error: str) -> NotReadyError:
    text = error.rstrip(".")
    if "refused" in text or "No such file" in text:
        return NotReadyError(f"nothing listens at {address}", _START)
    if any(word in text for word in ("imed out", "packet error", "respond", "unexpectedly")):
        return NotReadyError(
            f"{address} does not answer like a gdbstub ({text})",
            "is another debugger attached to this guest?",
        )
    return NotReadyError(f"cannot connect to {address} ({text})", _START)


def _execute(command: str) -> None:
    # Without retries a port where nobody listens is told at once; the stop is not news.
    quiet = "with tcp auto-retry off -- with suppress-cli-notifications on -- "
    gdb.execute(f"with remotetimeout {_ANSWER_SECONDS} -- {quiet}{command}", to_string=True)
