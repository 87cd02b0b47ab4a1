# SPDX-License-Identifier: GPL-2.0-or-later
"""Evaluations that fault or never return: each is caught, and the guest is as before.

The interpreter does not fault by itself, so its printer is overwritten in memory for one call.
"""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest

VICTIM = "mp_obj_print_helper"  # called to make the repr of the result, under the GIL
LOAD_RAX = "48b8{}488b00"  # mov $address, %rax; mov (%rax), %rax
JUMP = "48b8{}ffe0"  # mov $address, %rax; jmp *%rax


def little(address: int) -> str:
    return address.to_bytes(8, "little").hex()


CASES = {
    "null pointer": (LOAD_RAX.format(little(0x18)), "a page fault at address 0x18 in"),
    "non-canonical": (LOAD_RAX.format(little(1 << 62)), "a general protection fault in"),
    "BUG": ("0f0b", "an invalid instruction (BUG or WARN) in"),
    "division": ("31c931d2f7f1", "a division by zero in"),
    "stack overflow": ("e8fbffffff", "a double fault (stack overflow) in"),
    "endless": ("ebfe", "the call did not end within 3.1 s and was given up in"),
    "sleep": ("schedule", "an attempt to sleep in"),
    "panic": ("panic", "a kernel panic in"),
}


def symbol(guest: LiveGuest, name: str) -> int:
    """Where the running kernel says a symbol is."""
    status, found = guest.sh(f"grep -w {name} /proc/kallsyms")
    assert status == 0
    return int(found.split()[0], 16)


def patched(at: int, code: str, *commands: str) -> tuple[str, ...]:
    """Commands run with some bytes in memory replaced; they are put back after."""
    size = len(code) // 2
    return (
        "python i = gdb.selected_inferior()",
        f"python kept = bytes(i.read_memory({at:#x}, {size}))",
        f"python i.write_memory({at:#x}, bytes.fromhex('{code}'))",
        *commands,
        f"python i.write_memory({at:#x}, kept)",
    )


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_caught(guest: LiveGuest, gdb: GdbRunner, case: str) -> None:
    code, said = CASES[case]
    if not set(code) <= set(string.hexdigits):
        code = JUMP.format(little(symbol(guest, f"{code}$")))
    registers = "info registers rax rsp rip eflags cs ss gs_base cr3"
    done = gdb(
        "set kpy eval-timeout 100",
        "echo before\\n",
        registers,
        *patched(symbol(guest, VICTIM), code, "kpy eval 'never seen'"),
        "echo after\\n",
        registers,
        "echo end\\n",
        "kpy eval 6*7",
    )
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(said)
    assert lines[0].endswith("the guest is as before, but for memory that the call wrote")
    before, after = done.stdout.split("before\n")[1].split("after\n")
    assert before == after.split("end\n")[0]
    # The GIL is free again, for GDB and for others.
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("42") or "\n42\n" in done.stdout
    assert guest.py("print('still', 6*7)") == ("still 42\n", "")
    assert guest.trouble() == []


def test_faults_that_the_kernel_survives_are_let_through(gdb: GdbRunner) -> None:
    """p64() of a bad address: the fault is expected, and Python gets an exception."""
    done = gdb("kpy eval p64(0x18)", "kpy eval p64(0xdead000000000000)", "kpy eval 6*7")
    assert done.returncode == 0
    assert done.stderr.count("Traceback") == 2
    assert "bad address 0x18" in done.stderr
    assert "the guest is as before" not in done.stderr
    assert "\n42\n" in done.stdout


def test_breakpoints_of_the_kernel_are_let_through(guest: LiveGuest, gdb: GdbRunner) -> None:
    """A probe by INT3, behind the call of ftrace that the function starts with."""
    events = "/sys/kernel/tracing/kprobe_events"
    probe = "/sys/kernel/tracing/events/kprobes/kpy_test/enable"
    optimized = "/proc/sys/debug/kprobes-optimization"  # a jump in place of the INT3
    status, said = guest.sh(
        f"echo 0 > {optimized} && echo 'p:kpy_test int_sqrt+5' > {events} && echo 1 > {probe}"
    )
    assert status == 0, said
    try:
        call = "kpy eval -unsafe int_sqrt(1764)"
        done = gdb(call, call, "kpy eval 7*7")
    finally:
        status, hits = guest.sh(
            f"echo 0 > {probe}; cat /sys/kernel/tracing/kprobe_profile; "
            f"echo > {events}; echo 1 > {optimized}"
        )
    assert done.returncode == 0, done.stderr
    assert "\n42\n42\n49\n" in done.stdout
    assert hits.split() == ["kpy_test", "2", "0"]
    assert guest.trouble() == []


@pytest.mark.parametrize("inserted", ["off", "on"])
def test_breakpoints_of_the_user_are_passed(
    guest: LiveGuest, gdb: GdbRunner, inserted: str
) -> None:
    done = gdb(
        f"set breakpoint always-inserted {inserted}",
        f"break *{symbol(guest, VICTIM):#x}",
        f"break *{symbol(guest, 'kpy_debug_eval'):#x}",
        "kpy eval 6*7",
        "info breakpoints",
        "delete",
    )
    assert done.returncode == 0, done.stderr
    assert "\n42\n" in done.stdout
    assert "already hit" not in done.stdout
    assert guest.py("print(1)") == ("1\n", "")


def test_selected_thread_and_frame_are_kept(gdb: GdbRunner) -> None:
    done = gdb(
        "thread 2", "frame 1", "echo before\\n", "frame", "kpy eval 6*7", "echo after\\n", "frame",
        "thread", "show scheduler-locking",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split("before\n")[1].split("42\nafter\n")
    assert after.startswith(before)
    assert "Current thread is 2" in after
    assert 'is "replay"' in after


def test_bad_evaluations_one_after_the_other(guest: LiveGuest, gdb: GdbRunner) -> None:
    """`make soak-eval` makes 300 of them."""
    done = gdb("python ROUNDS, SEED = 1, 1", "source tests/gdb/bad.py", timeout=120)
    line = next(line for line in done.stdout.splitlines() if line.startswith("bad: "))
    report = json.loads(line.removeprefix("bad: "))
    assert report["wrong"] == []
    assert report["evaluations"] >= 25
    assert guest.py("print('still', 6*7)") == ("still 42\n", "")
    assert guest.trouble() == []
