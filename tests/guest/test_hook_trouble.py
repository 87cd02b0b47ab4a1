# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks that are wrong, get in each other's way, or end with their task; and that nothing leaks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from conftest import LiveGuest, build_module

from guest import registry
from guest.agent import Agent

pytestmark = pytest.mark.guest

SETUP = "import kernel_ffi as k, time, gc\n"
INSMOD = "insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999"
EINVAL = "OSError: [Errno 22] EINVAL: "
EBUSY = 16


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(SETUP + code)
    assert not err, err
    return out.splitlines()


def refusal(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(SETUP + "def f(*a): return a[0](*a[1:])\n" + code)
    assert not out
    assert run(guest, "print(k.hooks())") == ["[]"]
    return err.splitlines()[-1]


@pytest.fixture(scope="module")
def module(guest: LiveGuest, tmp_path_factory: pytest.TempPathFactory) -> LiveGuest:
    """The guest with witness.ko in /tmp: calls counted in C."""
    ko = build_module("witness", tmp_path_factory.mktemp("witness"))
    Agent.of(registry.running(guest.name)).push(ko, "/tmp/witness.ko")
    return guest


@contextlib.contextmanager
def counting(guest: LiveGuest, targets: str, how: str = "ftrace") -> Iterator[None]:
    """With witness.ko loaded for these functions."""
    assert guest.sh(f"insmod /tmp/witness.ko targets={targets} how={how}") == (0, "")
    try:
        yield
    finally:
        # A hook that was just removed holds the module until nobody is on the way into it.
        again = "for i in 1 2 3 4 5 6 7 8 9; do rmmod witness 2>/dev/null && break; sleep 0.5; done"
        assert guest.sh(f"{again}; ! grep witness /proc/modules") == (0, "")


@pytest.fixture
def witness(module: LiveGuest) -> Iterator[LiveGuest]:
    """The guest with witness.ko counting the calls it makes itself, by ftrace."""
    with counting(module, "witness_called"):
        yield module


ARMS = ["k.ftrace({}, f)", "k.kprobe({}, k.KP_ARGS_WATCH, f)", "k.kprobe({}, k.KP_RETURN, f)"]


@pytest.mark.parametrize("arm", ARMS)
def test_names_that_are_no_function(guest: LiveGuest, arm: str) -> None:
    """Several of one name, none, inline ones: each error says what to do."""
    several = refusal(guest, arm.format("'add_grec'"))
    assert several.startswith("ValueError: kernel symbol 'add_grec' has 2 definitions: 0 at 0x")
    assert several.endswith("symbol('add_grec', n) picks one")
    one = arm.format("symbol('add_grec', 1)")
    assert " hook on add_grec" in run(guest, f"f = print\nwith {one} as h: print(h)")[0]
    assert refusal(guest, arm.format("'do_filp_opem'")) == (
        "ValueError: kernel symbol 'do_filp_opem' not found; did you mean 'do_filp_open'?"
    )
    assert refusal(guest, arm.format("'kzalloc'")).startswith(
        "ValueError: kernel symbol 'kzalloc' not found: it is inline; "
    )


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        ("lambda: 0", "TypeError: the handler must take an argument: "),
        ("5", "TypeError: 'int' is not callable"),
        ("lambda a, b, c, d, e, f, g, h, i, j, l, m, n, o: 0", "TypeError: the handler takes more"),
    ],
)
def test_handlers_that_do_not_fit(guest: LiveGuest, handler: str, error: str) -> None:
    for arm in (
        f"k.ftrace('int_sqrt', {handler})",
        f"k.kprobe('int_sqrt', k.KP_RETURN, {handler})",
    ):
        assert refusal(guest, arm).startswith(error)


def test_too_few_parameters(guest: LiveGuest) -> None:
    """A handler gets as many arguments as it takes; an original called with fewer gets zeros."""
    lines = run(
        guest,
        "with k.ftrace('int_sqrt', lambda orig: orig() + 5) as h:\n"
        "    print(int_sqrt(49), h.last_error)\n",
    )
    assert lines == ["5 None"]


