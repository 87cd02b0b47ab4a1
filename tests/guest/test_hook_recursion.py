# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks on what the module itself relies on: nothing locks up, nothing is lost, all is counted.

In a guest of their own, since these functions are the kernel's busiest: see Options.one_thread.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import GUEST_SECONDS, LiveGuest, build_module

from guest import lifecycle, qemu, registry
from guest.agent import Agent
from guest.qemu import Options

pytestmark = pytest.mark.guest

KINDS = {
    "ftrace": "k.ftrace(target, replace)",
    "KP_ARGS_WATCH": "k.kprobe(target, k.KP_ARGS_WATCH, watch)",
    "KP_ARGS_MODIFY": "k.kprobe(target, k.KP_ARGS_MODIFY, replace)",
    "KP_REGS_WATCH": "k.kprobe(target, k.KP_REGS_WATCH, watch)",
    "KP_REGS_MODIFY": "k.kprobe(target, k.KP_REGS_MODIFY, watch)",
    "KP_RETURN": "k.kprobe(target, k.KP_RETURN, watch)",
}
# Memory, printing, faults, sleeping, locks, the REPL's connection, waking, timers, work, arming.
TARGETS = [
    "__kmalloc",
    "kfree",
    "kmem_cache_alloc",
    "vmalloc",
    "vprintk",
    "_printk",
    "copy_from_kernel_nofault",
    "fixup_exception",
    "search_exception_tables",
    "schedule",
    "schedule_timeout",
    "mutex_lock",
    "down",
    "up",
    "_raw_spin_lock_irqsave",
    "_raw_spin_unlock_irqrestore",
    "tcp_sendmsg",
    "tcp_recvmsg",
    "tcp_v4_rcv",
    "sock_sendmsg",
    "__wake_up",
    "try_to_wake_up",
    "kthread_should_stop",
    "hrtimer_interrupt",
    "queue_work_on",
    "on_each_cpu_cond_mask",
    "synchronize_rcu_tasks",
    "get_stack_info",
    "do_exit",
    "do_group_exit",
    "get_signal",
]
# Where ftrace does not reach, and a breakpoint does.
BY_BREAKPOINT = ["irq_work_run", "irq_work_queue", "ftrace_set_filter_ip"]
NOT_TRACED = ["memcpy", "__schedule", "exc_page_fault", "notify_die"]

CODE = """
import kernel_ffi as k, gc, time
target = {target!r}
loud = {loud}
n = [0]
def replace(orig, *a):
    n[0] += 1
    if loud: print(target, n[0])
    return orig(*a)
def watch(*a):
    n[0] += 1
    if loud: print(target, n[0])
"""
# Hooks, and stays until another session says so: what the hook prints comes meanwhile.
STAY = """
stay = True
{before}
h = {arm}
{armed}
print('armed')
while stay: time.sleep_ms(20)
{stopping}
h.rm()
loud = False
print('->', n[0], h.hits, sum(h.missed_by.values()) == h.missed, h.last_error, k.hooks())
{after}
"""
# What a user would do; the kernel's log is read and written on the way.
USE = (
    "ls /dev >/dev/null && cat /proc/version >/dev/null && (echo a | cat) >/dev/null && "
    "dmesg | tail -n 1 >/dev/null && echo used >/dev/kmsg && echo fine"
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGuest]:
    name = f"test-hooks-{os.getpid()}"
    ko = build_module("witness", tmp_path_factory.mktemp("witness"))
    options = Options(smp=2, timeout=GUEST_SECONDS, one_thread=qemu.runs_stale_code())
    live = LiveGuest(lifecycle.up(name, options))
    try:
        Agent.of(registry.running(name)).push(Path(ko), "/tmp/witness.ko")
        # A module in C counts the same calls.
        status, out = live.sh(f"insmod /tmp/witness.ko targets={','.join(TARGETS)}")
        assert status == 0, out
        yield live
        assert live.sh("rmmod witness") == (0, "")
        assert live.trouble() == []
    finally:
        lifecycle.down(name)


