# SPDX-License-Identifier: GPL-2.0-or-later
"""Calling a function of the frozen guest by hand, which is right at every kind of stop.

GDB's own ``call`` destroys a guest that stopped in user mode (it keeps the user's segments, per-CPU
base and page tables) and hangs on halted CPUs. Here one vCPU gets the registers of kernel code with
interrupts off and a stack made for this, runs the function alone, and gets back its own registers
to the last bit. Breakpoints where exceptions enter the kernel catch what goes wrong before the
kernel has seen it; then memory written by the function stays written, everything else is as before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gdb_kpy.core import extable, faults, linux_module, vcpu
from gdb_kpy.core.errors import AbsentError, CallError, FaultError, KpyError, NotReadyError
from gdb_kpy.core.faults import TRAPS, Arrival, Stops
from gdb_kpy.core.memory import u32
from gdb_kpy.core.registers import Registers
from gdb_kpy.core.rescue import Rescue, Taken
from gdb_kpy.core.vcpu import PTI_USER_BITS, Mode, Vcpu
from gdb_kpy.target import symbols
from gdb_kpy.target.memory import LINE
from gdb_kpy.target.session import Session
from gdb_kpy.target.stub import Stub, interrupt_pending, no_interrupts, slice_of

_SLICE = 1  # seconds after which a running call is looked at (Ctrl-C, deadline)
_RETURN_SLOT = 8
_WORD = 4
_KEPT = "the guest is as before, but for memory that the call wrote"
_GENERAL = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip"),
    *(f"r{number}" for number in range(8, 16)),
)


@dataclass(frozen=True)
class Done:
    """The 32-bit word that the callee sets last."""

    address: int
    value: int


@dataclass(frozen=True)
class Call:
    """What to call, and how."""

    function: int
    stack_top: int  # 16-aligned
    return_address: int  # never executed otherwise
    seconds: float
    writes: Sequence[tuple[int, bytes]] = ()  # memory to fill in first
    abort: int | None = None  # function that cleans up after an aborted call
    done: Done | None = None
    returns: bool = True  # False: it goes to the return address without having been given it
    undo: Sequence[tuple[int, int]] = ()  # without one: (address, size) of what to put back


class Caller:
    """Makes calls in one attached guest; the addresses it needs are looked up once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stub: Stub = session.stub
        kernel = session.kernel
        names = (*TRAPS, "__preempt_count", "pcpu_hot")
        kernel.linked(*names, "__start___ex_table", "__stop___ex_table")
        self._preempt = self._preempt_offset()
        self._stops: Stops | None = None
        self._fixups: frozenset[int] | None = None
        self._fixups_of = -1

    def _preempt_offset(self) -> int:
        """Find the per-CPU preempt count (in pcpu_hot from commit 64701838bf05, v6.2, on)."""
        kernel = self._session.kernel
        direct = kernel.percpu("__preempt_count")
        if direct is not None:
            return direct
        hot = kernel.percpu("pcpu_hot")
        if hot is None:
            raise AbsentError("this kernel has no per-CPU preempt count")
        return hot + symbols.offset_of("struct pcpu_hot", "preempt_count")["preempt_count"]

    def call(self, cpu: Vcpu, call: Call) -> None:
        """Call on a vCPU as it was just inspected. Raises CallError if it went wrong."""
        session, stub = self._session, self._stub
        own = cpu.registers
        rescue = Rescue(session.module().info)
        if (
            not session.just_called(cpu.thread, own)
            and rescue.read(session.memory.read) is not None
        ):
            raise NotReadyError(
                "a vCPU is still in an evaluation whose debugger died", "`kpy recover`"
            )
        self._traps()
        session.called(None)
        answer = b""
        try:
            with no_interrupts(), stub.raw(settled=True):
                stub.select(cpu.thread)
                saved = own.copy()
                try:
                    context, taken = self._enter(cpu, saved)
                    try:
                        answer = self._guarded(cpu, call, context, rescue.take(taken), taken)
                    finally:
                        stub.write(*rescue.give_back())
                finally:
                    stub.set_registers(saved, cpu.mode is Mode.USER32)
                    wrong = stub.registers().differing(own)
        finally:
            session.memory.drop()
        if wrong:
            raise CallError(f"these registers could not be put back exactly: {', '.join(wrong)}")
        if call.done is not None:
            session.memory.keep(call.done.address, answer)
        session.called(cpu)

    def recover(self, cpu: Vcpu, call: Call, taken: Taken) -> None:
        """Put a vCPU back that a debugger took and, as it died, never gave back.

        ``cpu`` is that vCPU as it stands now, in the call; ``call.abort`` cleans up.
        """
        stub = self._stub
        before = Registers(stub.layout, taken.registers)
        rescue = Rescue(self._session.module().info)
        self._traps()
        self._session.called(None)
        try:
            with no_interrupts(), stub.raw():
                stub.select(cpu.thread)
                context = vcpu.kernel_context(cpu)
                stub.set_registers(context)
                stub.insert(call.return_address)
                try:
                    if call.abort is not None:
                        self._run(cpu, call, self._frame(call, call.abort, context), _SLICE)
                finally:
                    stub.remove(call.return_address)
                stub.write(taken.preempt_at, taken.preempt_count.to_bytes(4, "little"))
                stub.write(*rescue.give_back())
                stub.set_registers(before, taken.narrow)
        finally:
            self._session.memory.drop()

    def _enter(self, cpu: Vcpu, saved: Registers) -> tuple[Registers, Taken]:
        """Return kernel context for a vCPU, in whose memory it then is, and what to take note of.

        Completes ``saved`` where the stub had hidden parts.
        """
        stub = self._stub
        narrow = cpu.mode is Mode.USER32
        if narrow:
            # In 32-bit code the stub shows half of the general registers, in 64-bit code all.
            stub.widen()
            whole = stub.registers()
            for name in _GENERAL:
                saved[name] = whole[name]
        context = vcpu.kernel_context(cpu)
        preempt_at = cpu.percpu_base + self._preempt
        try:
            # Only the page tables decide that; the other registers can wait for the call.
            count = u32(stub.read, preempt_at)
        except FaultError:
            count = self._enter_page_tables(cpu, context, preempt_at)
        return context, Taken(cpu.thread, narrow, preempt_at, count, bytes(saved.raw))

    def _enter_page_tables(self, cpu: Vcpu, context: Registers, probe: int) -> int:
        """Leave the user's page tables, which lack the kernel; return a word of its memory."""
        if context["cr3"] & PTI_USER_BITS:
            context["cr3"] = context["cr3"] & ~PTI_USER_BITS
            self._stub.set_registers(context)
            with contextlib.suppress(FaultError):
                return u32(self._stub.read, probe)
        raise NotReadyError(f"CPU {cpu.cpu} cannot see the kernel's memory")

    def _guarded(
        self, cpu: Vcpu, call: Call, context: Registers, take: tuple[int, bytes], taken: Taken
    ) -> bytes:
        stub = self._stub
        undo = () if call.abort is not None else call.undo
        kept = [(at, stub.read(at, size)) for at, size in undo]
        for at, data in call.writes:
            stub.write(at, data)
        inserted: list[int] = []
        try:
            # What says that it is done needs no breakpoint where it returns to.
            ends = [call.return_address] if call.done is None else []
            for at in (*ends, *self._traps().addresses):
                stub.insert(at)
                inserted.append(at)
            if call.done is not None:
                stub.watch(call.done.address, _WORD)
            start = self._frame(call, call.function, context)
            stub.write(*take)
            try:
                return self._run(cpu, call, start, call.seconds, call.done)
            except CallError:
                stub.write(taken.preempt_at, taken.preempt_count.to_bytes(4, "little"))
                if call.return_address not in inserted:
                    stub.insert(call.return_address)
                    inserted.append(call.return_address)
                self._clean_up(cpu, call, context, kept)
                raise
        finally:
            if call.done is not None:
                stub.unwatch(call.done.address, _WORD)
            for at in inserted:
                stub.remove(at)

    def _clean_up(
        self, cpu: Vcpu, call: Call, context: Registers, kept: Sequence[tuple[int, bytes]]
    ) -> None:
        """Let the callee's owner tidy up after an aborted call, or put back what we know of."""
        if call.abort is not None:
            try:
                self._run(cpu, call, self._frame(call, call.abort, context), _SLICE)
                return
            except CallError:
                pass
        for at, data in kept:
            self._stub.write(at, data)

    def _frame(self, call: Call, function: int, context: Registers) -> Registers:
        """Return the registers with which a function starts, its return address pushed."""
        start = context.copy()
        start["rip"] = function
        start["rsp"] = call.stack_top
        if function != call.function or call.returns:
            start["rsp"] -= _RETURN_SLOT
            self._stub.write(start["rsp"], call.return_address.to_bytes(8, "little"))
        return start

    def _run(
        self, cpu: Vcpu, call: Call, start: Registers, seconds: float, done: Done | None = None
    ) -> bytes:
        """Run until the function is done or returns; with ``done`` return the memory there."""
        stub = self._stub
        stub.set_registers(start)
        end = time.monotonic() + seconds
        with slice_of(_SLICE):
            while True:
                answer = stub.resume(cpu.thread)
                if call.done is not None and b"watch:" in answer:
                    # QEMU throws its translated code away at a breakpoint, but not here.
                    found = stub.read(done.address, LINE) if done else b""
                    if done and found[:_WORD] == done.value.to_bytes(_WORD, "little"):
                        return found
                    continue
                now = stub.registers()
                if now["rip"] == call.return_address:
                    return b""
                arrival = self._traps().arrival(stub.read, now["rip"], now["rsp"])
                if arrival is not None:
                    self._survive(arrival, now)
                if interrupt_pending():
                    raise CallError(f"interrupted; {_KEPT}")
                if time.monotonic() > end:
                    where = symbols.symbol_at(now["rip"])
                    raise CallError(
                        f"the call did not end within {seconds:g} s and was given up in {where}; "
                        + _KEPT
                    )
                # A slice ended, or a trap that the kernel survives, or a breakpoint of the user.
                stub.step(cpu.thread)

    def _traps(self) -> Stops:
        """Return where breakpoints go; what lies there was read under a view of the kernel."""
        if self._stops is None:
            find = self._session.kernel.find
            places = {at: trap for name, trap in TRAPS.items() if (at := find(name)) is not None}
            self._stops = Stops(self._session.memory.read, places)
        return self._stops

    def _survive(self, arrival: Arrival, now: Registers) -> None:
        """Return if the kernel expects a fault where it happened; else raise CallError."""
        trap, where = arrival.trap, arrival.origin
        if trap.fixable and where in self.fixups():
            return
        cr2 = now["cr2"] if trap is TRAPS["asm_exc_page_fault"] else None
        what = faults.describe(trap, symbols.symbol_at(where), cr2)
        raise CallError(f"{what}; {_KEPT}")

    def fixups(self) -> frozenset[int]:
        """Return the instructions whose faults the kernel and our module survive."""
        session = self._session
        generation = session.memory.generation
        if self._fixups is None or self._fixups_of != generation:
            start = session.kernel.address("__start___ex_table")
            stop = session.kernel.address("__stop___ex_table")
            count = (stop - start) // extable.ENTRY_SIZE
            found = extable.fault_addresses(self._stub.read, start, count)
            try:
                loaded = session.module().loaded
                table, entries = linux_module.exception_table(
                    self._stub.read, loaded, session.offsets
                )
                found |= extable.fault_addresses(self._stub.read, table, entries)
            except KpyError:
                pass
            self._fixups = found
            self._fixups_of = generation
        return self._fixups