def test_redirected_by_someone_else(module: LiveGuest) -> None:
    """A livepatch-like ftrace_ops on the function: ours is refused; theirs, when ours is there."""
    with counting(module, "int_sqrt", "ipmodify"):
        for arm in ARMS:
            assert refusal(module, arm.format("'int_sqrt'")).startswith(
                f"OSError: ({EBUSY}, 'int_sqrt is redirected by someone else already"
            )
        # Others are not affected.
        lines = run(module, "with k.ftrace('int_pow', lambda o, *a: 7): print(int_pow(2, 3))")
        assert lines == ["7"]
    assert run(module, "h = k.ftrace('int_sqrt', lambda o, x: 7)\nprint(int_sqrt(4))") == ["7"]
    status, out = module.sh("insmod /tmp/witness.ko targets=int_sqrt how=ipmodify")
    assert status != 0
    assert "Device or resource busy" in out
    assert run(module, "print(int_sqrt(4))\nh.rm()\nprint(int_sqrt(4))") == ["7", "2"]


def test_hooks_itself_from_its_handler(guest: LiveGuest) -> None:
    """A handler hooks the function it is called for: that counts from the next call on."""
    lines = run(
        guest,
        "more = []\n"
        "def outer(orig, x):\n"
        "    if not more: more.append(k.ftrace('int_sqrt', lambda o, y: o(y) + 100))\n"
        "    return orig(x) + 1\n"
        "with k.ftrace('int_sqrt', outer) as h:\n"
        "    print(int_sqrt(16), int_sqrt(16), h.hits, more[0].hits)\n"
        "    more[0].rm()\n"
        "print(int_sqrt(16))\n",
    )
    assert lines == ["5 105 2 1", "4"]


def test_forgets_and_collects_itself(guest: LiveGuest) -> None:
    """The handler drops the last reference to its own hook, and collects."""
    lines = run(
        guest,
        "hook = [None]\n"
        "def gone(orig, x):\n"
        "    hook[0] = None\n"
        "    junk = [[str(i)] for i in range(3000)]\n"
        "    junk = None\n"
        "    gc.collect()\n"
        "    return orig(x) + 1\n"
        "def make(): hook[0] = k.ftrace('int_sqrt', gone)\n"
        "for i in range(10):\n"
        "    make()\n"
        "    print(int_sqrt(25))\n"
        "    for h in k.hooks(): h.rm()\n"
        "    print(int_sqrt(25))\n",
    )
    assert lines == ["6", "5"] * 10


def test_rmmod_from_a_handler(guest: LiveGuest) -> None:
    """It waits for the handler, which waits for it: refused after 5 s, and all goes on."""
    lines = run(
        guest,
        "import struct\n"
        "words = [kstrdup(word, 0xcc0) for word in ('/bin/busybox', 'rmmod', 'kpy')]\n"
        "argv = struct.pack('<4Q', *words, 0)\n"
        "def unload(orig, x): return call_usermodehelper('/bin/busybox', argv, bytes(8), 2)\n"
        "h = k.ftrace('int_sqrt', unload)\n"
        "print(int_sqrt(25))\n"
        "print(h, k.hooks())\n",
    )
    # 1 << 8: rmmod exited with 1.
    assert lines == ["256", "<ftrace hook on int_sqrt, 1 hits, removed> []"]
    log = guest.sh("dmesg | tail -n 3")[1]
    assert "kpy: ftrace hook on int_sqrt: task " in log
    assert "does not return: it is in call_usermodehelper" in log


def test_throws_in_atomic_context(witness: LiveGuest) -> None:
    """In a hardirq and in softirqs: the originals run, and the hook is disabled."""
    lines = run(
        witness,
        "def bad(orig, *a):\n"
        "    if k.context() == where: raise ValueError('here')\n"
        "    return orig(*a)\n"
        "for where in ('hardirq', 'softirq'):\n"
        "    with k.ftrace('witness_called', bad) as h:\n"
        "        n = witness_load(300)\n"
        "        print('->', n > 50, witness_wrong(), n == h.hits + h.missed, h.enabled, "
        "repr(h.last_error))\n",
    )
    assert [line[3:] for line in lines if line.startswith("->")] == [
        "True 0 True False ValueError('here',)"
    ] * 2


