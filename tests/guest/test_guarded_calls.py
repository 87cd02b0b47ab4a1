# SPDX-License-Identifier: GPL-2.0-or-later
"""A fault of a called kernel function is an exception."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def kallsyms(guest: LiveGuest, name: str) -> int:
    """Address of a symbol as the kernel tells user space."""
    status, out = guest.sh(f"grep -w {name}$ /proc/kallsyms")
    assert status == 0
    return int(out.split()[0], 16)


def test_attributes_of_a_fault(guest: LiveGuest) -> None:
    out, err = guest.py(
        "import kernel_ffi\n"
        "try: strlen(0x10)\n"
        "except KernelFault as e:\n"
        "    print(e.kind, e.address, e.ip, e.call, e.errno, sep='|')\n"
        "    print(e.backtrace)\n"
        "    print(isinstance(e, OSError), kernel_ffi.KernelFault is KernelFault)\n"
    )
    assert not err, err
    first, trace, last = out.splitlines()
    kind, address, ip, call, errno = first.split("|")
    assert (kind, address, call, errno) == ("NULL dereference", "16", "strlen(0x10)", "14")
    # The first byte that strlen() reads, at its very beginning.
    assert int(ip) == kallsyms(guest, "strlen")
    assert trace.startswith("['strlen+0x0/0x")
    assert last == "True True"


def test_a_fault_is_readable(guest: LiveGuest) -> None:
    _, err = guest.py("def f(n): strlen(n)\nf(0x10)")
    lines = err.strip().splitlines()
    assert lines[3].startswith(
        "KernelFault: NULL dereference, read of address 0x10 in strlen+0x0/0x"
    )
    assert lines[4] == "  in the call strlen(0x10)"
    assert lines[5].startswith("    strlen+0x0/0x")


def test_faults_leave_no_trace_in_the_kernel(guest: LiveGuest) -> None:
    """Neither an oops in the log, nor a taint."""
    before = guest.sh("cat /proc/sys/kernel/tainted; dmesg | wc -l")
    out, err = guest.py(
        "n = 0\n"
        "for a in (0, 8, 0xdead000000000000, -4096, 1 << 46) * 20:\n"
        "    try: strlen(a)\n"
        "    except KernelFault: n += 1\n"
        "print(n, strlen('four'))\n"
    )
    assert (out, err) == ("100 4\n", "")
    assert guest.sh("cat /proc/sys/kernel/tainted; dmesg | wc -l") == before


KINDS = [
    ("faulty_read(8)", "NULL dereference", "NULL dereference, read of address 0x8 in faulty_read+"),
    ("faulty_write(16, 1)", "NULL dereference", "NULL dereference, write to address 0x10 in "),
    ("faulty_read(-4096)", "page fault", "page fault, read of address 0xfffffffffffff000 in "),
    ("faulty_read(0x400000)", "user access", "read of user address 0x400000 in faulty_read+"),
    (
        "faulty_read(0xdead000000000000)",
        "general protection fault",
        "general protection fault, address 0xdead000000000000 in faulty_read+",
    ),
    ("faulty_bug()", "BUG", "BUG at "),
    ("faulty_opcode()", "invalid opcode", "invalid opcode in faulty_opcode+"),
    ("faulty_divide(1, 0)", "divide error", "divide error in faulty_divide+"),
    ("faulty_divide(-1 << 31, -1)", "divide error", "divide error in faulty_divide+"),
    ("faulty_jump(0)", "jump", "jump to 0x0, which is no code\n  in the call faulty_jump(0)"),
    ("faulty_jump(0x400000)", "jump", "jump to 0x400000, which is no code\n"),
    ("faulty_jump(int(faulty_data))", "jump", "jump to 0x"),
    ("faulty_write(faulty_rodata, 1)", "page fault", "page fault, write to address 0x"),
    ("faulty_recurse(0)", "stack overflow", "stack overflow in faulty_recurse+"),
    ("faulty_big_frame()", "stack overflow", "stack overflow in faulty_big_frame+"),
]
SAME_STATE = "assert faulty_counts() == before, hex(faulty_counts())\n"


@pytest.mark.parametrize(("call", "kind", "text"), KINDS, ids=[call for call, _, _ in KINDS])
def test_kinds_of_faults(faulty: LiveGuest, call: str, kind: str, text: str) -> None:
    out, err = faulty.py(
        "before = faulty_counts()\n"
        f"try: {call}\n"
        "except KernelFault as e: print(e.kind, str(e), sep='|')\n" + SAME_STATE
    )
    assert not err, err
    assert out.startswith(f"{kind}|{text}"), out


@pytest.fixture
def no_budget(faulty: LiveGuest) -> Iterator[None]:
    """Let handlers take their time: a fault takes long where the CPU is emulated."""
    parameter = "/sys/module/kpy/parameters/hook_atomic_budget_ms"
    _, before = faulty.sh(f"cat {parameter}; echo 0 > {parameter}")
    yield
    faulty.sh(f"echo {before.strip()} > {parameter}")


@pytest.mark.usefixtures("no_budget")
def test_contexts(faulty: LiveGuest) -> None:
    """In softirq and hardirq context, too; the interrupted code is not affected."""
    # The far end of a frame is where the stack of a task ends.
    calls = [call for call, _, _ in KINDS if call != "faulty_big_frame()"]
    tries = "".join(f"    try: {call}\n    except KernelFault: n += 1\n" for call in calls)
    out, err = faulty.py(
        "import kernel_ffi, time\n"
        "seen = {}\n"
        "def every():\n"
        "    before = faulty_counts()\n"
        f"    n = 0\n{tries}"
        "    seen[kernel_ffi.context()] = n, faulty_counts() == before\n"
        "def ready(h):\n"
        "    for i in range(100):\n"
        "        if not h.hits and h.missed: h.rearm()\n"
        "        time.sleep_ms(20)\n"
        "        if len(seen) == 3: break\n"
        "every()\n"
        "t = kernel_ffi.timer(1, every); w = kernel_ffi.irq_work(every)\n"
        "ready(t); ready(w)\n"
        "print(sorted(seen.items()), t.last_error, w.last_error)\n"
    )
    assert not err, err
    each = (len(calls), True)
    expected = [("hardirq", each), ("process", each), ("softirq", each)]
    assert out == f"{expected} None None\n"


def test_the_state_of_the_task_is_restored(faulty: LiveGuest) -> None:
    """Preempt count, bottom halves, RCU, page faults off, FPU, sleep state, interrupt flag."""
    out, err = faulty.py(
        "before = faulty_counts()\n"
        "n = 0\n"
        "for bits in range(128):\n"
        "    try: faulty_state(bits, 8)\n"
        "    except KernelFault: n += 1\n"
        f"    {SAME_STATE}"
        "print(before, n)\n"
    )
    assert not err, err
    assert out == "0 128\n"


def test_backtrace_from_the_fault_to_the_call(faulty: LiveGuest) -> None:
    out, err = faulty.py(
        "try: faulty_deep(8, 3)\n"
        "except KernelFault as e: print([t.split('+')[0] for t in e.backtrace], e.backtrace[0])\n"
    )
    assert not err, err
    assert out.startswith(str(["faulty_read"] + ["faulty_deep"] * 4) + " faulty_read+0x")
    assert out.rstrip().endswith("[faulty]")


def test_locks_stay_as_the_callee_left_them(faulty: LiveGuest) -> None:
    out, err = faulty.py(
        "try: faulty_with_mutex(8)\n"
        "except KernelFault as e: print(str(e).splitlines()[-1].strip())\n"
        "print(faulty_mutex_is_locked()); faulty_mutex_unlock(); print(faulty_mutex_is_locked())\n"
    )
    assert not err, err
    said, locked, unlocked = out.splitlines()
    assert said in ("what the callee locked stays locked", "still locked: &faulty_mutex")
    assert (locked, unlocked) == ("1", "0")


def test_a_warning_is_no_fault(faulty: LiveGuest) -> None:
    faulty.expected += [r"WARNING: CPU: \d+ PID: \d+ at .*faulty", r"^\[[ .\d]+\] Call Trace:"]
    assert faulty.py("print(faulty_warn())") == ("42\n", "")
    assert "faulty: a warning" in faulty.sh("dmesg")[1]


def test_panic_on_oops(faulty: LiveGuest) -> None:
    faulty.sh("echo 1 > /proc/sys/kernel/panic_on_oops")
    out, err = faulty.py(
        "n = 0\n"
        + "".join(f"try: {c}\nexcept KernelFault: n += 1\n" for c, _, _ in KINDS)
        + "print(n)\n"
    )
    faulty.sh("echo 0 > /proc/sys/kernel/panic_on_oops")
    assert (out, err) == (f"{len(KINDS)}\n", "")


def test_page_faults_without_the_probe(faulty: LiveGuest) -> None:
    """The oops is printed then, but the call still returns with its exception."""
    faulty.expected += ["BUG: kernel NULL pointer dereference", "Oops: 0000", "Call Trace:"]
    faulty.sh("mount -t debugfs d /sys/kernel/debug; echo 0 > /sys/kernel/debug/kprobes/enabled")
    try:
        out, err = faulty.py(
            "try: faulty_state(7, 8)\n"
            "except KernelFault as e: print(e.kind, e.address, faulty_counts())\n"
        )
    finally:
        faulty.sh("echo 1 > /sys/kernel/debug/kprobes/enabled")
        # An oops stops the kernel's trace.
        faulty.sh("echo 1 > /sys/kernel/debug/tracing/tracing_on")
    assert (out, err) == ("NULL dereference 8 0\n", "")
    assert "Oops: 0000" in faulty.sh("dmesg")[1]


def test_a_thousand_faults_while_others_work(faulty: LiveGuest) -> None:
    """No lock-up, and no memory is left behind."""
    code = (
        "import gc\n"
        "def slab():\n"
        "    f = open('/proc/meminfo'); t = f.read(); f.close()\n"
        "    return int(t.split('SUnreclaim:')[1].split()[0])\n"
        "def many(n):\n"
        "    for i in range(n):\n"
        "        try: faulty_state(i & 127, 8)\n"
        "        except KernelFault: continue\n"
        "        raise SystemExit\n"
        "many(100)\n"
        "before = slab(); many(1000); gc.collect()\n"
        "print(faulty_counts(), slab() - before < 1024)\n"
    )
    with faulty.repl() as other:
        other.exec(
            "import _thread, time\n"
            "going, turns = [True], [0]\n"
            "def work():\n"
            "    while going[0]:\n"
            "        strlen('x'); turns[0] += len([str(i) for i in range(50)])\n"
            "_thread.start_new_thread(work, ())"
        )
        assert faulty.py(code, 200) == ("0 True\n", "")
        assert other.exec("going[0] = False; print(turns[0] > 0)") == ("True\n", "")


def test_guard_off_and_on(guest: LiveGuest) -> None:
    """Only what it says: with the guard off a fault is an oops, which is not for this guest."""
    code = "import kernel_ffi as k; print(k.guard(), k.guard(False), k.guard(), k.guard(True))"
    assert guest.py(code) == ("True False False True\n", "")


def test_a_fault_in_a_hook_is_the_handlers_exception(faulty: LiveGuest) -> None:
    """And a fault of the call that a hook is in leaves both as they should be."""
    out, err = faulty.py(
        "import kernel_ffi\n"
        "seen = []\n"
        "def f(orig, p):\n"
        "    try: faulty_bug()\n"
        "    except KernelFault as e: seen.append(e.kind)\n"
        "    try: return orig(p)\n"
        "    except KernelFault as e: seen.append(e.kind)\n"
        "    return 99\n"
        "with kernel_ffi.ftrace('faulty_read', f):\n"
        "    print(faulty_deep(8, 2), faulty_deep(faulty_data, 0) - 1 == 0x1234, seen)\n"
        "print(faulty_counts())\n"
    )
    assert not err, err
    assert out == "102 True ['BUG', 'NULL dereference', 'BUG']\n0\n"
