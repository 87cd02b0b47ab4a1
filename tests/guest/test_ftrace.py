# SPDX-License-Identifier: GPL-2.0-or-later
"""ftrace(target, f): Python in place of kernel functions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

SETUP = "import kernel_ffi as k, time, gc\n"
EINVAL = "OSError: [Errno 22] EINVAL: "
INSMOD = "insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999"


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(SETUP + code)
    assert not err, err
    return out.splitlines()


def test_every_open_is_seen(guest: LiveGuest) -> None:
    """The demo hook prints every opened path; opens made meanwhile are all there."""
    run(
        guest,
        "from kernel_ffi import str as s\n"
        "seen = []\n"
        "def hook(orig, dfd, filename, op):\n"
        "    seen.append(s(p64(filename)))\n"
        "    return orig(dfd, filename, op)\n"
        "h = k.ftrace('do_filp_open', hook)\n",
    )
    guest.sh("for i in 1 2 3 4 5 6 7 8 9; do cat /proc/$i/comm /tmp/none-$i; done")
    lines = run(
        guest,
        "h.rm()\n"
        "for i in range(1, 10):\n"
        "    print(seen.count('/proc/%d/comm' % i), seen.count('/tmp/none-%d' % i))\n"
        "print(len(seen) == h.hits, h.missed, h.last_error)\n",
    )
    assert lines == ["1 1"] * 9 + ["True 0 None"]
    # Nothing is seen any more.
    guest.sh("cat /proc/1/comm")
    assert run(guest, "print(len(seen) == h.hits, h.enabled)") == ["True False"]


def test_results_are_replaced(guest: LiveGuest) -> None:
    """Opens below /proc/<even number> fail with ENOENT."""
    run(
        guest,
        "from kernel_ffi import str as s\n"
        "ENOENT = 2\n"
        "def hide(orig, dfd, filename, op):\n"
        "    name = s(p64(filename))\n"
        "    if name.startswith('/proc/'):\n"
        "        pid = name[6:].split('/')[0]\n"
        "        if pid.isdigit() and not int(pid) & 1: return (1 << 64) - ENOENT\n"
        "    return orig(dfd, filename, op)\n"
        "h = k.ftrace('do_filp_open', hide)\n",
    )
    _, out = guest.sh("for i in 1 2 3 4; do cat /proc/$i/comm 2>&1; done")
    run(guest, "h.rm()")
    lines = out.splitlines()
    assert lines[0] == "init"
    assert lines[1] == "cat: can't open '/proc/2/comm': No such file or directory"
    assert lines[3] == "cat: can't open '/proc/4/comm': No such file or directory"
    assert guest.sh("cat /proc/2/comm") == (0, "kthreadd\n")


@pytest.mark.parametrize(
    ("result", "seen"),
    [("-2", "No such file"), ("(1 << 64) - 13", "Permission denied"), ("-(1 << 63) + 0", None)],
)
def test_negative_results(guest: LiveGuest, result: str, seen: str | None) -> None:
    """Ints of either sign are one 64-bit pattern."""
    if seen is None:
        lines = run(
            guest,
            "with k.ftrace('int_sqrt', lambda orig, x: -(1 << 63)) as h:\n"
            "    print(hex(int_sqrt(9)))\nprint(int_sqrt(81))\n",
        )
        assert lines == ["0x8000000000000000", "9"]
        return
    run(
        guest,
        "from kernel_ffi import str as s\n"
        "def deny(orig, dfd, filename, op):\n"
        f"    if s(p64(filename)) == '/tmp/x-deny': return {result}\n"
        "    return orig(dfd, filename, op)\n"
        "h = k.ftrace('do_filp_open', deny)\n",
    )
    out = guest.sh("cat /tmp/x-deny 2>&1")[1]
    run(guest, "h.rm()")
    assert seen in out


def test_original_many_times_and_with_other_arguments(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "calls = []\n"
        "def twice(orig, x):\n"
        "    calls.append(x)\n"
        "    return orig(100) * 1000 + sorted([3, 1, 2], key=lambda i: orig(i * i))[2] + orig(x)\n"
        "with k.ftrace('int_sqrt', twice) as h:\n"
        "    print(int_sqrt(25), int_sqrt(49), calls, h.hits)\n"
        "print(int_sqrt(25), h.missed)\n",
    )
    assert lines == ["10008 10010 [25, 49] 2", "5 0"]


@pytest.mark.parametrize(
    "handler",
    [
        "lambda orig, x: orig(x) + 1",
        "lambda orig, *a: orig(*a) + 1",
        "lambda orig, x, y=0: orig(x) + 1",
        "Bound().method",
        "Callable()",
        "closure(1)",
        "lambda *a: a[0](a[1]) + (len(a) > 1)",
    ],
)
def test_any_callable_is_a_handler(guest: LiveGuest, handler: str) -> None:
    lines = run(
        guest,
        "class Bound:\n"
        "    def method(self, orig, x): return orig(x) + 1\n"
        "class Callable:\n"
        "    def __call__(self, orig, x): return orig(x) + 1\n"
        "def closure(n):\n"
        "    def f(orig, x): return orig(x) + n\n"
        "    return f\n"
        f"with k.ftrace('int_sqrt', {handler}) as h: print(int_sqrt(25), h.hits, h.last_error)\n",
    )
    assert lines == ["6 1 None"]


def test_exception_runs_the_original_and_disables(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def bad(orig, x):\n"
        "    raise KeyError('no such key')\n"
        "h = k.ftrace(int_sqrt, bad)\n"
        "print(int_sqrt(25), h.enabled, repr(h.last_error))\n"
        "print(int_sqrt(36), h.hits)\n"
        "h.rearm()\n"
        "print(int_sqrt(49), h.hits, h.enabled)\n"
        "h.rm()\n",
    )
    told = [
        "kpy: ftrace hook on int_sqrt disabled by an exception",
        "Traceback (most recent call last):",
        '  File "<stdin>", line 3, in bad',
        "KeyError: no such key",
    ]
    assert lines == [*told, "5 False KeyError('no such key',)", "6 1", *told, "7 2 False"]
    time.sleep(0.3)
    log = guest.sh("dmesg | tail -n 8")[1]
    assert log.count("kpy: KeyError: no such key") == 2
    assert log.count("kpy: ftrace hook on int_sqrt disabled by an exception") == 2


def test_exception_after_the_original_keeps_its_result(guest: LiveGuest) -> None:
    """It does not run a second time."""
    lines = run(
        guest,
        "def bad(orig, x):\n"
        "    orig(400)\n"
        "    1 // 0\n"
        "with k.ftrace('int_sqrt', bad) as h: print(int_sqrt(25))\n",
    )
    assert lines[-1] == "20"


@pytest.mark.parametrize("result", ["[]", "'text'", "b'bytes'", "{}", "1 << 64", "object()"])
def test_a_bad_result_is_an_exception(guest: LiveGuest, result: str) -> None:
    lines = run(
        guest,
        f"with k.ftrace('int_sqrt', lambda orig, x: {result}) as h:\n"
        "    print(int_sqrt(25), h.enabled)\n",
    )
    assert lines[-1] == "5 False"
    assert lines[-2].startswith(("TypeError: the handler returned '", "OverflowError: "))


@pytest.mark.parametrize(("result", "word"), [("None", 0), ("True", 1), ("init_task", None)])
def test_results_that_are_words(guest: LiveGuest, result: str, word: int | None) -> None:
    expected = "int(init_task)" if word is None else str(word)
    lines = run(
        guest,
        f"with k.ftrace('int_sqrt', lambda orig, x: {result}): print(int_sqrt(25) == {expected})\n",
    )
    assert lines == ["True"]


def test_more_than_six_arguments(guest: LiveGuest) -> None:
    """Those behind the sixth are on the stack: do_mmap() gets an empty list and a result there."""
    run(
        guest,
        "got = []\n"
        "def eight(orig, file, addr, length, prot, flags, pgoff, populate, uf):\n"
        "    r = orig(file, addr, length, prot, flags, pgoff, populate, uf)\n"
        "    got.append((p64(uf) == uf == p64(uf + 8), p64(populate) in (0, length)))\n"
        "    return r\n"
        "h = k.ftrace('do_mmap', eight)\n",
    )
    status, _ = guest.sh("cat /proc/version")
    lines = run(guest, "h.rm()\nprint(set(got), len(got) == h.hits > 0, h.last_error)\n")
    assert (status, lines) == (0, ["{(True, True)} True None"])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            "k.ftrace('no_such_function', f)",
            "ValueError: kernel symbol 'no_such_function' not found",
        ),
        ("k.ftrace('memcpy', f)", f"{EINVAL}memcpy cannot be traced: "),
        ("k.ftrace('__schedule', f)", f"{EINVAL}__schedule cannot be traced: "),
        ("k.ftrace('rcu_is_watching', f)", f"{EINVAL}rcu_is_watching cannot be traced: "),
        ("k.ftrace('init_task', f)", f"{EINVAL}init_task is data, not a function"),
        ("k.ftrace('int_sqrt', 7)", "TypeError: 'int' is not callable"),
        ("k.ftrace('int_sqrt', lambda: 0)", "TypeError: the handler must take an argument"),
        ("k.ftrace('int_sqrt')", "TypeError: "),
        ("k.ftrace(8, f)", "ValueError: no kernel symbol at address 0x8"),
        ("k.ftrace([], f)", "TypeError: 'list' is not an address"),
        ("k.ftrace(do_filp_open + 1, f)", f"{EINVAL}do_filp_open+0x1 is not the beginning"),
    ],
)
def test_refusals(guest: LiveGuest, call: str, error: str) -> None:
    out, err = guest.py(SETUP + "def f(orig, *a): return orig(*a)\n" + call)
    assert not out
    assert err.splitlines()[-1].startswith(error)
    assert run(guest, "print(k.hooks())") == ["[]"]


def test_same_function_twice(guest: LiveGuest) -> None:
    """The newer hook comes first; its original is the older one."""
    lines = run(
        guest,
        "a = k.ftrace('int_sqrt', lambda o, x: o(x) + 1)\n"
        "b = k.ftrace(int_sqrt, lambda o, x: o(x) * 10)\n"
        "print(int_sqrt(4)); a.rm(); print(int_sqrt(4)); b.rm(); print(int_sqrt(4))\n",
    )
    assert lines == ["30", "20", "2"]


def test_hook_of_what_the_handler_calls(guest: LiveGuest) -> None:
    """The handler's own call runs the original, and is counted."""
    lines = run(
        guest,
        "def again(orig, x): return int_sqrt(x) + 10\n"
        "with k.ftrace('int_sqrt', again) as h:\n"
        "    print(int_sqrt(25), h.hits, h.recursions, h.missed)\n",
    )
    assert lines == ["15 1 1 1"]


