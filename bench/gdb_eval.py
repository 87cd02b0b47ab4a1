# SPDX-License-Identifier: GPL-2.0-or-later
"""Times evaluations next to GDB's own calls; runs inside an attached GDB, for debugger.py.

Prints one line, "BENCH " and JSON: medians in milliseconds.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Callable

import gdb

from gdb_kpy.core.vcpu import FLAG_IF, Vcpu
from gdb_kpy.target import session as sessions
from gdb_kpy.target.session import Session

COUNT = 100
EMPTY = ("_paravirt_nop", "paravirt_nop")  # a function of the kernel that does nothing


def median(work: Callable[[], object]) -> float:
    """Return the median time of some runs in milliseconds."""
    taken = []
    for _ in range(COUNT):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(taken), 3)


def run(command: str) -> str:
    """Run a command without printing."""
    return gdb.execute(command, to_string=True)


def select_awake(session: Session) -> Vcpu:
    """Select a vCPU on which GDB's own call works: in the kernel and not halted."""
    run("kpy eval 0")  # wakes CPU 0 if all are halted
    for vcpu in session.vcpus():
        if not vcpu.halted and vcpu.mode.value == "kernel":
            for thread in gdb.selected_inferior().threads():
                if (thread.ptid[1] or thread.ptid[2]) == vcpu.thread:
                    thread.switch()
                    return vcpu
    raise gdb.GdbError("no CPU stopped in the kernel: run it again")


def main() -> None:
    """Measure and print."""
    with sessions.viewed() as session:
        awake = select_awake(session)
        empty = next(at for at in map(session.kernel.find, EMPTY) if at is not None)
    call = f"call ((void (*)(void)){empty:#x})()"
    flags = awake.registers["eflags"]

    def own_calls() -> float:
        # With interrupts off, as a call of ours; else GDB's call lets them in on its frame.
        run(f"set $eflags = {flags & ~FLAG_IF:#x}")
        try:
            return median(lambda: run(call))
        finally:
            run(f"set $eflags = {flags:#x}")

    found = {
        "call": own_calls(),
        "eval": median(lambda: run("kpy eval 1+1")),
        "memory": median(lambda: run("kpy eval p64(jiffies_64)")),
        "call again": own_calls(),
    }
    gdb.write("BENCH " + json.dumps(found) + "\n")


main()
