# SPDX-License-Identifier: GPL-2.0-or-later
"""What waiting for the GIL costs when several vCPUs enter Python at once, in wall-clock time.

Both sides of each row come from the same guest, in turns, so that a busy host slows both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.table import Row
from guest import lifecycle, qemu, registry
from guest.agent import Agent, AgentError
from guest.paths import BUILD, REPO
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError, note

GUEST = "bench-gil"
GUEST_SECONDS = 900.0
ROUNDS = 5
ATTEMPTS = 3
SECONDS = 1.0
MICRO = 1000.0

HOOK = """
import _thread, kernel_ffi, time
def hook(orig, dfd, name, op):
    return orig(dfd, name, op)
def calls(n, results):
    empty = symbol('nr_iowait')
    begin = time.ticks_us()
    for i in range(n):
        empty()
    results.append(time.ticks_diff(time.ticks_us(), begin))
def threads(n_threads, n):
    results = []
    for i in range(n_threads):
        _thread.start_new_thread(calls, (n, results))
    while len(results) < n_threads:
        time.sleep_ms(5)
    print('TOOK', sum(results) * 1000 // (n_threads * n))
"""


class Bench:
    """A guest with the opening program in it."""

    def __init__(self, smp: int, binary: Path) -> None:
        info = lifecycle.up(GUEST, Options(smp=smp, timeout=GUEST_SECONDS))
        self.agent = Agent.of(registry.running(GUEST))
        self.agent.push(binary, "/tmp/openers")
        host, port = str(info["repl"]).split(":")
        self.where = (host, int(port))
        self.repl = Repl(*self.where)
        self.python(HOOK)

    def python(self, code: str) -> str:
        """Run code, which must not raise."""
        out, err = self.repl.exec(code, 60)
        if err:
            raise UserError(f"bench of the GIL: {err.strip()[-400:]}")
        return out

    def opens(self, n: int) -> float:
        """Return how many microseconds an open takes with n vCPUs at it."""
        status, output = self.agent.run(f"/tmp/openers {n} {SECONDS}", 60 + 10 * SECONDS)
        if status:
            raise UserError("bench of the GIL: the openers fail")
        ns, count = map(int, output.split())
        return ns / count / MICRO

    def entries(self, n: int) -> tuple[float, float]:
        """Return microseconds of an open with n vCPUs at it: without the hook, and with it."""
        plain = self.opens(n)
        self.python("armed = kernel_ffi.ftrace('do_filp_open', hook)")
        try:
            return plain, self.opens(n)
        finally:
            self.python("armed.rm()")

    def calls(self, n: int) -> float:
        """Return microseconds of a kernel call with n threads making them."""
        return int(self.python(f"threads({n}, 20000)").split("TOOK ")[1]) / MICRO


def build_openers() -> Path:
    """Return the opening program, which runs without a C library in the guest."""
    out = BUILD / "openers"
    command = ["gcc-12", "-O2", "-Wall", "-static", "-o", str(out), str(REPO / "bench/openers.c")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"bench/openers.c does not build: {done.stderr.strip()[-400:]}")
    return out


def row(what: str, pairs: list[tuple[float, float]], limit: float, against: str) -> Row:
    """Compare the medians of both sides."""
    ours, other = map(statistics.median, zip(*pairs))
    return Row(what, ours, other, "us", against, limit)


def contended(bench: Bench, n: int, label: str, limits: tuple[float, float]) -> Iterator[Row]:
    """Compare n vCPUs that enter at once with one that enters alone."""
    cost, total = [], []
    for _ in range(ROUNDS):
        alone_plain, alone = bench.entries(1)
        plain, hooked = bench.entries(n)
        cost.append((hooked - plain, alone - alone_plain))
        total.append((hooked / n, alone))
    yield row(f"an entry, {label}", cost, limits[0], "one vCPU's entry")
    yield row(f"an open with hook, {label}", total, limits[1], "one vCPU's, in total")


def busy(bench: Bench, n: int, label: str, limits: tuple[float, float]) -> Iterator[Row]:
    """Compare n vCPUs, while a session computes (also without the hook), with one vCPU alone."""
    cost, total = [], []
    other = Repl(*bench.where)
    for _ in range(ROUNDS):
        alone_plain, alone = bench.entries(1)
        other.start("while True: pass")
        try:
            plain, hooked = bench.entries(n)
        finally:
            other.interrupt(20)
        cost.append((hooked - plain, alone - alone_plain))
        total.append((hooked / n, alone))
    other.close()
    yield row(f"an entry, {label}", cost, limits[0], "one vCPU's entry")
    yield row(f"an open with hook, {label}", total, limits[1], "one vCPU's, in total")


def of_guest(smp: int, cores: int, binary: Path) -> Iterator[Row]:
    """Boot a guest and measure in it."""
    bench = Bench(smp, binary)
    try:
        if smp == cores:
            yield from contended(bench, smp, f"{smp} vCPUs at once", (2.0, 1 / 0.8))
            pairs = [(bench.calls(smp) / smp, bench.calls(1)) for _ in range(ROUNDS)]
            yield row(f"a call, {smp} threads", pairs, 2.0, "one thread's, in total")
        else:
            yield from busy(bench, smp, f"{smp} vCPUs, REPL busy", (10.0, 1 / 0.3))
    finally:
        lifecycle.down(GUEST)


def measure() -> Iterator[Row]:
    """Boot guests with as many vCPUs as the host has cores, and with twice as many."""
    cores = os.cpu_count() or 1
    binary = build_openers()
    for smp in (cores, 2 * cores):
        note(f"  {smp} vCPUs on {cores} cores")
        for left in reversed(range(ATTEMPTS)):
            try:
                rows = list(of_guest(smp, cores, binary))
            except AgentError as error:
                if not left or not qemu.runs_stale_code():
                    raise
                note(f"  {error}: this QEMU may hang while code is patched; with a new guest")
            else:
                yield from rows
                break
