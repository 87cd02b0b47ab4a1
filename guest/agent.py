# SPDX-License-Identifier: GPL-2.0-or-later
"""The private shell channel into a guest; the other end is rootfs/agent.

One TCP connection per command, through QEMU's user network, bound to the loopback interface and
opened with a random token. The output ends with a random marker and the exit status; whoever
hangs up before that ends the command.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import select
import shlex
import socket
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from guest.paths import read_json
from guest.say import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guest.registry import Guest

CONNECT_SECONDS = 10.0


class AgentError(UserError):
    """The guest's shell agent did not answer as it should."""


class Agent:
    """Runs commands in one guest."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token

    @classmethod
    def of(cls, guest: Guest) -> Agent:
        """Return the agent of a registered guest."""
        data: dict[str, Any] = read_json(guest.folder / "agent.json") or {}
        if "port" not in data or "token" not in data:
            raise AgentError(
                f"{guest.folder}/agent.json is missing: start guest '{guest.name}' anew"
            )
        return cls(int(data["port"]), str(data["token"]))

    def stream(
        self,
        script: str,
        timeout: float | None = None,
        send: Callable[[socket.socket], None] | None = None,
    ) -> Iterator[bytes | int]:
        """Run a shell script; yield its output as it comes, at last its exit status.

        With `send`, that function provides the script's input.
        """
        deadline = time.monotonic() + timeout if timeout else None
        marker = secrets.token_hex(16).encode()
        kind = "input" if send else "run"
        # The agent reads lines byte by byte, so nothing of the input behind them gets lost.
        encoded = base64.b64encode(script.encode()).decode()
        head = f"{self.token}\n{kind} {marker.decode()} {encoded}\n".encode()
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), CONNECT_SECONDS)
        except OSError as error:
            raise AgentError(f"the guest's shell agent does not answer: {error}") from error
        with connection:
            pending = b""
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(head)
                if send:
                    send(connection)
                    connection.shutdown(socket.SHUT_WR)
                while True:
                    left = deadline - time.monotonic() if deadline else None
                    if left is not None and left <= 0:
                        raise AgentError(f"the command did not end within {timeout:g} s: ended it")
                    if not select.select([connection], [], [], left)[0]:
                        continue
                    block = connection.recv(65536)
                    pending += block
                    status = _status(pending, marker)
                    if status is not None:
                        at = pending.rindex(marker)
                        if at:
                            yield pending[:at]
                        yield status
                        return
                    if not block:
                        raise AgentError("the guest's shell agent hung up")
                    # What could be the start of the end marker is kept for the next round.
                    keep = len(marker) + 8
                    if marker[:1] in pending[-keep:]:
                        ready, pending = pending[:-keep], pending[-keep:]
                    else:
                        ready, pending = pending, b""
                    if ready:
                        yield ready
            except (ConnectionError, socket.timeout) as error:
                raise AgentError(f"lost the guest's shell agent: {error}") from error

    def run(self, script: str, timeout: float | None = 60) -> tuple[int, bytes]:
        """Run a shell script and return (exit status, output)."""
        output = b""
        for part in self.stream(script, timeout):
            if isinstance(part, int):
                return part, output
            output += part
        raise AgentError("the guest's shell agent hung up")

    def push(self, source: Path, target: str) -> None:
        """Copy a file into the guest; it appears there complete or not at all."""
        try:
            stream = source.open("rb")
            size = source.stat().st_size
        except OSError as error:
            raise UserError(f"cannot read {source}: {error.strerror}") from error
        script = (
            f'd={shlex.quote(target)}; [ -d "$d" ] && d=$d/{shlex.quote(source.name)}\n'
            f't="$d.kpy$$"; head -c {size} >"$t" && [ "$(stat -c %s "$t")" = {size} ]'
            f' && chmod {source.stat().st_mode & 0o777:o} "$t" && mv "$t" "$d"'
            ' || { rm -f "$t"; exit 1; }\n'
        )
        with stream:
            output, status = b"", 1
            for part in self.stream(script, None, lambda peer: _send_file(peer, stream)):
                if isinstance(part, int):
                    status = part
                else:
                    output += part
        if status:
            complaint = output.decode("utf-8", "replace").strip().splitlines()
            raise UserError(
                f"cannot write {target} in the guest: {complaint[-1] if complaint else 'no space?'}"
            )


def _status(data: bytes, marker: bytes) -> int | None:
    """Return the exit status when the end marker is complete."""
    _, found, rest = data.rpartition(marker)
    return int(rest) if found and rest.endswith(b"\n") and rest.strip().isdigit() else None


def _send_file(peer: socket.socket, stream: BinaryIO) -> None:
    peer.settimeout(CONNECT_SECONDS)
    # When the guest's side gives up early, its output says why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        peer.sendfile(stream)
    peer.settimeout(None)
