# SPDX-License-Identifier: GPL-2.0-or-later
"""A person at the REPL: the terminal's keys go to the guest, the guest's text comes back."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import termios
import tty
from typing import TYPE_CHECKING

from guest.say import UserError, note

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVE = b"\x1d"  # Ctrl-]
SILENCE = 1.0


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Pass keys on as they are, Ctrl-C too; restore the terminal whatever happens."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def talk(host: str, port: int) -> int:
    """Connect the terminal with a REPL until one side ends."""
    try:
        peer = socket.create_connection((host, port), 10)
    except OSError as error:
        raise UserError(f"nothing answers at {host}:{port}: {error}") from error
    if os.isatty(0):
        note("Python in the guest's kernel; Ctrl-] leaves, Ctrl-C interrupts, Ctrl-E pastes")
    with peer, _raw(0):
        peer.settimeout(None)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        watched = [peer, sys.stdin]
        while True:
            ended = sys.stdin not in watched
            ready = select.select(watched, [], [], SILENCE if ended else None)[0]
            if not ready:
                break
            if peer in ready:
                data = peer.recv(65536)
                if not data:
                    break
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            if sys.stdin in ready:
                keys = os.read(0, 4096)
                before, left, _ = keys.partition(LEAVE)
                if before:
                    peer.sendall(before)
                if left and os.isatty(0):
                    break
                if not keys:
                    # A pipe has ended: show what the guest still says, then go.
                    watched = [peer]
    if os.isatty(1):
        print()
    return 0
