# SPDX-License-Identifier: GPL-2.0-or-later
"""Python entered from softirq and hardirq context: timer() and irq_work()."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

SETUP = "import kernel_ffi as k, time, gc\n"


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(SETUP + code)
    assert not err, err
    return out.splitlines()


def test_contexts(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "seen = {}\n"
        "def note(): seen[k.context()] = seen.get(k.context(), 0) + 1\n"
        "a = k.timer(10, note); b = k.irq_work(note)\n"
        "time.sleep_ms(100)\n"
        "note()\n"
        "print(sorted(seen.items()))\n"
        "print(a.hits, a.missed, a.enabled, a.last_error, a.total_ns > 0, a.kind, b.kind)\n"
        "a.rm(); b.rm()\n",
    )
    assert lines == [
        "[('hardirq', 1), ('process', 1), ('softirq', 1)]",
        "1 0 True None True timer irq_work",
    ]


def test_periodic_timer_counts_all_while_python_is_busy(guest: LiveGuest) -> None:
    """Python's own count equals the hits, though a session computes and collects meanwhile.

    A tick in a window of the collector, which keeps the GIL, is missed, and counted.
    """
    lines = run(
        guest,
        "n = [0]\n"
        "def tick(): n[0] += 1\n"
        "t = k.timer(4, tick, True)\n"
        "end = time.ticks_add(time.ticks_ms(), 500)\n"
        "good = 0\n"
        "while time.ticks_diff(end, time.ticks_ms()) > 0:\n"
        "    x = [[j, str(j), {j: j}] for j in range(50)]\n"
        "    good += all(str(i) == s and d == {i: i} and i == d[i] for i, s, d in x) - 1\n"
        "    gc.collect()\n"
        "t.rm()\n"
        "time.sleep_ms(50)\n"
        "before = n[0]\n"
        "time.sleep_ms(50)\n"
        "print(good, t.hits == n[0], n[0] == before, t.hits + t.missed > 20)\n",
    )
    assert lines == ["0 True True True"]


def test_exception_disables_and_is_told(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def bad(): {}['no such key']\n"
        "h = k.irq_work(bad)\n"
        "time.sleep_ms(50)\n"
        "print(h.enabled, repr(h.last_error), h.hits)\n"
        "h.rearm()\n"
        "time.sleep_ms(50)\n"
        "print(h.hits, h.enabled)\n"
        "h.rm()\n",
    )
    told = [
        "kpy: irq_work hook disabled by an exception",
        "Traceback (most recent call last):",
        '  File "<stdin>", line 2, in bad',
        "KeyError: no such key",
    ]
    assert lines == [*told, "False KeyError('no such key',) 1", *told, "2 False"]


def test_runaway_handler_is_stopped(guest: LiveGuest) -> None:
    """In atomic context after 50 ms, also when it catches what stops it."""
    lines = run(
        guest,
        "def loop():\n"
        "    while True: pass\n"
        "def stubborn():\n"
        "    while True:\n"
        "        try:\n"
        "            while True: pass\n"
        "        except BaseException:\n"
        "            pass\n"
        "begin = time.ticks_ms()\n"
        "a = k.timer(1, loop)\n"
        "time.sleep_ms(150)\n"
        "b = k.irq_work(stubborn)\n"
        "time.sleep_ms(300)\n"
        "print(a.enabled, repr(a.last_error), b.enabled, 'alive')\n"
        "a.rm(); b.rm()\n",
    )
    assert lines[-1] == "False TimeoutError('ran too long',) False alive"


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("time.sleep_ms(1)", "RuntimeError('cannot sleep in this context',)"),
        (
            "__import__('_thread').start_new_thread(print, ())",
            "RuntimeError('cannot start a thread in this context',)",
        ),
        (
            "__import__('no_such_module_here')",
            "RuntimeError('no files here: this context must not sleep',)",
        ),
        ("taken.acquire()", "RuntimeError('the lock is taken and this context cannot sleep',)"),
    ],
)
def test_what_would_sleep_is_refused(guest: LiveGuest, action: str, error: str) -> None:
    lines = run(
        guest,
        "import _thread\n"
        "taken = _thread.allocate_lock(); taken.acquire()\n"
        "for make in (k.irq_work, lambda f: k.timer(1, f)):\n"
        f"    h = make(lambda: {action})\n"
        "    time.sleep_ms(60)\n"
        "    print('->', repr(h.last_error))\n"
        "    h.rm()\n"
        "taken.release()\n",
    )
    assert [line[3:] for line in lines if line.startswith("->")] == [error, error]


def test_output_of_hooks_reaches_their_session_in_order(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "n = [0]\n"
        "def tell():\n"
        "    n[0] += 1\n"
        "    print('tick', n[0], k.context())\n"
        "t = k.timer(4, tell, True)\n"
        "time.sleep_ms(200)\n"
        "t.rm()\n"
        "time.sleep_ms(50)\n"
        "print('end', n[0])\n",
    )
    count = int(lines[-1].split()[1])
    assert count > 5
    assert lines[:-1] == [f"tick {i} softirq" for i in range(1, count + 1)]


def test_hooks_outlive_their_session_and_print_to_dmesg(guest: LiveGuest) -> None:
    run(guest, "later = k.timer(300, lambda: print('said', 'late'))\n")
    guest.sh("sleep 0.6")
    log = guest.sh("dmesg | grep -v 'grep' | tail -n 3")[1]
    assert "kpy: said late" in log
    run(guest, "later.rm()")


def test_dropped_and_removed_hooks_are_gone(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def f(): pass\n"
        "before = len(k.hooks())\n"
        "with k.timer(1000, f) as t:\n"
        "    print(len(k.hooks()) - before, t in k.hooks())\n"
        "print(len(k.hooks()) - before, repr(t).endswith(', 0 hits, removed>'))\n"
        "try:\n"
        "    t.rearm()\n"
        "except ValueError as e:\n"
        "    print(e)\n"
        "try:\n"
        "    k.timer(1, 7)\n"
        "except TypeError as e:\n"
        "    print(e)\n",
    )
    assert lines == ["1 True", "0 True", "the hook was removed", "'int' is not callable"]
    # Many that nobody holds: the collector removes all but what a stale word may still name.
    out = run(
        guest,
        "def make():\n"
        "    for i in range(100): k.timer(100000, f)\n"
        "make()\n"
        "x = [[str(i)] for i in range(3000)]; x = None\n"
        "gc.collect()\n"
        "time.sleep_ms(100)\n"
        "print(len(k.hooks()) <= 5)\n",
    )
    assert out == ["True"]


def test_unload_with_hooks_armed(guest: LiveGuest) -> None:
    run(
        guest,
        "n = [0]\ndef tick(): n[0] += 1\nt = k.timer(4, tick, True)\nu = k.timer(99999, tick)\n",
    )
    status, out = guest.sh(
        "rmmod kpy && sleep 0.3 && insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999; echo $?"
    )
    assert (status, out) == (0, "0\n")
    assert run(guest, "print(k.hooks())") == ["[]"]