def test_never_returns_in_atomic_context(witness: LiveGuest) -> None:
    """The budget ends it; the original runs."""
    lines = run(
        witness,
        "def bad(orig, *a):\n"
        "    while k.context() == where: pass\n"
        "    return orig(*a)\n"
        "for where in ('hardirq', 'softirq'):\n"
        "    with k.ftrace('witness_called', bad) as h:\n"
        "        n = witness_load(500)\n"
        "        print('->', witness_wrong(), n == h.hits + h.missed, repr(h.last_error))\n",
    )
    assert [line[3:] for line in lines if line.startswith("->")] == [
        "0 True TimeoutError('ran too long',)"
    ] * 2


def test_fault_in_the_original(faulty: LiveGuest) -> None:
    """Called with a wrong argument it faults, which is an exception; it runs as it was called."""
    lines = run(
        faulty,
        "def bad(orig, p): return orig(8)\n"
        "with k.ftrace('faulty_read', bad) as h:\n"
        "    print('->', hex(faulty_read(faulty_data)), h.enabled, type(h.last_error).__name__)\n"
        "def caught(orig, p):\n"
        "    try: return orig(8)\n"
        "    except k.KernelFault as e: return orig(p) + 1\n"
        "with k.ftrace('faulty_read', caught) as h:\n"
        "    print('->', hex(faulty_read(faulty_data)), h.enabled, h.last_error)\n",
    )
    faulty.expected.append("faulty_read")
    assert [line[3:] for line in lines if line.startswith("->")] == [
        "0x1234 False KernelFault",
        "0x1235 True None",
    ]


@pytest.mark.parametrize(
    ("target", "arm"),
    [
        ("do_exit", "k.ftrace('do_exit', f)"),
        ("do_exit", "k.kprobe('do_exit', k.KP_ARGS_MODIFY, f)"),
        ("do_exit", "k.kprobe('do_exit', k.KP_RETURN, g)"),
        ("do_group_exit", "k.ftrace('do_group_exit', f)"),
        ("get_signal", "k.ftrace('get_signal', f)"),
        ("get_signal", "k.kprobe('get_signal', k.KP_RETURN, g)"),
    ],
)
def test_tasks_that_end_in_the_original(guest: LiveGuest, target: str, arm: str) -> None:
    """They never come back; nothing of them is left, and the hook can be removed."""
    run(
        guest,
        "seen = []\n"
        "def f(orig, *a):\n"
        "    local = [str(i) for i in range(20)]\n"
        "    seen.append(local)\n"
        "    return orig(*a)\n"
        "def g(*a): seen.append(a)\n"
        f"h = {arm}\n",
    )
    status, _ = guest.sh(
        "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; sleep 99 & kill -9 $!; wait; done"
    )
    lines = run(
        guest,
        "junk = [[str(i)] for i in range(20000)]; junk = None\n"
        "gc.collect()\n"
        "print(all(x == [str(i) for i in range(20)] for x in seen) or 'RETURN' in h.kind)\n"
        "print(k.stats()['in_flight'], h.last_error)\n"
        "h.rm(); seen.clear()\n",
    )
    assert (status, lines) == (0, ["True", "1 None"])
    # Removed at once: nobody is waited for.
    assert guest.sh(f"rmmod kpy && {INSMOD}") == (0, "")


def test_dead_tasks_do_not_return(guest: LiveGuest) -> None:
    for arm in ("k.ftrace('do_task_dead', f)", "k.kprobe('do_task_dead', k.KP_RETURN, f)"):
        assert refusal(guest, arm) == (
            f"{EINVAL}do_task_dead cannot be hooked so: no task comes back from it"
        )


def test_kinds_that_return_name_their_task(guest: LiveGuest) -> None:
    """rmmod refuses for a task in the original of a KP_RETURN hook, too, and names it."""
    run(guest, "h = k.kprobe('do_filp_open', k.KP_RETURN, lambda r: 0)\n")
    guest.sh("rm -f /tmp/fifo; mkfifo /tmp/fifo; (cat /tmp/fifo >/tmp/got &) ; sleep 0.5")
    status, out = guest.sh("rmmod kpy")
    assert status != 0
    assert "Device or resource busy" in out
    log = guest.sh("dmesg | tail -n 3")[1]
    assert "kpy: kprobe KP_RETURN hook on do_filp_open: task cat (pid " in log
    assert "does not return: it is in do_filp_open" in log
    assert guest.sh("echo hi >/tmp/fifo; sleep 0.5; cat /tmp/got") == (0, "hi\n")
    assert guest.sh(f"rmmod kpy && {INSMOD}") == (0, "")


