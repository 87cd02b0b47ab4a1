# SPDX-License-Identifier: GPL-2.0-or-later
"""Waking a halted CPU without letting it do anything."""

from __future__ import annotations

from gdb_kpy.core.errors import CallError, NotReadyError
from gdb_kpy.core.vcpu import FLAGS_CALL, Mode, Vcpu
from gdb_kpy.target.kernel import Kernel
from gdb_kpy.target.stub import Stub, no_interrupts, slice_of

_SECONDS = 2


def wake(stub: Stub, kernel: Kernel, cpu: Vcpu) -> None:
    """Make CPU 0 runnable when it waits in HLT; its registers are as before.

    A halted CPU only runs again for an interrupt. With interrupts off that is an NMI, which QEMU's
    monitor sends to CPU 0 alone. It is caught at the handler's first instruction and ended at once
    by the kernel's own IRET, so that further NMIs are not blocked.
    """
    kernel.linked("asm_exc_nmi", "native_irq_return_iret")
    entry, iret = kernel.address("asm_exc_nmi"), kernel.address("native_irq_return_iret")
    own = cpu.registers
    if cpu.mode is not Mode.KERNEL:
        raise NotReadyError("CPU 0 is halted outside the kernel", "`continue` and stop again")
    with no_interrupts(), stub.raw(), slice_of(_SECONDS):
        stub.select(cpu.thread)
        quiet = own.copy()
        quiet["eflags"] = FLAGS_CALL
        stub.set_registers(quiet)
        try:
            stub.monitor("nmi")
            stub.insert(entry)
            try:
                stub.resume(cpu.thread)
            finally:
                stub.remove(entry)
            now = stub.registers()
            if now["rip"] == entry:
                now["rip"] = iret
                stub.set_registers(now)
                stub.step(cpu.thread)
                now = stub.registers()
            if (now["rip"], now["rsp"]) != (own["rip"], own["rsp"]):
                raise CallError("all CPUs are halted and CPU 0 could not be woken")
        finally:
            stub.set_registers(own)
