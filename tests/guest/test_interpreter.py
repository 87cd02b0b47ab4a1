# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C in every kind of wait, what gc and micropython tell, and tests_mode."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from test_repl import INSMOD, PROMPT, Friendly

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(1000)",
        "import time\nwhile True: time.sleep_ms(1)",
        "import _thread; l = _thread.allocate_lock(); l.acquire(); l.acquire()",
        "import sys; sys.stdin.read(10)",
        "for i in range(1 << 62): pass",
        "def f():\n while True:\n  try: pass\n  finally: pass\nf()",
        "while True: sorted(range(1000), key=lambda x: -x)",
        "while True: [0] * 100000",
        "import gc\nwhile True: gc.collect()",
        (
            "import deflate, io\nd = deflate.DeflateIO(io.BytesIO(), deflate.RAW, 15)\n"
            "while True: d.write(bytes(100000))"
        ),
        "while True: print(end='')",
        # One call of a builtin that takes minutes: it searches through all of the set each time.
        "set(range(50000)) | set(range(50000, 100000))",
        "sorted(range(500000))",
    ],
)
def test_ctrl_c_ends_every_wait(guest: LiveGuest, code: str) -> None:
    with Friendly(guest) as repl:
        repl.start(code)
        time.sleep(0.3)
        repl.send(b"\x03")
        assert b"KeyboardInterrupt" in repl.until(PROMPT)
        assert repl.line("6 * 7") == ["42"]


def test_every_thread_has_its_turns(guest: LiveGuest) -> None:
    """Those that compute keep the token, those that call and sleep give it away all the time."""
    out, err = guest.py(
        "import _thread, time\n"
        "empty = symbol('nr_iowait')\n"
        "works = [lambda: None, lambda: None, empty, empty, lambda: time.sleep_ms(1)]\n"
        "turns = [0] * len(works)\n"
        "ended = []\n"
        "def work(me):\n"
        "    while min(turns) < 100:\n"
        "        works[me]()\n"
        "        turns[me] += 1\n"
        "    ended.append(me)\n"
        "for i in range(len(works)): _thread.start_new_thread(work, (i,))\n"
        "while len(ended) < len(works): time.sleep_ms(1)\n"
        "print(min(turns) >= 100, sorted(ended))\n",
        timeout=120,
    )
    assert (out, err) == ("True [0, 1, 2, 3, 4]\n", "")


def test_gc_and_micropython_tell(guest: LiveGuest) -> None:
    out, err = guest.py(
        "import gc, micropython\n"
        "gc.collect(); before = gc.mem_alloc()\n"
        "kept = bytearray(100000); grown = gc.mem_alloc() - before\n"
        "print(100000 <= grown < 110000, gc.mem_alloc() + gc.mem_free() > 7000000)\n"
        "gc.disable(); print(gc.isenabled()); gc.enable(); print(gc.isenabled())\n"
        "print(gc.threshold() > 0, micropython.stack_use() > 0)\n"
        "micropython.heap_lock(); print(micropython.heap_locked())\n"
        "try: print(len([0] * 100))\n"
        "except MemoryError: micropython.heap_unlock(); print('locked')\n"
        "micropython.mem_info(); micropython.qstr_info()\n"
    )
    assert not err, err
    lines = out.splitlines()
    assert lines[:6] == ["True True", "False", "True", "True True", "1", "locked"]
    assert any(line.startswith("GC: total:") for line in lines)
    assert any(line.startswith("stack:") for line in lines)
    assert any(line.startswith("qstr pool:") for line in lines)


def test_tests_mode(guest: LiveGuest) -> None:
    """Ctrl-D is a soft reset that keeps the connection; no auto globals; hooks go."""
    assert guest.sh(f"rmmod kpy && {INSMOD} tests_mode=1")[0] == 0
    try:
        with Friendly(guest) as repl:
            assert any("NameError" in line for line in repl.line("jiffies_64"))
            assert repl.line("kept = 5; import kernel_ffi; kernel_ffi.auto_globals(True)") == []
            assert repl.line("p64(jiffies_64) > 0") == ["True"]
            repl.line("hits = []")
            repl.line("hook = lambda orig, *a: (hits.append(1), orig(*a))[1]")
            repl.line("h = kernel_ffi.ftrace('do_filp_open', hook)")
            guest.sh("cat /proc/version")
            assert repl.line("len(hits) > 0") == ["True"]
            repl.send(b"\x04")
            assert b"MPY: soft reboot" in repl.until(PROMPT)
            assert any("NameError" in line for line in repl.line("kept"))
            assert any("NameError" in line for line in repl.line("jiffies_64"))
            assert guest.sh("cat /proc/version")[0] == 0
            assert (
                "do_filp_open"
                not in guest.sh("cat /sys/kernel/tracing/enabled_functions || true")[1]
            )
    finally:
        assert guest.sh(f"rmmod kpy && {INSMOD}")[0] == 0
    assert guest.py("print(p64(jiffies_64) > 0)") == ("True\n", "")


def test_sorting_what_is_sorted(guest: LiveGuest) -> None:
    """In the time of any other order; with the last element as pivot it took minutes."""
    out, err = guest.py(
        "n = 30000\n"
        "for l in (list(range(n)), list(range(n, 0, -1)), [5] * n, [i % 7 for i in range(n)]):\n"
        "    s = sorted(l)\n"
        "    print(len(s), all(s[i] <= s[i + 1] for i in range(n - 1)))\n"
        "print(sorted([3, 1, 2], reverse=True), sorted('hello', key=lambda c: -ord(c)))\n",
        120,
    )
    assert not err
    assert out == "30000 True\n" * 4 + "[3, 2, 1] ['o', 'l', 'l', 'h', 'e']\n"


def test_a_list_that_is_sorted_is_nobody_elses(guest: LiveGuest) -> None:
    out, err = guest.py(
        "l = [3, 1, 2]\n"
        "seen = []\n"
        "def key(v):\n"
        "    seen.append(len(l))\n"
        "    return v\n"
        "l.sort(key=key)\n"
        "print(l, set(seen))\n"
        "def bad(v):\n"
        "    l.append(v)\n"
        "    return v\n"
        "try: l.sort(key=bad)\n"
        "except ValueError as e: print(e)\n"
        "print(sorted(l))\n"
        "try: l.sort(key=lambda v: {}[v])\n"
        "except KeyError: print(sorted(l))\n",
    )
    assert not err
    assert out == "[1, 2, 3] {0}\nlist modified during sort\n[1, 2, 3]\n[1, 2, 3]\n"


def test_members_of_structs_after_a_soft_reset(guest: LiveGuest) -> None:
    """Names have other numbers then: what was found by them before is not taken for another."""
    members = ("normal_prio", "nr_cpus_allowed", "exit_signal", "policy", "static_prio")
    begin = b"t = lookup_struct('task_struct')(symbol('init_task'))"
    assert guest.sh(f"rmmod kpy && {INSMOD} tests_mode=1")[0] == 0
    try:
        with Friendly(guest) as repl:
            seen = []
            for order in (members, members[::-1], members[2:] + members[:2]):
                repl.line(begin.decode())
                found = {name: repl.line(f"t.{name}") for name in order}
                seen.append(dict(sorted(found.items())))
                repl.send(b"\x04")
                assert b"MPY: soft reboot" in repl.until(PROMPT)
            assert seen[0]["normal_prio"] == ["120"] and seen[0]["nr_cpus_allowed"] == ["1"]
            assert seen[0] == seen[1] == seen[2]
    finally:
        assert guest.sh(f"rmmod kpy && {INSMOD}")[0] == 0