@pytest.mark.parametrize("how", ["ftrace", "kprobe"])
@pytest.mark.parametrize(
    "arm",
    [
        "k.ftrace('witness_called', f)",
        "k.kprobe('witness_called', k.KP_ARGS_WATCH, g)",
        "k.kprobe('witness_called', k.KP_ARGS_MODIFY, f)",
        "k.kprobe('witness_called', k.KP_REGS_MODIFY, g)",
        "k.kprobe('witness_called', k.KP_RETURN, g)",
    ],
)
def test_counts_add_up(module: LiveGuest, how: str, arm: str) -> None:
    """In all contexts on all CPUs at once: as many as the caller, and C code on the same
    function, counted; while a session computes and collects."""
    code = (
        "import _thread\n"
        "n = [0]\n"
        "contexts = set()\n"
        "def f(orig, *a):\n"
        "    n[0] += 1\n"
        "    contexts.add(k.context())\n"
        "    return orig(*a)\n"
        "def g(*a):\n"
        "    n[0] += 1\n"
        "    contexts.add(k.context())\n"
        "busy = True\n"
        "def work():\n"
        "    while busy:\n"
        "        x = [[str(i)] for i in range(500)]\n"
        "        gc.collect()\n"
        "_thread.start_new_thread(work, ())\n"
        "before = witness_count(0)\n"
        f"with {arm} as h:\n"
        "    made = witness_load(1500)\n"
        "    print(made > 500, made == h.hits + h.missed == witness_count(0) - before, "
        "n[0] == h.hits)\n"
        "busy = False\n"
        "print(witness_wrong(), h.last_error, sorted(contexts))\n"
    )
    with counting(module, "witness_called", how):
        lines = run(module, code)
    assert lines == ["True True True", "0 None ['hardirq', 'process', 'softirq']"]


def usage(guest: LiveGuest) -> dict[str, int]:
    """What a leak would change, in KB."""
    _, text = guest.sh("sleep 2; echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
    found = re.findall(r"^(SUnreclaim|VmallocUsed|Percpu): +(\d+)", text, re.M)
    return {key: int(value) for key, value in found}


def test_ten_thousand_cycles_do_not_leak(guest: LiveGuest) -> None:
    """Arm, call, disarm, of all kinds: every hook works, and memory is what it was."""
    cycles = (
        "def cycles(n):\n"
        "    good = 0\n"
        "    for i in range(n):\n"
        "        with k.callback(lambda x: x + 1) as c: good += Symbol('c', c.ptr())(i) == i + 1\n"
        "    for i in range(n // 50):\n"
        "        with k.ftrace('int_sqrt', lambda o, x: o(x) + 1): good += int_sqrt(4) == 3\n"
        "        with k.kprobe('hex_to_bin', k.KP_ARGS_MODIFY, lambda o, x: 9):\n"
        "            good += hex_to_bin(0x31) == 9\n"
        "    return good\n"
    )
    lines = run(guest, cycles + "print(cycles(1000))\ntime.sleep_ms(1000)\ngc.collect()\n")
    assert lines == ["1040"]
    before = usage(guest)
    done = 0
    for _ in range(10):
        lines = run(guest, "print(cycles(1000))\ntime.sleep_ms(300)\n")
        done += int(lines[0])
    assert done == 10400
    collect = "x = [[i] for i in range(10000)]; x = None\ngc.collect()\ntime.sleep_ms(500)\n"
    assert run(guest, collect * 4 + "print(k.hooks())") == ["[]"]
    after = usage(guest)
    for key, slack in (("SUnreclaim", 1000), ("VmallocUsed", 64), ("Percpu", 64)):
        assert after[key] <= before[key] + slack, (before, after)