def test_hook_removes_itself(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def once(orig, x):\n"
        "    h.rm()\n"
        "    return orig(x) + 1\n"
        "h = k.ftrace('int_sqrt', once)\n"
        "print(int_sqrt(25), int_sqrt(25), h.hits, k.hooks())\n",
    )
    assert lines == ["6 5 1 []"]


def test_runaway_handler(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def forever(orig, x):\n"
        "    while True: pass\n"
        "with k.ftrace('int_sqrt', forever) as h: print(int_sqrt(25), repr(h.last_error))\n",
    )
    assert lines[-1] == "5 TimeoutError('ran too long',)"


def test_time_in_the_original_does_not_count(guest: LiveGuest) -> None:
    """A handler may block in the original for longer than its own budget."""
    lines = run(
        guest,
        "def slow(orig, ms):\n"
        "    r = orig(ms)\n"
        "    for i in range(1000): pass\n"
        "    return r\n"
        "with k.ftrace('msleep', slow) as h:\n"
        "    msleep(1500)\n"
        "    print(h.hits, h.last_error, h.enabled, h.total_ns < 1000000000)\n",
    )
    assert lines == ["1 None True True"]


def block_in_open(guest: LiveGuest) -> None:
    """Leave a task in do_filp_open(), where it waits for a writer of a FIFO."""
    guest.sh("rm -f /tmp/fifo /tmp/got /tmp/up; mkfifo /tmp/fifo")
    guest.sh(
        "setsid sh -c 'echo >/tmp/up; cat /tmp/fifo >/tmp/got; echo rc=$? >>/tmp/got' "
        "</dev/null >/dev/null 2>&1 & sleep 1; until [ -e /tmp/up ]; do sleep 0.2; done; sleep 1"
    )


