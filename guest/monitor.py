# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's human monitor, over the guest's private socket."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from guest.say import UserError

PROMPT = b"(qemu) "


def monitor(path: str | Path, command: str, timeout: float = 10) -> str:
    """Give the monitor one command and return its answer.

    Works while the guest is stopped; one client at a time, so others wait.
    """
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout)
            peer.connect(str(path))
            _until_prompt(peer)
            peer.sendall(command.encode() + b"\n")
            answer = _until_prompt(peer)
    except OSError as error:
        raise UserError(f"QEMU's monitor at {path} does not answer: {error}") from error
    # The monitor edits its line as one types: what counts comes after the first line end.
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", answer.decode("utf-8", "replace"))
    return text.replace("\r", "").partition("\n")[2].strip("\n")


def _until_prompt(peer: socket.socket) -> bytes:
    data = b""
    while not data.endswith(PROMPT):
        block = peer.recv(65536)
        if not block:
            raise ConnectionResetError("it hung up")
        data += block
    return data[: -len(PROMPT)]
