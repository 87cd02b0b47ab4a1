# SPDX-License-Identifier: GPL-2.0-or-later
"""rmmod at bad moments, the token, /dev/kpy, and kernel calls that nothing wakes."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from test_repl import INSMOD, PROMPT, Friendly

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


@pytest.fixture(autouse=True)
def loaded(guest: LiveGuest) -> Iterator[None]:
    """Leave the module loaded, as the other tests expect it."""
    yield
    guest.sh(f"grep -q '^kpy ' /proc/modules || {INSMOD}")


def reload(guest: LiveGuest, parameters: str = "") -> None:
    assert guest.sh(f"rmmod kpy && {INSMOD} {parameters}")[0] == 0


def test_second_ctrl_c_leaves_an_unkillable_call_behind(guest: LiveGuest) -> None:
    """And rmmod refuses within its 5 s, names the task, and works once the call is over."""
    with Friendly(guest) as stuck:
        started = time.monotonic()
        stuck.start("msleep(12000)")
        time.sleep(0.2)
        stuck.send(b"\x03")
        time.sleep(0.3)
        stuck.send(b"\x03")
        with pytest.raises(EOFError) as end:
            stuck.until(b"never printed")
        said = end.value.args[0].decode()
        assert "stays behind in msleep until that returns" in said
        task = said.split("kpy: ")[1].split()[0]
    with Friendly(guest) as other:
        assert other.line("6 * 7") == ["42"]
        status, out = guest.sh("time -f %e rmmod kpy")
        assert status != 0
        assert "Device or resource busy" in out
        assert 4.5 < float(out.split()[-1]) < 8
        log = guest.sh("dmesg | tail -n 3")[1]
        assert f"(task {task}, pid " in log
        assert "does not end: it is in msleep" in log
    # The REPL is open again after the refusal.
    with Friendly(guest) as other:
        assert other.line("7 * 7") == ["49"]
    time.sleep(max(0.0, 12.5 - (time.monotonic() - started)))
    assert task not in guest.sh("ps")[1]
    reload(guest)


def test_device_speaks_the_same_protocol(guest: LiveGuest) -> None:
    status, out = guest.sh("stat -c '%a %F' /dev/kpy")
    assert (status, out) == (0, "600 character special file\n")
    script = (
        "exec 3<>/dev/kpy; printf 'shared_by_dev = 6 * 7\\r' >&3; printf 'shared_by_dev\\r' >&3; "
        "(timeout 1 cat <&3) ; printf '\\004' >&3; cat <&3; exec 3>&-"
    )
    _, out = guest.sh(script)
    assert "kpy in the Linux kernel" in out
    assert "\n42\r\n>>> " in out
    assert guest.py("print(shared_by_dev)")[0] == "42\n"


def test_open_device_is_named_when_rmmod_refuses(guest: LiveGuest) -> None:
    _, out = guest.sh("exec 3<>/dev/kpy; echo pid $$; rmmod kpy; echo status $?; exec 3>&-")
    assert "status 1" in out
    pid = out.split()[1]
    assert f"(pid {pid}) has /dev/kpy open" in guest.sh("dmesg | tail -n 1")[1]
    time.sleep(0.5)
    reload(guest)


def test_token_comes_first(guest: LiveGuest) -> None:
    reload(guest, "auth_token=open-sesame")
    host, port = str(guest.info["repl"]).rsplit(":", 1)
    for first, answer in (
        (b"nonsense\r\n", b"kpy: wrong token\r\n"),
        (b"open-sesam\r\n", b"kpy: wrong token\r\n"),
        (b"open-sesame!\r\n", b"kpy: wrong token\r\n"),
        (b"\r\n", b"kpy: wrong token\r\n"),
        (b"x" * 5000, b""),
    ):
        assert talk(host, int(port), first) == answer
    good = talk(host, int(port), b"open-sesame\r\nprint('in', 6 * 7)\r\x04")
    assert b"\r\nin 42\r\n" in good
    # Nobody but root may read it.
    mode = guest.sh("stat -c %a /sys/module/kpy/parameters/auth_token")[1]
    assert mode == "400\n"
    reload(guest)


def talk(host: str, port: int, data: bytes) -> bytes:
    """Send, and return all that comes until the other side hangs up."""
    with socket.create_connection((host, port), timeout=15) as connection:
        connection.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while block := connection.recv(4096):
                answer += block
        return answer


def test_garbage_on_the_port(guest: LiveGuest) -> None:
    """Random bytes in many connections, each cut off: the REPL is alive afterwards."""
    host, port = str(guest.info["repl"]).rsplit(":", 1)
    rng = random.Random(20)
    for _ in range(150):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(rng.randbytes(rng.randrange(1, 200)))
    deadline = time.monotonic() + 60
    while True:
        try:
            with Friendly(guest) as repl:
                repl.send(b"\x02")
                repl.until(PROMPT)
                assert repl.line("6 * 7") == ["42"]
                return
        except (EOFError, TimeoutError, ConnectionError):
            # All 8 sessions are still ending, or this connection was lost in the crowd.
            assert time.monotonic() < deadline
            time.sleep(0.2)
