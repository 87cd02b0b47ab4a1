# SPDX-License-Identifier: GPL-2.0-or-later
"""What nobody should do to an interpreter, least of all to one in the kernel.

Each ends in an error, the REPL answers afterwards, and the kernel's log stays clean (the shared
guest's fixture looks at the end).
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from test_repl import INSMOD, PROMPT, Friendly

from guest.repl import ReplError

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


@pytest.fixture(autouse=True)
def alive(guest: LiveGuest) -> Iterator[None]:
    """Afterwards a new session computes, and nothing is left of the others' tasks."""
    yield
    guest.sh(f"grep -q '^kpy ' /proc/modules || {INSMOD}")
    deadline = time.monotonic() + 30
    while True:
        try:
            assert guest.py("import gc\ngc.collect()\nprint(6 * 7)") == ("42\n", "")
            break
        except ReplError:  # all sessions are still ending
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.parametrize(
    "code",
    [
        "def f(n): return f(n + 1)\nf(0)",
        "f = lambda n: f(n + 1)\nf(0)",
        "class A:\n def __add__(s, o): return s + o\nA() + 1",
        "class A:\n def __getattr__(s, n): return getattr(s, n + 'x')\nA().y",
        "class A:\n def __repr__(s): return repr(s)\nrepr(A())",
        "class A:\n def __eq__(s, o): return s == o\nA() == A()",
        "class A:\n def __iter__(s): return iter(s)\nlist(A())",
        "def f(x): return sorted([1, 2], key=f)\nf(0)",
        "def f(): return list(map(lambda x: f(), [1]))\nf()",
        "l = []\nl.append(l)\nl == [l]",
        "l = []\nfor i in range(2000): l = [l]\nprint(len(repr(l)))",
        "d = {}\nfor i in range(2000): d = {0: d}\nprint(len(str(d)))",
        "eval('(' * 3000 + ')' * 3000)",
        "eval('-' * 5000 + '1')",
        "exec('if 1:\\n' + ''.join(' ' * i + 'if 1:\\n' for i in range(1, 300)))",
        "s = 'eval(s)'\neval(s)",
        "def f():\n try: f()\n finally: pass\nf()",
        "def g(): yield from g()\nlist(g())",
        "import json\njson.loads('[' * 5000 + ']' * 5000)",
        "import re\nre.match('(a*)*b', 'a' * 3000)",
        "import re\nre.compile('(' * 3000)",
        "import re\nre.compile('(?:' * 3000 + ')' * 3000)",
        "t = ()\nfor i in range(3000): t = (t,)\nhash(t)",
        "t = u = ()\nfor i in range(3000): t, u = (t,), (u,)\nt == u",
        "t = u = ()\nfor i in range(3000): t, u = (t,), (u,)\nt < u",
        "t = u = 0\nfor i in range(3000): t, u = [t], [u]\nsorted([t, u])",
        (
            "C = type('C', (), {})\n"
            "for i in range(500): C = type('C', (C, type('D', (), {})), {})\n"
            "C().x"
        ),
        (
            "C = type('C', (), {})\n"
            "for i in range(500): C = type('C', (C, type('D', (), {})), {})\n"
            "issubclass(C, int)"
        ),
        (
            "import io\ns = io.BytesIO()\n"
            "for i in range(1000): s = io.BufferedWriter(s, 8)\n"
            "s.write(b'x' * 100)"
        ),
        (
            "import deflate, io\ns = io.BytesIO(bytes(1000))\n"
            "for i in range(200): s = deflate.DeflateIO(s, deflate.RAW, 8)\n"
            "s.read()"
        ),
        "import uctypes\nd = {'a': 0}\nfor i in range(1000): d = {'a': (0, d)}\nuctypes.sizeof(d)",
        "d = e = 0\nfor i in range(3000): d, e = {0: d}, {0: e}\nd == e",
        "s = t = 0\nfor i in range(3000): s, t = frozenset([s]), frozenset([t])\ns == t",
        "i = iter([1])\nfor k in range(2000): i = zip(i)\nnext(i)",
        "eval('[' * 3000 + ']' * 3000)",
        "eval('f(' * 3000 + ')' * 3000)",
        "eval('1 if 0 else ' * 3000 + '1')",
        "exec('(' * 500 + 'x' + ',)' * 500 + ' = 1')",
        "exec('del ' + '(' * 500 + 'x' + ',)' * 500)",
        "eval('1 and (' * 1000 + '1' + ')' * 1000 + ' and 1')",
    ],
)
def test_deep_recursion(guest: LiveGuest, code: str) -> None:
    """Through Python, through C, in the compiler and the printer."""
    failures = guest.sh("dmesg | grep -c 'interpreter failed'")[1]
    _, err = guest.py(code, timeout=120)
    if err:
        last = err.strip().splitlines()[-1].split(":")[0]
        wrong_only = ("AttributeError", "TypeError", "NameError", "OSError")  # and no recursion
        known = ("RuntimeError", "SyntaxError", "MemoryError", "ValueError", *wrong_only)
        assert last in known, err
    assert guest.sh("dmesg | grep -c 'interpreter failed'")[1] == failures


