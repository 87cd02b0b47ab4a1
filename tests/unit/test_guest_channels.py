# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients of a guest's REPL, shell agent and monitor, against servers that are difficult."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest.agent import Agent, AgentError
from guest.monitor import monitor
from guest.repl import PROMPT, Repl, ReplError
from guest.say import UserError

Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(handler: Handler, family: int = socket.AF_INET, where: str = "") -> Iterator[int]:
    """Serve each connection with `handler`, in its own thread."""
    listener = socket.socket(family)
    listener.bind(where or ("127.0.0.1", 0))
    listener.listen()

    def serve(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            handler(peer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield 0 if where else listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def slowly(peer: socket.socket, data: bytes) -> None:
    """Send byte by byte, so that every place is a border between two reads."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(data)):
        peer.sendall(data[at : at + 1])
        if at % 7 == 0:
            time.sleep(0.0005)


def until(peer: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        block = peer.recv(1)
        if not block:
            raise ConnectionResetError
        data += block
    return data


class FakeRepl:
    """A raw REPL that answers what it is told to."""

    def __init__(self, out: bytes = b"", err: bytes = b"", hang: bool = False) -> None:
        self.out, self.err, self.hang = out, err, hang
        self.code: list[bytes] = []

    def __call__(self, peer: socket.socket) -> None:
        slowly(peer, b"MicroPython friendly\r\n>>> ")
        until(peer, b"\x01")
        slowly(peer, b"\r\n" + PROMPT)
        while True:
            self.code.append(until(peer, b"\x04")[:-1])
            slowly(peer, b"OK" + self.out)
            if self.hang:
                until(peer, b"\x03")
                slowly(peer, b"\x04KeyboardInterrupt\r\n\x04>")
            else:
                slowly(peer, b"\x04" + self.err + b"\x04>")


def test_repl_output_comes_as_it_is_made() -> None:
    pieces: list[bytes] = []
    fake = FakeRepl("one\r\ntwo\rä\r\n".encode())
    with server(fake) as port, Repl("127.0.0.1", port) as repl:
        assert repl.exec("code\n", sink=pieces.append) == ("one\ntwo\rä\n", "")
        assert repl.exec("again") == ("one\ntwo\rä\n", "")
    assert fake.code == [b"code\n", b"again"]
    assert b"".join(pieces) == "one\ntwo\rä\n".encode()
    assert len(pieces) > 2


def test_repl_exception() -> None:
    with server(FakeRepl(b"x", b"Traceback\r\nKeyError: 1\r\n")) as port:
        assert Repl("127.0.0.1", port).exec("x") == ("x", "Traceback\nKeyError: 1\n")


def test_repl_source_with_control_characters() -> None:
    fake = FakeRepl()
    with server(fake) as port:
        Repl("127.0.0.1", port).exec("x = '\x03\x04ä'")
    assert fake.code == [b"exec(\"x = '\\x03\\x04\\xe4'\")"]


def test_repl_timeout_interrupts() -> None:
    with server(FakeRepl(b"tick\r\n", hang=True)) as port, Repl("127.0.0.1", port) as repl:
        with pytest.raises(ReplError, match=r"did not end within 0\.2 s"):
            repl.exec("loop", timeout=0.2)
        # The session is in step again.
        with pytest.raises(ReplError, match=r"did not end within 0\.1 s"):
            repl.exec("loop", timeout=0.1)


def test_repl_that_hangs_up_or_is_silent() -> None:
    with server(lambda peer: None) as port, pytest.raises(ReplError, match="is the module loaded"):
        Repl("127.0.0.1", port)
    with (
        server(lambda peer: time.sleep(5)) as port,
        pytest.raises(ReplError, match="does not answer: is the module loaded"),
    ):
        Repl("127.0.0.1", port, timeout=0.2)
    with pytest.raises(ReplError, match="nothing answers at"):
        Repl("127.0.0.1", port, timeout=0.2)


class FakeAgent:
    """An agent that answers what it is told to."""

    def __init__(self, output: bytes = b"", status: int = 0, marker: bool = True) -> None:
        self.output, self.status, self.marker = output, status, marker
        self.seen: list[tuple[str, str, bytes]] = []

    def __call__(self, peer: socket.socket) -> None:
        token = until(peer, b"\n").decode().strip()
        kind, marker, script = until(peer, b"\n").decode().split()
        data = b""
        if kind == "input":
            while block := peer.recv(65536):
                data += block
        self.seen.append((token, base64.b64decode(script).decode(), data))
        slowly(peer, self.output)
        if self.marker:
            slowly(peer, f"{marker} {self.status}\n".encode())


@pytest.mark.parametrize("output", [b"", b"text\n", b"no newline", bytes(range(256)), b"0123" * 20])
@pytest.mark.parametrize("status", [0, 7, 137])
def test_agent_output_and_status(output: bytes, status: int) -> None:
    fake = FakeAgent(output, status)
    with server(fake) as port:
        assert Agent(port, "secret").run("echo 'ä'\n\n", 5) == (status, output)
    assert fake.seen == [("secret", "echo 'ä'\n\n", b"")]


def test_agent_streams() -> None:
    with server(FakeAgent(b"line\n" * 200)) as port:
        parts = list(Agent(port, "t").stream("x", 5))
    assert parts[-1] == 0
    assert b"".join(part for part in parts if isinstance(part, bytes)) == b"line\n" * 200
    assert len(parts) > 3


def test_agent_that_hangs_up_or_is_silent() -> None:
    with server(FakeAgent(b"x", marker=False)) as port, pytest.raises(AgentError, match="hung up"):
        Agent(port, "t").run("x", 5)
    with (
        server(lambda peer: time.sleep(5)) as port,
        pytest.raises(AgentError, match=r"did not end within 0\.2 s"),
    ):
        Agent(port, "t").run("x", 0.2)
    with pytest.raises(AgentError, match="does not answer"):
        Agent(port, "t").run("x", 0.2)


def test_push(tmp_path: Path) -> None:
    source = tmp_path / "it's"
    source.write_bytes(bytes(range(256)) * 1000)
    fake = FakeAgent()
    with server(fake) as port:
        Agent(port, "t").push(source, "/tmp/a b")
    _, script, data = fake.seen[0]
    assert data == source.read_bytes()
    assert "d='/tmp/a b'" in script
    assert "head -c 256000" in script


def test_push_failures(tmp_path: Path) -> None:
    source = tmp_path / "x"
    with pytest.raises(UserError, match="cannot read"):
        Agent(1, "t").push(source, "/tmp")
    source.write_text("x")
    with (
        server(FakeAgent(b"sh: can't create /no/x: nonexistent directory\n", 1)) as port,
        pytest.raises(UserError, match=r"cannot write /no/x in the guest: .*nonexistent"),
    ):
        Agent(port, "t").push(source, "/no/x")


def test_monitor(tmp_path: Path) -> None:
    def handler(peer: socket.socket) -> None:
        peer.sendall(b"QEMU 7.2 monitor\r\n(qemu) ")
        command = until(peer, b"\n")
        peer.sendall(
            b"i\x1b[K\x1b[Din\x1b[K" + command[:-1] + b"\x1b[K\r\nVM status: running\r\n(qemu) "
        )

    path = str(tmp_path / "monitor.sock")
    with server(handler, socket.AF_UNIX, path):
        assert monitor(path, "info status") == "VM status: running"
    with pytest.raises(UserError, match="does not answer"):
        monitor(tmp_path / "none.sock", "info status")
