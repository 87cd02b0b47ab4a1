# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hook on do_filp_open() costs an open(), in instructions of the guest.

Beside Python stand the kernel's own means, in C: the function tracer and a kprobe event, which
both write a line of the trace for each call.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.contention import build_openers
from bench.table import Row
from guest import lifecycle, registry
from guest.agent import Agent
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError

GUEST = "bench-hooks"
GUEST_SECONDS = 900.0
SECONDS = 0.2  # of the guest's clock: 200 million instructions
TRACING = "/sys/kernel/tracing"

SETUP = """
import kernel_ffi as k
n = 0
def three(orig, dfd, name, op):
    global n
    n += 1
    return orig(dfd, name, op)
def star(orig, *a):
    global n
    n += 1
    return orig(*a)
def watch(dfd, name, op):
    global n
    n += 1
def returned(ret):
    global n
    n += 1
empty = k.callback(lambda: None)
called = Symbol("called", int(empty.ptr()))
noop = Symbol("noop", int(symbol("noop")))
def calls(f):
    for i in range(20000):
        f()
def took(f):
    import time
    calls(f)
    begin = time.ticks_us()
    calls(f)
    return time.ticks_diff(time.ticks_us(), begin) // 20
"""

#: What is measured, how it is armed, and the instructions that it may cost.
HOOKS: tuple[tuple[str, str, int], ...] = (
    ("ftrace, three arguments", "k.ftrace('do_filp_open', three)", 1700),
    ("ftrace, *a", "k.ftrace('do_filp_open', star)", 2200),
    ("KP_ARGS_WATCH", "k.kprobe('do_filp_open', k.KP_ARGS_WATCH, watch)", 2200),
    ("KP_RETURN", "k.kprobe('do_filp_open', k.KP_RETURN, returned)", 2200),
)

#: The kernel's own, by shell: what switches it on, and off.
OTHERS: tuple[tuple[str, str, str], ...] = (
    (
        "function tracer (C)",
        "echo do_filp_open >set_ftrace_filter; echo function >current_tracer",
        "echo nop >current_tracer; echo >set_ftrace_filter",
    ),
    (
        "kprobe event (C)",
        "echo p:kpy_bench do_filp_open >kprobe_events; echo 1 >events/kprobes/kpy_bench/enable",
        "echo 0 >events/kprobes/kpy_bench/enable; echo >kprobe_events",
    ),
)


class Bench:
    """A guest that counts instructions, with the opening program in it."""

    def __init__(self) -> None:
        binary = build_openers()
        info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
        self.agent = Agent.of(registry.running(GUEST))
        self.agent.push(binary, "/tmp/openers")
        host, port = str(info["repl"]).split(":")
        self.repl = Repl(host, int(port))
        self.python(SETUP)

    def python(self, code: str) -> str:
        """Run code, which must not raise."""
        out, err = self.repl.exec(code, 120)
        if err:
            raise UserError(f"bench of hooks: {err.strip()[-400:]}")
        return out

    def sh(self, command: str) -> str:
        """Run a command in the guest, which must succeed."""
        status, output = self.agent.run(command, 120)
        if status:
            raise UserError(f"bench of hooks: {command}: {output.decode('utf-8', 'replace')}")
        return output.decode()

    def opens(self) -> tuple[float, int]:
        """Return the instructions of one open and close, and how many there were."""
        self.sh(f"/tmp/openers 1 {SECONDS / 4}")
        ns, count = map(int, self.sh(f"/tmp/openers 1 {SECONDS}").split())
        return ns / count, count


def hooks(bench: Bench, plain: float) -> Iterator[Row]:
    """Measure each kind of hook, which must see every open."""
    for what, arm, limit in HOOKS:
        bench.python(f"n = 0\nh = {arm}")
        cost, count = bench.opens()
        seen, missed = map(int, bench.python("h.rm()\nprint(n, h.missed)").split())
        if seen < count or missed:
            raise UserError(f"{what}: {seen} of {count} opens seen, {missed} missed")
        yield Row(f"hook: {what}", cost - plain, limit, "", "the aim", 1.0)


def measure() -> Iterator[Row]:
    """Boot a guest that counts instructions, and measure."""
    bench = Bench()
    try:
        plain, _ = bench.opens()
        yield from hooks(bench, plain)
        noop, empty = map(int, bench.python("print(took(noop), took(called))").split())
        yield Row("hook: empty callback", empty - noop, 1200, "", "the aim", 1.0)
        ours, _ = bench.opens()
        for what, on, off in OTHERS:
            bench.sh(f"cd {TRACING}; {on}")
            cost, _ = bench.opens()
            bench.sh(f"cd {TRACING}; {off}")
            yield Row(f"hook: {what}", cost - ours, 1700, "", "the aim for Python")
    finally:
        lifecycle.down(GUEST)