def test_raise_in_del(guest: LiveGuest) -> None:
    """MicroPython calls no __del__ of user classes, and must not stumble over one."""
    out, err = guest.py(
        "import gc\n"
        "class A:\n"
        "    def __del__(self): raise ValueError('from del')\n"
        "def f():\n"
        "    for i in range(50): A()\n"
        "f()\n"
        "for i in range(3): gc.collect()\n"
        "print('alive')\n"
    )
    assert (out, err) == ("alive\n", "")


def test_big_integers_can_be_interrupted(guest: LiveGuest) -> None:
    """A million digits: they end or Ctrl-C ends them, and no CPU is reported as locked up."""
    for code in (
        "x = 10 ** 1000000\nprint('done')\nwhile True: pass",
        "x = 7 ** 100000\nprint('done')\nwhile True: x * x",
        "print(len(str(3 ** 100000)))\nwhile True: pass",
    ):
        with guest.repl() as repl:
            repl._send(code.encode() + b"\x04")
            time.sleep(3)
            started = time.monotonic()
            repl._send(b"\x03")
            repl._until(b"KeyboardInterrupt", time.monotonic() + 120)
            took = time.monotonic() - started
            print(f"{code.splitlines()[0]}: Ctrl-C took {took:.1f} s")
    assert not [line for line in guest.trouble() if "lockup" in line or "stall" in line]


def test_exhaustion_from_two_threads(guest: LiveGuest) -> None:
    out, err = guest.py(
        "import _thread, time, gc\n"
        "done = []\n"
        "def eat(size):\n"
        "    l = None\n"
        "    n = 0\n"
        "    try:\n"
        "        while True:\n"
        "            l = [l, bytearray(size)]\n"
        "            n += 1\n"
        "    except MemoryError:\n"
        "        l = None\n"
        "    finally:\n"
        "        done.append(n)\n"
        "done = [0] * 0\n"
        "_thread.start_new_thread(eat, (100,))\n"
        "_thread.start_new_thread(eat, (5000,))\n"
        "for i in range(3000):\n"
        "    if len(done) == 2: break\n"
        "    time.sleep_ms(20)\n"
        "gc.collect()\n"
        "print(len(done), min(done) > 0, gc.mem_free() > 4000000)\n",
        timeout=120,
    )
    assert (out, err) == ("2 True True\n", "")