def used(guest: LiveGuest, code: str) -> tuple[list[str], list[str]]:
    """Hook, use the system, unhook; return what was printed meanwhile and the result lines."""
    said: list[bytes] = []
    with guest.repl() as repl, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(repl.exec, code, 60, said.append)
        while b"armed\n" not in b"".join(said) and not answer.done():
            time.sleep(0.02)
        try:
            assert guest.sh(USE) == (0, "fine\n")
            # Another session, over TCP.
            assert guest.py("print(6 * 7)") == ("42\n", "")
        finally:
            guest.py("stay = False")
        out, err = answer.result()
    assert err == ""
    lines = out.splitlines()
    results = [line[3:] for line in lines if line.startswith("->")]
    return [line for line in lines if not line.startswith(("->", "armed"))], results


@pytest.mark.parametrize("loud", [False, True], ids=["quiet", "loud"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", TARGETS)
def test_hook(busy: LiveGuest, target: str, kind: str, loud: bool) -> None:
    count = f"witness_count({TARGETS.index(target)})"
    code = CODE.format(target=target, loud=loud) + STAY.format(
        arm=KINDS[kind],
        before=f"w0 = {count}",
        armed=f"w1 = {count}",
        stopping=f"w2 = {count}",
        after=(
            f"w3 = {count}\nprint('->', w2 - w1, h.hits + h.missed, w3 - w0, list(h.missed_by))"
        ),
    )
    printed, (counts, calls) = used(busy, code)
    seen, hits, rest = counts.split(maxsplit=2)
    assert (seen, rest) == (hits, "True None []")
    least, counted, most, reasons = calls.split(maxsplit=3)
    # At either end some calls are counted by one and not yet by the other, each on a CPU or in a
    # task that was preempted there. KP_RETURN counts when a call returns, if it does.
    if kind != "KP_RETURN":
        assert int(least) - 8 <= int(counted)
    assert int(counted) <= int(most)
    assert set(ast.literal_eval(reasons)) <= {"recursions", "not_ready"}
    if loud:
        assert len(printed) <= int(seen)
        assert set(printed) <= {f"{target} {i + 1}" for i in range(int(seen))}
    else:
        assert printed == []


@pytest.mark.parametrize("loud", [False, True], ids=["quiet", "loud"])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "ftrace"])
@pytest.mark.parametrize("target", BY_BREAKPOINT)
def test_hook_by_breakpoint(busy: LiveGuest, target: str, kind: str, loud: bool) -> None:
    code = CODE.format(target=target, loud=loud) + STAY.format(
        arm=KINDS[kind], before="", armed="", stopping="", after=""
    )
    _, (counts,) = used(busy, code)
    seen, hits, rest = counts.split(maxsplit=2)
    assert (seen, rest) == (hits, "True None []")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", NOT_TRACED)
def test_what_nobody_can_trace(busy: LiveGuest, target: str, kind: str) -> None:
    """One sentence, and no trace of it."""
    out, err = busy.py(CODE.format(target=target, loud=False) + KINDS[kind])
    assert out == ""
    said = err.splitlines()[-1]
    assert said.startswith(f"OSError: [Errno 22] EINVAL: {target} cannot be ")
    assert busy.py("print(k.hooks())") == ("[]\n", "")


def test_output_about_output(busy: LiveGuest) -> None:
    """A hook on sending that prints sends, too: that is no new output, and all of it arrives."""
    code = CODE.format(target="tcp_sendmsg", loud=True) + STAY.format(
        arm=KINDS["ftrace"],
        before="",
        armed="",
        stopping="",
        after="print('->', h.recursions)",
    )
    printed, (counts, recursions) = used(busy, code)
    assert printed == [f"tcp_sendmsg {i + 1}" for i in range(int(counts.split()[0]))]
    assert int(recursions) > 0