def test_removal_with_a_task_in_the_original(guest: LiveGuest) -> None:
    """rm() returns at once; the task comes back from the original as if unhooked."""
    run(
        guest,
        "def hook(orig, dfd, filename, op): return orig(dfd, filename, op)\n"
        "h = k.ftrace('do_filp_open', hook)\n",
    )
    block_in_open(guest)
    run(
        guest,
        "h.rm()\ndel h, hook\ngc.collect()\nx = [[str(i)] for i in range(2000)]\ngc.collect()",
    )
    assert guest.sh("echo hi >/tmp/fifo; sleep 0.5; cat /tmp/got") == (0, "hi\nrc=0\n")


def test_rmmod_with_a_task_in_the_original(guest: LiveGuest) -> None:
    """It refuses after 5 s, names hook and task, and works once the task is out."""
    run(
        guest,
        "def hook(orig, dfd, filename, op): return orig(dfd, filename, op)\n"
        "h = k.ftrace('do_filp_open', hook)\n",
    )
    block_in_open(guest)
    status, out = guest.sh("rmmod kpy")
    assert status
    assert "Device or resource busy" in out
    log = guest.sh("dmesg | tail -n 3")[1]
    assert "kpy: ftrace hook on do_filp_open: task cat (pid " in log
    assert "does not return: it is in do_filp_open" in log
    assert guest.sh("echo hi >/tmp/fifo; sleep 0.5; cat /tmp/got") == (0, "hi\nrc=0\n")
    assert guest.sh(f"rmmod kpy && {INSMOD}")[0] == 0
    assert run(guest, "print(k.hooks())") == ["[]"]


