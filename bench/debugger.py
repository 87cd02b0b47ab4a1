# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval` against GDB's own call of an empty function, at the same stop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

from bench.table import Row
from guest import lifecycle, registry
from guest.agent import Agent
from guest.paths import REPO
from guest.qemu import Options
from guest.say import UserError

GDB_SECONDS = 60


def run_gdb(socket: str) -> dict[str, float]:
    """Return what bench/gdb_eval.py measured, in milliseconds."""
    done = subprocess.run(
        [
            *("gdb", "-nx", "-q", "-batch", "-x", "gdbinit.py"),
            *("-ex", f"kpy attach {socket}", "-ex", "source bench/gdb_eval.py", "-ex", "detach"),
        ],
        cwd=REPO,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GDB_SECONDS,
    )
    for line in done.stdout.splitlines():
        if line.startswith("BENCH "):
            measured: dict[str, float] = json.loads(line[6:])
            return measured
    raise UserError("GDB measured nothing: " + (done.stderr.strip() or done.stdout.strip())[-400:])


def measure() -> Iterator[Row]:
    """Boot a guest whose CPUs have something to do, and measure."""
    name = "bench"
    info = lifecycle.up(name, Options(smp=2, timeout=GDB_SECONDS * 3))
    try:
        Agent.of(registry.running(name)).run(
            "setsid sh -c 'while :; do cat /proc/uptime; done' </dev/null >/dev/null 2>&1 &", 10
        )
        times = run_gdb(str(info["gdb_socket"]))
    finally:
        lifecycle.down(name)
    call = (times["call"] + times["call again"]) / 2
    yield Row("kpy eval 1+1", times["eval"], call, "ms", "GDB's call of an empty function", 4)
    yield Row("kpy eval p64(jiffies_64)", times["memory"], call, "ms", "the same")