def test_exceptions_that_cannot_be_printed(guest: LiveGuest) -> None:
    out, err = guest.py(
        "class Bad(Exception):\n"
        "    def __str__(self): raise Bad()\n"
        "    def __repr__(self): raise Bad()\n"
        "try:\n"
        "    str(Bad())\n"
        "except Bad:\n"
        "    print('caught')\n"
        "import _thread, time\n"
        "def f(): raise Bad('in a thread')\n"
        "_thread.start_new_thread(f, ())\n"
        "time.sleep_ms(300)\n"
        "print('alive')\n"
    )
    assert err == ""
    assert out.startswith("caught\n")
    assert out.endswith("alive\n")
    with Friendly(guest) as repl:
        repl.send(
            b"class Worse(Exception):\r def __str__(self): raise self\r__repr__ = __str__\r\r\r"
        )
        repl.until(PROMPT)
        repl.send(b"raise Worse()\r")
        repl.send(b"6 * 7\r")
        repl.until(b"\n42\r\n")


def test_threads_that_raise_and_exit(guest: LiveGuest) -> None:
    out, err = guest.py(
        "import _thread, time, sys\n"
        "n = [0]\n"
        "def boom(i):\n"
        "    n[0] += 1\n"
        "    raise ValueError('thread %d' % i)\n"
        "def leave(how):\n"
        "    n[0] += 1\n"
        "    how()\n"
        "for i in range(5): _thread.start_new_thread(boom, (i,))\n"
        "_thread.start_new_thread(leave, (sys.exit,))\n"
        "_thread.start_new_thread(leave, (_thread.exit,))\n"
        "for i in range(200):\n"
        "    if n[0] == 7: break\n"
        "    time.sleep_ms(20)\n"
        "time.sleep_ms(300)\n"
        "print('alive', n[0])\n"
    )
    assert err == ""
    assert out.count("ValueError: thread") == 5
    assert out.rstrip().endswith("alive 7")
    assert "SystemExit" not in out


def test_abandoned_generators(guest: LiveGuest) -> None:
    out, err = guest.py(
        "import gc\n"
        "def g():\n"
        "    try:\n"
        "        while True: yield bytearray(1000)\n"
        "    finally:\n"
        "        raise ValueError\n"
        "def f():\n"
        "    for i in range(500):\n"
        "        x = g()\n"
        "        next(x)\n"
        "for i in range(5): f()\n"
        "gc.collect()\n"
        "print('alive')\n"
    )
    assert (out, err) == ("alive\n", "")


def test_session_closes_while_its_threads_print(guest: LiveGuest) -> None:
    """They go on into dmesg; those that wait for room in a session's ring must not wake in it."""
    for _ in range(6):
        repl = guest.repl()
        repl.exec(
            "import _thread, time\n"
            "go_on = True\n"
            "def chat(n):\n"
            "    for i in range(n):\n"
            "        print('x' * 2000)\n"
            "for i in range(4): _thread.start_new_thread(chat, (60,))\n"
        )
        # Nobody reads: the rings and the socket fill up, the threads wait.
        time.sleep(0.6)
        linger = struct.pack("ii", 1, 0)
        repl.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        repl.close()
    deadline = time.monotonic() + 60
    while "{kpy-" in guest.sh("ps | sed 's/\\[/{/' | grep '{kpy-[0-9]'")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    guest.sh("dmesg -c > /tmp/chatter; grep -E 'WARNING|BUG|lockup' /tmp/chatter && dmesg -n 5")
    assert guest.sh("grep -cE 'WARNING|BUG:|lockup|Call Trace' /tmp/chatter")[1] == "0\n"


@pytest.mark.timeout(400)
def test_garbage_in_a_thousand_connections(guest: LiveGuest) -> None:
    """100,000 random bytes, half of the connections closed midway, in bounded time."""
    host, port = str(guest.info["repl"]).rsplit(":", 1)
    rng = random.Random(3)
    started = time.monotonic()
    for number in range(1000):
        with socket.create_connection((host, int(port)), timeout=20) as peer:
            peer.settimeout(20)
            data = rng.randbytes(100)
            try:
                peer.sendall(data[: rng.randrange(1, 100)] if number % 2 else data)
                if number % 4 == 1:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif number % 4 == 3:
                    peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused: too many sessions
        time.sleep(0.02)  # QEMU's own listen queue is short: what overflows it waits a second
    assert time.monotonic() - started < 300
    deadline = time.monotonic() + 30
    while "kpy-repl" in guest.sh("ps")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_port_in_use(guest: LiveGuest) -> None:
    assert guest.sh("rmmod kpy")[0] == 0
    # The guest's shell agent listens there.
    status, out = guest.sh("insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:2222")
    assert status != 0
    assert "ddress" in out or "in use" in out, out
    assert "server_addr=0.0.0.0:2222: cannot listen there" in guest.sh("dmesg | tail -n 3")[1]


