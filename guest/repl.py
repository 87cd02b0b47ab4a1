# SPDX-License-Identifier: GPL-2.0-or-later
"""The raw REPL: run Python in a guest's kernel from a program.

One connection is one session; its names live as long as the interpreter does.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

from guest.say import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[[bytes], None]

PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
CTRL_A, CTRL_C, CTRL_D = b"\x01", b"\x03", b"\x04"


class ReplError(UserError):
    """The REPL did not answer as it should."""


class Repl:
    """A session in the raw mode of the REPL."""

    def __init__(self, host: str, port: int, timeout: float = 10) -> None:
        self.where = f"{host}:{port}"
        self.pending = b""
        try:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise ReplError(f"nothing answers at {self.where}: {error}") from error
        try:
            self._send(b"\r" + CTRL_C + b"\r" + CTRL_A)
            self._until(PROMPT, time.monotonic() + timeout)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Repl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exec(
        self, code: str, timeout: float | None = 60, sink: Sink | None = None
    ) -> tuple[str, str]:
        """Run Python code; return (output, exception text), the latter empty when all is well.

        `sink` gets the output as it comes.
        """
        out, err = self.exec_bytes(code.encode(), timeout, sink)
        return out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def exec_bytes(
        self, code: bytes, timeout: float | None = 60, sink: Sink | None = None
    ) -> tuple[bytes, bytes]:
        """Run Python code given as bytes."""
        deadline = time.monotonic() + timeout if timeout else None
        if re.search(rb"[\x01-\x05]", code):
            # These bytes are commands to the raw REPL itself.
            code = b"exec(" + ascii(code.decode("utf-8", "replace")).encode() + b")"
        self._send(code + CTRL_D)
        answer = self._read(2, deadline)
        if answer != b"OK":
            raise ReplError(f"the REPL at {self.where} answered {answer!r} instead of OK")
        try:
            out = self._until(CTRL_D, deadline, sink)
            err = self._until(CTRL_D, deadline)
            self._until(b">", deadline)
        except TimeoutError:
            self.interrupt()
            raise ReplError(f"the code did not end within {timeout:g} s: interrupted it") from None
        return out.replace(b"\r\n", b"\n"), err.replace(b"\r\n", b"\n")

    def start(self, code: str) -> None:
        """Run code that does not end by itself: `interrupt()` ends it."""
        self._send(code.encode() + CTRL_D)
        answer = self._read(2, time.monotonic() + 10)
        if answer != b"OK":
            raise ReplError(f"the REPL at {self.where} answered {answer!r} instead of OK")

    def interrupt(self, seconds: float = 3) -> tuple[bytes, bytes]:
        """Send Ctrl-C to running code; return what it still said."""
        self._send(CTRL_C)
        deadline = time.monotonic() + seconds
        try:
            out = self._until(CTRL_D, deadline)
            err = self._until(CTRL_D, deadline)
            self._until(b">", deadline)
        except TimeoutError:
            # It does not react; a new session is better than a confused one.
            self.close()
            return b"", b""
        return out.replace(b"\r\n", b"\n"), err.replace(b"\r\n", b"\n")

    def close(self) -> None:
        """End the session."""
        self.socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self.socket.settimeout(None)
            self.socket.sendall(data)
        except OSError as error:
            raise ReplError(f"lost the REPL at {self.where}: {error}") from error

    def _fill(self, deadline: float | None) -> None:
        left = deadline - time.monotonic() if deadline else None
        if left is not None and left <= 0:
            raise TimeoutError
        try:
            self.socket.settimeout(left)
            block = self.socket.recv(65536)
        except socket.timeout:
            raise TimeoutError from None
        except ConnectionResetError:
            block = b""
        except OSError as error:
            raise ReplError(f"lost the REPL at {self.where}: {error}") from error
        if not block:
            raise ReplError(f"the REPL at {self.where} hung up: is the module loaded?")
        self.pending += block

    def _read(self, size: int, deadline: float | None) -> bytes:
        try:
            while len(self.pending) < size:
                self._fill(deadline)
        except TimeoutError:
            raise ReplError(f"the REPL at {self.where} does not answer") from None
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def _until(self, end: bytes, deadline: float | None, sink: Sink | None = None) -> bytes:
        """Return what comes before `end`; `sink` gets it piece by piece, with plain newlines."""
        parts = b""
        while True:
            before, found, after = self.pending.partition(end)
            if found:
                self.pending = after
                if sink:
                    sink(before.replace(b"\r\n", b"\n"))
                return parts + before
            # Keep what may be the beginning of the end, or of a line end.
            keep = len(end) - 1 if len(end) > 1 else int(self.pending.endswith(b"\r"))
            ready = self.pending[: max(0, len(self.pending) - keep)]
            if ready:
                self.pending = self.pending[len(ready) :]
                parts += ready
                if sink:
                    sink(ready.replace(b"\r\n", b"\n"))
            try:
                self._fill(deadline)
            except TimeoutError:
                if end == PROMPT:
                    raise ReplError(
                        f"the REPL at {self.where} does not answer: is the module loaded?"
                    ) from None
                raise
