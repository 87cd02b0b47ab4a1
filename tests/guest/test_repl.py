# SPDX-License-Identifier: GPL-2.0-or-later
"""The REPL over TCP: sessions, interruption, unloading."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

PROMPT = b"\n>>> "
INSMOD = "insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999"


class Friendly:
    """A person's session, at the prompt."""

    def __init__(self, guest: LiveGuest) -> None:
        host, port = str(guest.info["repl"]).rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.unread = b""
        self.banner = self.until(b">>> ")

    def __enter__(self) -> Friendly:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def until(self, end: bytes) -> bytes:
        while end not in self.unread:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(self.unread)
            self.unread += data
        found, self.unread = self.unread.split(end, 1)
        return found

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def start(self, code: str) -> None:
        """Type code that does not end, and wait until it runs."""
        self.send(f"exec({('print(5 * 111)' + chr(10) + code)!r})\r".encode())
        self.until(b"\r\n555\r\n")

    def line(self, text: str) -> list[str]:
        """Type a line; return what it printed."""
        self.send(text.encode() + b"\r")
        return self.until(PROMPT).decode().replace("\r", "").splitlines()[1:]


def test_banner_names_the_place(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        assert b"MicroPython" in repl.banner
        assert b"kpy in the Linux kernel" in repl.banner


def test_sessions_share_globals_but_not_output(guest: LiveGuest) -> None:
    with Friendly(guest) as one, Friendly(guest) as two:
        assert one.line("shared = 41") == []
        assert two.line("shared + 1") == ["42"]
        assert two.line("_") == ["42"]
        two.send(b"print('only here')\r")
        assert one.line("1 + 1") == ["2"]
        assert b"only here" in two.until(PROMPT)


def test_line_editors_of_sessions_are_separate(guest: LiveGuest) -> None:
    with Friendly(guest) as one, Friendly(guest) as two:
        one.send(b"print('left")
        two.send(b"print('right")
        one.send(b"', 1)\r")
        two.send(b"', 2)\r")
        assert b"left 1" in one.until(PROMPT)
        assert b"right 2" in two.until(PROMPT)


def test_ctrl_c_stops_a_loop_and_a_sleep(guest: LiveGuest) -> None:
    with Friendly(guest) as repl, Friendly(guest) as other:
        for code in ("while True: pass", "msleep_interruptible(100000)"):
            repl.start(code)
            # The other session works meanwhile.
            assert other.line("6 * 7") == ["42"]
            repl.send(b"\x03")
            assert b"KeyboardInterrupt" in repl.until(PROMPT)
        assert repl.line("'alive'") == ["'alive'"]


def test_ctrl_c_may_be_typed_ahead(guest: LiveGuest) -> None:
    """What comes in one piece with the code it is for interrupts that code, and nothing else."""
    with Friendly(guest) as repl:
        for _ in range(20):
            repl.send(b"while True: pass\r\r\x03")
            assert b"KeyboardInterrupt" in repl.until(PROMPT)
            repl.send(b"unfinished(\x03")
            repl.until(PROMPT)
            assert repl.line("6 * 7") == ["42"]
    with guest.repl() as raw:

        def answer(sent: bytes) -> tuple[bytes, bytes]:
            raw._send(sent)
            deadline = time.monotonic() + 20
            assert raw._read(2, deadline) == b"OK"
            parts = [raw._until(end, deadline) for end in (b"\x04", b"\x04", b">")]
            return parts[0], parts[1]

        for n in range(60):
            code = (b"while True: pass", b"msleep_interruptible(100000)")[n % 2]
            out, err = answer(code + b"\x04\x03")
            assert out == b""
            assert err.rstrip().endswith(b"KeyboardInterrupt:")
            assert answer(b"half a line\x03print(%d)\x04" % n) == (b"%d\r\n" % n, b"")


def test_paste_mode(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        repl.send(b"\x05")
        repl.until(b"=== ")
        repl.send(b"def f(n):\r    return n * 3\r\rprint(f(5))\r\x04")
        assert repl.until(PROMPT).endswith(b"=== \r\n15\r")


def test_long_output_arrives_whole(guest: LiveGuest) -> None:
    out, err = guest.py("print('z' * 300000)\nprint('end')")
    assert not err
    assert out == "z" * 300000 + "\nend\n"


def test_ninth_session_is_refused_in_one_line(guest: LiveGuest) -> None:
    sessions = [Friendly(guest) for _ in range(8)]
    try:
        with pytest.raises(EOFError) as refused:
            Friendly(guest)
        assert refused.value.args[0] == b"kpy: too many sessions, close one first\r\n"
    finally:
        for session in sessions:
            session.socket.close()
    deadline = time.monotonic() + 10
    while True:  # the kernel threads take a moment to end
        try:
            with Friendly(guest) as repl:
                assert repl.line("1") == ["1"]
                return
        except EOFError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_many_sessions_compute_at_once(guest: LiveGuest) -> None:
    """Each builds and checks objects while all collect: nothing is lost or mixed up."""
    with Friendly(guest) as a, Friendly(guest) as b, Friendly(guest) as c:
        work = (
            "sum(all([str(j), {j: j}] == x for j, x in enumerate("
            "[[str(j), {j: j}] for j in range(200)])) for i in range(20))"
        )
        for _ in range(5):
            for repl in (a, b, c):
                repl.send(f"{work}; __import__('gc').collect() >= 0\r".encode())
            for repl in (a, b, c):
                assert repl.until(PROMPT).decode().replace("\r", "").splitlines()[1:] == [
                    "20",
                    "True",
                ]


def test_unload_under_load(guest: LiveGuest) -> None:
    """Sessions in a loop and in a sleep do not hold rmmod; nothing of the module stays."""
    with Friendly(guest) as one, Friendly(guest) as two:
        one.send(b"import _thread, time\r")
        one.until(PROMPT)
        one.send(b"_thread.start_new_thread(time.sleep, (1000,))\r")
        one.until(PROMPT)
        one.start("while True: pass")
        two.start("msleep_interruptible(100000)")
        try:
            status, out = guest.sh("rmmod kpy && ps | grep -c '[[]kpy'", timeout=30)
            assert (status, out) == (1, "0\n")
            assert guest.sh("grep -c '\\[kpy\\]' /proc/kallsyms")[1] == "0\n"
        finally:
            guest.sh(f"lsmod | grep -q kpy || {INSMOD}")
    out, err = guest.py("print(6 * 7)")
    assert (out, err) == ("42\n", "")


def test_bad_parameters_are_one_line(guest: LiveGuest) -> None:
    guest.sh("rmmod kpy")
    try:
        for parameter, line in (
            ("server_addr=nonsense", "server_addr=nonsense: expected IP:PORT"),
            ("server_addr=1.2.3.4:99999", "server_addr=1.2.3.4:99999: expected IP:PORT"),
            ("heap_size=1000", "heap_size=1000: expected "),
            ("heap_size=1000000000000", "heap_size=1000000000000: expected "),
        ):
            status, out = guest.sh(f"insmod /lib/kpy/kpy.ko {parameter}")
            assert status != 0
            assert "Invalid argument" in out or "invalid parameter" in out, out
            assert f"kpy: {line}" in guest.sh("dmesg | tail -n 1")[1]
        # An address that is not ours to listen on.
        status, out = guest.sh("insmod /lib/kpy/kpy.ko server_addr=1.2.3.4:99")
        assert status != 0
        assert "cannot listen there" in guest.sh("dmesg | tail -n 1")[1]
        # No TCP at all.
        assert guest.sh("insmod /lib/kpy/kpy.ko server_addr=")[0] == 0
        assert "kpy-server" not in guest.sh("ps")[1]
        guest.sh("rmmod kpy")
    finally:
        guest.sh(f"lsmod | grep -q kpy || {INSMOD}")
    assert guest.py("print(1)")[0] == "1\n"


def test_load_and_unload_leave_nothing(guest: LiveGuest) -> None:
    """20 times, with Python run in between: vmalloc memory is where it was."""

    def vmalloc_used() -> int:
        _, out = guest.sh("grep VmallocUsed /proc/meminfo")
        return int(out.split()[1])

    cycle = f"rmmod kpy && {INSMOD}"
    assert guest.sh(cycle)[0] == 0
    before = vmalloc_used()
    for _ in range(20):
        assert guest.sh(cycle)[0] == 0
        assert guest.py("print(sum(range(100)))")[0] == "4950\n"
    time.sleep(0.5)
    after = vmalloc_used()
    assert abs(after - before) <= 64, (before, after)


def test_import_reads_the_guests_files(guest: LiveGuest) -> None:
    guest.sh("printf 'def twice(x):\\n    return 2 * x\\nanswer = twice(21)\\n' > /tmp/mymod.py")
    out, err = guest.py(
        "import sys\nsys.path.append('/tmp')\nimport mymod\nprint(mymod.answer, mymod.twice(5))"
    )
    assert (out, err) == ("42 10\n", "")
    _, err = guest.py("import no_such_module")
    assert "ImportError: no module named 'no_such_module'" in err


def test_deep_recursion_is_an_exception(guest: LiveGuest) -> None:
    out, err = guest.py(
        "def f(n):\n"
        "    return f(n + 1)\n"
        "class A:\n"
        "    def __add__(self, other):\n"
        "        return self + other\n"
        "for g in (lambda: f(0), lambda: A() + 1):\n"
        "    try:\n"
        "        g()\n"
        "    except RuntimeError as e:\n"
        "        print('caught')\n"
    )
    assert (out, err) == ("caught\ncaught\n", "")


def test_hang_up_in_the_middle_of_input(guest: LiveGuest) -> None:
    """A half-typed line, block or script is dropped with its session, and never run."""
    guest.py("ran = 0")
    for typed in (b"ran = 1", b"if True:\r    ran = 2\r", b"\x01ran = 3", b"\x05ran = 4\r"):
        with Friendly(guest) as repl:
            repl.send(typed)
            time.sleep(0.2)
    time.sleep(0.5)
    assert guest.py("print(ran)") == ("0\n", "")
    assert "kpy-repl" not in guest.sh("sleep 0.3; ps")[1]