@pytest.mark.parametrize("size", ["0", "1", "262143", "1099511627776", "18446744073709551615"])
def test_heap_sizes_refused(guest: LiveGuest, size: str) -> None:
    assert guest.sh("rmmod kpy")[0] == 0
    status, _ = guest.sh(f"insmod /lib/kpy/kpy.ko heap_size={size}")
    assert status != 0
    assert f"heap_size={size}: expected" in guest.sh("dmesg | tail -n 1")[1]


@pytest.mark.parametrize("size", [262144, 262147, 500001])
def test_small_heaps_serve(guest: LiveGuest, size: int) -> None:
    assert guest.sh(f"rmmod kpy && {INSMOD} heap_size={size}")[0] == 0
    try:
        out, err = guest.py(
            "l = []\ntry:\n  while True: l.append(l[:] + [1])\n"
            "except MemoryError: l = None\nprint('ok')"
        )
        assert (out, err) == ("ok\n", "")
    finally:
        guest.sh(f"rmmod kpy && {INSMOD}")


def test_lines_without_end(guest: LiveGuest) -> None:
    """A line longer than memory, in the line editor and in the raw REPL."""
    for start in (b"", b"\x01", b"\x05"):
        host, port = str(guest.info["repl"]).rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20) as peer:
            peer.settimeout(0.2)
            peer.sendall(start)
            sent = 0
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline and sent < 12 << 20:
                with contextlib.suppress(TimeoutError, socket.timeout):
                    sent += peer.send(b"x" * 65536)
                try:
                    while peer.recv(1 << 20):
                        pass
                except (TimeoutError, socket.timeout):
                    pass


def test_others_allocate_while_a_finaliser_runs(guest: LiveGuest) -> None:
    """That of a file gives the GIL up; what others get meanwhile is theirs."""
    out, err = guest.py(
        "import _thread, gc, time\n"
        "stop = []\n"
        "faults = []\n"
        "def worker(me):\n"
        "    rounds = 0\n"
        "    while not stop:\n"
        "        l = [[me, i, str(i) + 'x', bytearray(i % 40)] for i in range(300)]\n"
        "        for i, (who, n, s, b) in enumerate(l):\n"
        "            if who != me or n != i or s != str(i) + 'x' or len(b) != i % 40 or any(b):\n"
        "                faults.append((me, i))\n"
        "                return\n"
        "        rounds += 1\n"
        "for i in range(3): _thread.start_new_thread(worker, (i,))\n"
        "def make():\n"
        "    for i in range(20): open('/tmp/dropped', 'w').write('x')\n"
        "for i in range(15):\n"
        "    make()\n"
        "    gc.collect()\n"
        "stop.append(1)\n"
        "time.sleep_ms(300)\n"
        "print('faults', faults)\n",
        timeout=120,
    )
    assert (out, err) == ("faults []\n", "")


def test_code_that_only_raises_lets_others_run(guest: LiveGuest) -> None:
    """It never branches back and never returns, and it swallows Ctrl-C: 2^depth calls."""
    stuck = guest.repl()
    stuck._send(b"def f():\n try: f()\n finally: f()\nf()\x04")
    time.sleep(1)
    started = time.monotonic()
    assert guest.py("print(6 * 7)")[0] == "42\n"
    assert time.monotonic() - started < 10
    assert guest.sh(f"rmmod kpy && {INSMOD}", timeout=60)[0] == 0
    stuck.close()
