# SPDX-License-Identifier: GPL-2.0-or-later
"""Bringing the guest to a point where nobody runs Python."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import FaultError, NotReadyError
from gdb_kpy.core.memory import s32, u32, u64
from gdb_kpy.core.vcpu import Mode, Vcpu
from gdb_kpy.target.session import Session
from gdb_kpy.target.stub import forget_registers, interrupt_pending, no_interrupts, slice_of

_SECONDS = 1.0  # alone: what it does by itself takes milliseconds, what it waits for never comes
_WORD = 4
_MOST_STEPS = 100


class Held(NotReadyError):
    """The GIL is held by a CPU that, alone, did not come to let go of it."""


def holder(session: Session, info: DebugInfo) -> int | None:
    """Return the CPU that holds the GIL, None when it is free, -1 when it is being taken or left.

    The word is set before the owner is written and cleared after the owner is.
    """
    read = session.memory.read
    if not u32(read, info["addr.gil_word"]):
        return None
    return s32(read, info["addr.gil_cpu"])


def free(session: Session, info: DebugInfo, vcpus: Sequence[Vcpu]) -> Vcpu | None:
    """Let the holder of the GIL run, alone, until it lets go; None when nobody holds it.

    The holder has interrupts off and always ends its hold soon, so this takes microseconds.
    """
    cpu = holder(session, info)
    if cpu is None:
        return None
    _require_sane(session)
    if cpu < 0:
        mover = _step_through(session, info, vcpus)
        cpu = holder(session, info)
        if cpu is None:
            return mover
    for suspect in vcpus:
        if suspect.cpu == cpu and _run_until_free(session, info["addr.gil_word"], suspect):
            return suspect
    who = f"CPU {cpu} holds the GIL" if cpu >= 0 else "a CPU is taking or leaving the GIL"
    why = ", as it collects garbage," if _collects(session, info) else ""
    raise Held(
        f"{who}{why} and, running alone, did not let go of it within {_SECONDS:g} s "
        "(an interrupt it takes may wait for a CPU that stands still)",
        "`kpy print` reads without it; or `continue` and stop again",
    )


def _require_sane(session: Session) -> None:
    """Refuse when the holder will never let go: running on, it would only end the guest."""
    read, find = session.memory.read, session.kernel.find
    session.kernel.linked("panic_cpu", "oops_in_progress")
    panicked, oopsing = find("panic_cpu"), find("oops_in_progress")
    what = ""
    if panicked is not None and s32(read, panicked) >= 0:
        what = "has panicked"
    elif oopsing is not None and s32(read, oopsing):
        what = "reports an oops"
    if what:
        raise NotReadyError(f"the kernel {what} and the GIL is held", "`kpy print` reads memory")


def _collects(session: Session, info: DebugInfo) -> bool:
    """Say whether the holder is inside a garbage collection."""
    read = session.memory.read
    entry = u64(read, info["addr.current_entry"])
    try:
        state = u64(read, entry + info["off.entry.ts"])
        return u64(read, state + info["off.thread.gc_lock_depth"]) & 0xFFFF != 0
    except FaultError:
        return False


def _step_through(session: Session, info: DebugInfo, vcpus: Sequence[Vcpu]) -> Vcpu | None:
    """Step the CPU that is about to own the GIL, or to leave it, until it does.

    Between the writes of the two variables are a few instructions of the module with interrupts
    off. CPUs that wait for the GIL may stand in such code too; they only go around their loop.
    """
    stub = session.stub
    start, end = session.module().text_range
    for suspect in vcpus:
        in_module = start <= suspect.registers["rip"] < end
        if not in_module or suspect.mode is not Mode.KERNEL or suspect.irqs_on:
            continue
        with no_interrupts(), stub.raw():
            stub.select(suspect.thread)
            settled = False
            for _ in range(_MOST_STEPS):
                stub.step(suspect.thread)
                owner = s32(stub.read, info["addr.gil_cpu"])
                settled = owner >= 0 or not u32(stub.read, info["addr.gil_word"])
                if settled:
                    break
        session.memory.forget()
        forget_registers()
        if settled:
            return suspect
    return None


def _run_until_free(session: Session, word: int, suspect: Vcpu) -> bool:
    stub = session.stub
    end = time.monotonic() + _SECONDS
    released = False
    with no_interrupts(), stub.raw(), slice_of(1):
        stub.select(suspect.thread)
        stub.watch(word, _WORD)
        try:
            while not released and time.monotonic() < end and not interrupt_pending():
                stub.resume(suspect.thread)
                released = not u32(stub.read, word)
                if not released:
                    stub.step(suspect.thread)  # past a breakpoint of the user's
        finally:
            stub.unwatch(word, _WORD)
    session.memory.forget()
    forget_registers()
    return released
