# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hook on do_filp_open() costs an open(), in instructions of the guest.

Beside Python stands a module in C that counts the same calls, by the same means of the kernel.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.contention import build_openers
from bench.table import Row
from guest import kernel, lifecycle, registry
from guest.agent import Agent
from guest.paths import BUILD, REPO
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError

GUEST = "bench-hooks"
GUEST_SECONDS = 900.0
SECONDS = 0.4  # of the guest's clock: 400 million instructions
PARAMETERS = "/sys/module/counter/parameters"

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

#: What is measured, how it is armed, the instructions that it may cost, what C does it with.
HOOKS: tuple[tuple[str, str, int, str], ...] = (
    ("ftrace, three arguments", "k.ftrace('do_filp_open', three)", 1700, "ftrace"),
    ("ftrace, *a", "k.ftrace('do_filp_open', star)", 2200, "ftrace"),
    ("KP_ARGS_WATCH", "k.kprobe('do_filp_open', k.KP_ARGS_WATCH, watch)", 2200, "kprobe"),
    ("KP_RETURN", "k.kprobe('do_filp_open', k.KP_RETURN, returned)", 2200, "kretprobe"),
)


def build_counter() -> Path:
    """Return bench/counter.c as a module for the guest's kernel."""
    folder = BUILD / "counter"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPO / "bench/counter.c", folder)
    (folder / "Kbuild").write_text("obj-m := counter.o\n")
    command = ["make", "-C", kernel.load().kdir, f"M={folder}", "modules"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"bench/counter.c does not build: {done.stderr.strip()[-400:]}")
    return folder / "counter.ko"


class Bench:
    """A guest that counts instructions, with the opening program in it."""

    def __init__(self) -> None:
        binary, counter = build_openers(), build_counter()
        info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
        self.agent = Agent.of(registry.running(GUEST))
        self.agent.push(binary, "/tmp/openers")
        self.agent.push(counter, "/tmp/counter.ko")
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
        self.sh(f"/tmp/openers 1 {SECONDS / 8}")
        ns, count = map(int, self.sh(f"/tmp/openers 1 {SECONDS}").split())
        return ns / count, count

    def python_hook(self, arm: str) -> float:
        """Return the instructions of an open with a hook, which must see every open."""
        self.python(f"n = 0\nh = {arm}")
        cost, count = self.opens()
        seen, missed = map(int, self.python("h.rm()\nprint(n, h.missed)").split())
        if seen < count or missed:
            raise UserError(f"{arm}: {seen} of {count} opens seen, {missed} missed")
        return cost

    def c_hook(self, kind: str) -> float:
        """Return the same with the hook in C."""
        self.sh(f"insmod /tmp/counter.ko kind={kind}")
        cost, count = self.opens()
        seen = int(self.sh(f"cat {PARAMETERS}/count && rmmod counter"))
        if seen < count:
            raise UserError(f"{kind} in C: {seen} of {count} opens seen")
        return cost


def measure() -> Iterator[Row]:
    """Boot a guest that counts instructions, and measure."""
    bench = Bench()
    try:
        # What an open costs depends on where the kernel finds memory: asked for before each.
        plain, _ = bench.opens()
        for what, arm, limit, kind in HOOKS:
            before, ours = bench.opens()[0], bench.python_hook(arm)
            plain, in_c = bench.opens()[0], bench.c_hook(kind)
            ours -= (before + plain) / 2
            in_c -= (plain + bench.opens()[0]) / 2
            yield Row(f"hook: {what}", ours, limit, "", "the aim", 1.0)
            yield Row("    the same in C", ours, in_c, "", f"{kind} in a module")
        noop, empty = map(int, bench.python("print(took(noop), took(called))").split())
        yield Row("hook: empty callback", empty - noop, 1200, "", "the aim", 1.0)
    finally:
        lifecycle.down(GUEST)
