# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval` and `kpy print` against GDB's own and raw calls of an empty function, at one stop."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

from bench.table import Row
from guest import lifecycle, registry
from guest.agent import Agent
from guest.paths import REPO
from guest.qemu import Options
from guest.say import UserError

GDB_SECONDS = 120


def gdb(socket: str, *commands: str) -> subprocess.CompletedProcess[str]:
    """Attach, run commands, and end."""
    words = ["gdb", "-nx", "-q", "-batch", "-x", "gdbinit.py", "-ex", f"kpy attach {socket}"]
    for command in commands:
        words += ["-ex", command]
    return subprocess.run(
        words,
        cwd=REPO,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GDB_SECONDS,
    )


def run_gdb(socket: str) -> dict[str, float]:
    """Return what bench/gdb_eval.py measured, in milliseconds."""
    done = gdb(socket, "source bench/gdb_eval.py", "detach")
    for line in done.stdout.splitlines():
        if line.startswith("BENCH "):
            measured: dict[str, float] = json.loads(line[6:])
            return measured
    raise UserError("GDB measured nothing: " + (done.stderr.strip() or done.stdout.strip())[-400:])


def first_answer(socket: str) -> float:
    """Return after how many seconds a new GDB has attached and answered; the best of three."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        done = gdb(socket, "kpy eval 6*7")
        taken.append(time.perf_counter() - start)
        if "\n42\n" not in done.stdout:
            raise UserError("GDB did not answer: " + done.stderr.strip()[-400:])
    return min(taken)


def measure() -> Iterator[Row]:
    """Boot a guest whose CPUs have something to do, and measure."""
    name = "bench"
    info = lifecycle.up(name, Options(smp=2, timeout=GDB_SECONDS * 6))
    try:
        Agent.of(registry.running(name)).run(
            "setsid sh -c 'while :; do cat /proc/uptime; done' </dev/null >/dev/null 2>&1 &", 10
        )
        times = run_gdb(str(info["gdb_socket"]))
        attach = first_answer(str(info["gdb_socket"]))  # with a warm index by now
    finally:
        lifecycle.down(name)
    call = (times["call"] + times["call again"]) / 2
    yield Row("kpy eval 1+1", times["eval"], call, "ms", "GDB's call of an empty function", 4)
    yield Row("kpy eval p64(jiffies_64)", times["memory"], call, "ms", "the same")
    raw = (times["raw"] + times["raw again"]) / 2
    yield Row("1,000 of kpy eval 1+1, each", times["batch"], raw, "ms", "1,000 raw calls", 3)
    sent, least = times["packets"], times["raw packets"]
    yield Row("    packets sent by us", sent, least, "", "the same")
    yield Row("kpy print of a global int", times["print"], 10, "ms", "the aim", 1)
    yield Row("attach and first answer", attach, 3, "s", "the aim", 1)