def test_typed_arguments(guest: LiveGuest) -> None:
    """Numbers have the width and sign of the prototype, structs are Ptr, const char * is str."""
    run(
        guest,
        "got = []\n"
        "def opened(orig, dfd, name, op):\n"
        "    r = orig(dfd, name, op)\n"
        "    got.append((dfd, type(name), type(r), k.str(p64(name))))\n"
        "    return r\n"
        "h = k.ftrace('do_filp_open', opened, typed=True)\n"
        "names = []\n"
        "def looked_up(r, name, *a): names.append((r, name))\n"
        "w = k.kprobe('kern_path', k.KP_RETURN, looked_up, typed=True)\n"
        "p = bytearray(16)\n"
        "kern_path('/proc/version', 0, p); path_put(p)\n"
        "kern_path('/no/such', 0, p)\n",
    )
    guest.sh("cat /proc/version")
    lines = run(
        guest,
        "h.rm(); w.rm()\n"
        "print([g for g in got if g[3] == '/proc/version'][0][:3])\n"
        "print(names[:2], h.last_error, w.last_error)\n",
    )
    assert lines == [
        "(-100, <class 'StructPtr'>, <class 'StructPtr'>)",
        "[(0, '/proc/version'), (-2, '/no/such')] None None",
    ]


def test_star_args_are_those_of_the_prototype(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "n = []\n"
        "def f(orig, *a):\n"
        "    n.append(len(a))\n"
        "    return orig(*a)\n"
        "def g(orig, x, y=8):\n"
        "    n.append(y)\n"
        "    return orig(x)\n"
        "with k.ftrace('int_sqrt', f): int_sqrt(4)\n"
        "with k.ftrace('int_sqrt', g): int_sqrt(4)\n"
        "print(n)\n"
        "try: k.ftrace('entry_SYSCALL_64', f, typed=True)\n"
        "except (OSError, ValueError) as e: print(type(e).__name__)\n"
        "try: k.ftrace('int_sqrt', f, other=1)\n"
        "except TypeError as e: print(e)\n",
    )
    assert lines == ["[1, 8]", "OSError", "the only keyword argument is typed"]


def test_tracepoint(guest: LiveGuest) -> None:
    """sched_process_exec(task, old_pid, bprm), once for each program that starts."""
    run(
        guest,
        "got = []\n"
        "def f(task, old_pid, bprm): got.append((type(task), old_pid, type(bprm), int(task)))\n"
        "h = k.tracepoint('sched_process_exec', f)\n",
    )
    guest.sh("/bin/true; /bin/true")
    lines = run(
        guest,
        "n = len(got)\n"
        "h.rm()\n"
        "print(n >= 2, h.hits == n, h.missed, h.last_error)\n"
        "print(got[0][0], got[0][1] > 1, got[0][2])\n"
        "print(h)\n",
    )
    assert lines[:2] == ["True True 0 None", "<class 'StructPtr'> True <class 'StructPtr'>"]
    assert lines[2].startswith("<tracepoint hook on sched_process_exec")
    _, err = guest.py(SETUP + "k.tracepoint('no_such_tracepoint', lambda: 0)")
    assert err.splitlines()[-1] == "ValueError: no tracepoint 'no_such_tracepoint'"
