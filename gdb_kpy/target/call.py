# SPDX-License-Identifier: GPL-2.0-or-later
"""Calling a function of the frozen guest by hand, which is right at every kind of stop.

GDB's own ``call`` destroys a guest that stopped in user mode (it keeps the user's segments, per-CPU
base and page tables) and hangs on halted CPUs. Here one vCPU gets the registers of kernel code with
interrupts off and a stack made for this, runs the function alone, and gets back its own registers
to the last bit. Breakpoints at the entries of all exceptions catch what goes wrong before the
kernel has seen it; then memory written by the function stays written, everything else is as before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gdb_kpy.core import extable, faults, linux_module, vcpu
from gdb_kpy.core.errors import AbsentError, CallError, FaultError, KpyError, NotReadyError
from gdb_kpy.core.faults import TRAPS, Trap
from gdb_kpy.core.memory import u32
from gdb_kpy.core.registers import Registers
from gdb_kpy.core.rescue import Rescue, Taken
from gdb_kpy.core.vcpu import PTI_USER_BITS, Mode, Vcpu
from gdb_kpy.target import symbols
from gdb_kpy.target.session import Session
from gdb_kpy.target.stub import Stub, interrupt_pending, no_interrupts, slice_of

_SLICE = 1  # seconds after which a running call is looked at (Ctrl-C, deadline)
_RETURN_SLOT = 8
_KEPT = "the guest is as before, but for memory that the call wrote"
_GENERAL = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip"),
    *(f"r{number}" for number in range(8, 16)),
)


@dataclass(frozen=True)
class Call:
    """What to call, and how."""

    function: int
    stack_top: int  # 16-aligned
    return_address: int  # never executed otherwise
    seconds: float
    writes: Sequence[tuple[int, bytes]] = ()  # memory to fill in first
    abort: int | None = None  # function that cleans up after an aborted call
    done: tuple[int, int] | None = (
        None  # (address, value): the 32-bit word that the callee sets last
    )
    undo: Sequence[tuple[int, int]] = ()  # without one: (address, size) of what to put back


class Caller:
    """Makes calls in one attached guest; the addresses it needs are looked up once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stub: Stub = session.stub
        kernel = session.kernel
        names = (*TRAPS, "linux_banner", "__preempt_count", "pcpu_hot")
        kernel.linked(*names, "__start___ex_table", "__stop___ex_table")
        self._probe = kernel.address("linux_banner")
        places = {name: kernel.find(name) for name in TRAPS}
        self._traps: dict[int, Trap] = {
            at: TRAPS[name] for name, at in places.items() if at is not None
        }
        self._preempt = self._preempt_offset()
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

    def call(self, cpu: Vcpu, call: Call) -> int:
        """Call on a vCPU as it was inspected; return rax. Raises CallError if it went wrong."""
        stub = self._stub
        own = cpu.registers
        rescue = Rescue(self._session.module().info)
        if rescue.read(self._session.memory.read) is not None:
            raise NotReadyError(
                "a vCPU is still in an evaluation whose debugger died", "`kpy recover`"
            )
        try:
            with no_interrupts(), stub.raw():
                stub.select(cpu.thread)
                saved = own.copy()
                try:
                    context = self._enter(cpu, saved)
                    preempt_at = cpu.percpu_base + self._preempt
                    preempt = stub.read(preempt_at, 4)
                    count = int.from_bytes(preempt, "little")
                    narrow = cpu.mode is Mode.USER32
                    kept = Taken(cpu.thread, narrow, preempt_at, count, bytes(saved.raw))
                    stub.write(*rescue.take(kept))
                    try:
                        result = self._guarded(cpu, call, context, preempt_at, preempt)
                    finally:
                        stub.write(*rescue.give_back())
                finally:
                    stub.set_registers(saved, cpu.mode is Mode.USER32)
                    wrong = stub.registers().differing(own)
        finally:
            self._session.memory.drop()
        if wrong:
            raise CallError(f"these registers could not be put back exactly: {', '.join(wrong)}")
        return result

    def recover(self, cpu: Vcpu, call: Call, taken: Taken) -> None:
        """Put a vCPU back that a debugger took and, as it died, never gave back.

        ``cpu`` is that vCPU as it stands now, in the call; ``call.abort`` cleans up.
        """
        stub = self._stub
        before = Registers(stub.layout, taken.registers)
        rescue = Rescue(self._session.module().info)
        try:
            with no_interrupts(), stub.raw():
                stub.select(cpu.thread)
                context = vcpu.kernel_context(cpu)
                stub.set_registers(context)
                stub.insert(call.return_address)
                try:
                    if call.abort is not None:
                        self._run(cpu, call, call.abort, _SLICE, context)
                finally:
                    stub.remove(call.return_address)
                stub.write(taken.preempt_at, taken.preempt_count.to_bytes(4, "little"))
                stub.write(*rescue.give_back())
                stub.set_registers(before, taken.narrow)
        finally:
            self._session.memory.drop()

    def _enter(self, cpu: Vcpu, saved: Registers) -> Registers:
        """Put a vCPU into kernel context; completes ``saved`` where the stub had hidden parts."""
        stub = self._stub
        if cpu.mode is Mode.USER32:
            # In 32-bit code the stub shows half of the general registers, in 64-bit code all.
            stub.widen()
            whole = stub.registers()
            for name in _GENERAL:
                saved[name] = whole[name]
        context = vcpu.kernel_context(cpu)
        stub.set_registers(context)
        if not self._sees_kernel():
            if not context["cr3"] & PTI_USER_BITS:
                raise NotReadyError(f"CPU {cpu.cpu} cannot see the kernel's memory")
            context["cr3"] = context["cr3"] & ~PTI_USER_BITS
            stub.set_registers(context)
            if not self._sees_kernel():
                raise NotReadyError(f"CPU {cpu.cpu} cannot see the kernel's memory")
        return context

    def _sees_kernel(self) -> bool:
        try:
            self._stub.read(self._probe, 8)
        except FaultError:
            return False
        return True

    def _guarded(
        self, cpu: Vcpu, call: Call, context: Registers, preempt_at: int, preempt: bytes
    ) -> int:
        stub = self._stub
        undo = () if call.abort is not None else call.undo
        kept = [(at, stub.read(at, size)) for at, size in undo]
        for at, data in call.writes:
            stub.write(at, data)
        inserted: list[int] = []
        try:
            # What says that it is done needs no breakpoint where it returns to.
            ends = [call.return_address] if call.done is None else []
            for at in (*ends, *self._traps):
                stub.insert(at)
                inserted.append(at)
            if call.done is not None:
                stub.watch(call.done[0], 4)
            try:
                return self._run(cpu, call, call.function, call.seconds, context)
            except CallError:
                stub.write(preempt_at, preempt)
                if call.return_address not in inserted:
                    stub.insert(call.return_address)
                    inserted.append(call.return_address)
                self._clean_up(cpu, call, context, kept)
                raise
        finally:
            if call.done is not None:
                stub.unwatch(call.done[0], 4)
            for at in inserted:
                stub.remove(at)

    def _clean_up(
        self, cpu: Vcpu, call: Call, context: Registers, kept: Sequence[tuple[int, bytes]]
    ) -> None:
        """Let the callee's owner tidy up after an aborted call, or put back what we know of."""
        if call.abort is not None:
            try:
                self._run(cpu, call, call.abort, _SLICE, context)
                return
            except CallError:
                pass
        for at, data in kept:
            self._stub.write(at, data)

    def _run(self, cpu: Vcpu, call: Call, function: int, seconds: float, context: Registers) -> int:
        stub = self._stub
        start = context.copy()
        start["rip"] = function
        start["rsp"] = call.stack_top - _RETURN_SLOT
        stub.write(start["rsp"], call.return_address.to_bytes(8, "little"))
        stub.set_registers(start)
        end = time.monotonic() + seconds
        with slice_of(_SLICE):
            while True:
                answer = stub.resume(cpu.thread)
                if call.done is not None and b"watch:" in answer:
                    # QEMU throws its translated code away at a breakpoint, but not here.
                    at, value = call.done
                    if function == call.function and u32(stub.read, at) == value:
                        return 0
                    continue
                now = stub.registers()
                if now["rip"] == call.return_address:
                    return now["rax"]
                trap = self._traps.get(now["rip"])
                if trap is not None:
                    self._survive(trap, now)
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

    def _survive(self, trap: Trap, now: Registers) -> None:
        """Return if the kernel expects a fault where it happened; else raise CallError."""
        try:
            where = faults.origin(self._stub.read, trap, now["rsp"])
        except FaultError:
            where = 0
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
