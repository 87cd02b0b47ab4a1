# SPDX-License-Identifier: GPL-2.0-or-later
"""Times evaluations next to GDB's own calls; runs inside an attached GDB, for debugger.py.

Prints one line, "BENCH " and JSON: milliseconds (medians; means where many are made in one go),
and how many packets one evaluation and one raw call take.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Callable

import gdb

from gdb_kpy.core.memory import u64
from gdb_kpy.core.vcpu import FLAG_IF, Vcpu, kernel_context
from gdb_kpy.target import session as sessions
from gdb_kpy.target.session import Session
from gdb_kpy.target.stub import Stub

COUNT = 100
BATCH = 1000
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


def mean(work: Callable[[], object]) -> float:
    """Return the mean time of a long batch in milliseconds."""
    start = time.perf_counter()
    for _ in range(BATCH):
        work()
    return round((time.perf_counter() - start) * 1000 / BATCH, 3)


def packets(work: Callable[[], object]) -> int:
    """Count the packets that we send for some work; GDB's own reads of memory come on top."""
    plain, sent = Stub.packet, 0

    def counting(stub: Stub, text: str) -> bytes:
        nonlocal sent
        sent += 1
        return plain(stub, text)

    Stub.packet = counting  # type: ignore[method-assign,assignment]
    try:
        work()
    finally:
        Stub.packet = plain  # type: ignore[method-assign]
    return sent


def raw_call(session: Session, cpu: Vcpu, function: int) -> None:
    """Call a function by hand with the least that is needed, catching nothing."""
    stub, info = session.stub, session.module().info
    back = info["addr.eval_return"]
    stub.select(cpu.thread)
    own = stub.registers()
    start = kernel_context(cpu)
    start["rip"], start["rsp"] = function, u64(stub.read, info["addr.eval_stack_top"]) - 8
    stub.write(start["rsp"], back.to_bytes(8, "little"))
    stub.set_registers(start)
    stub.insert(back)
    stub.resume(cpu.thread)
    ended = stub.registers()["rip"]
    stub.remove(back)
    stub.set_registers(own)
    if ended != back:
        raise gdb.GdbError(f"the raw call ended at {ended:#x}")


def fresh(session: Session, command: str) -> None:
    """Run a command as the first one after a stop."""
    session.memory.forget()
    run(command)


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

    def raw_calls(measure: Callable[[Callable[[], object]], float]) -> float:
        with sessions.viewed() as session, session.stub.raw():
            return measure(lambda: raw_call(session, awake, empty))

    session = sessions.current()
    run("kpy exec bench_number = 12345")
    found = {
        "call": own_calls(),
        "eval": median(lambda: run("kpy eval 1+1")),
        "memory": median(lambda: run("kpy eval p64(jiffies_64)")),
        "print": median(lambda: fresh(session, "kpy print bench_number")),
        "call again": own_calls(),
        "raw": raw_calls(mean),
        "batch": mean(lambda: run("kpy eval 1+1")),
        "raw again": raw_calls(mean),
        "packets": packets(lambda: run("kpy eval 1+1")),
        "raw packets": raw_calls(packets),
    }
    gdb.write("BENCH " + json.dumps(found) + "\n")


main()
