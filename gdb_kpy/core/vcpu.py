# SPDX-License-Identifier: GPL-2.0-or-later
"""What a stopped vCPU is doing, and the registers with which it can call a kernel function."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from gdb_kpy.core.errors import NotReadyError
from gdb_kpy.core.registers import Registers

KERNEL_CS = 0x10
KERNEL_SS = 0x18
USER64_CS = 0x33
FLAGS_CALL = 0x2  # only the bit that is always set: interrupts off, direction flag clear
FLAG_IF = 0x200
_EFER_LMA = 1 << 10
_CR0_PE = 1
#: The bits by which page-table isolation tells a user CR3 from the kernel's (PGD and PCID).
PTI_USER_BITS = 0x1800


#: Code segments of 64-bit code; with any other the stub hides and drops upper halves.
WIDE_CS = (KERNEL_CS, USER64_CS)


class Mode(enum.Enum):
    """What kind of code was interrupted by the stop."""

    USER64 = "user mode"
    USER32 = "user mode (32-bit)"
    KERNEL = "kernel"
    ENTRY = "kernel entry"  # kernel code that still has (or again) the user's gs_base
    EARLY = "early boot"


@dataclass(frozen=True)
class Vcpu:
    """One stopped vCPU."""

    thread: int  # number of the stub's thread, which is QEMU's index + 1
    cpu: int | None  # the kernel's number; None when per-CPU data are not set up
    mode: Mode
    halted: bool
    registers: Registers

    @property
    def irqs_on(self) -> bool:
        """Say whether interrupts were enabled."""
        return bool(self.registers["eflags"] & FLAG_IF)

    @property
    def percpu_base(self) -> int:
        """Return the base of this CPU's per-CPU data."""
        return self.registers["k_gs_base" if swapped(self.mode) else "gs_base"]


def swapped(mode: Mode) -> bool:
    """Say whether the kernel's per-CPU base is in k_gs_base and not in gs_base."""
    return mode in (Mode.USER64, Mode.USER32, Mode.ENTRY)


def inspect(thread: int, registers: Registers, halted: bool, bases: Sequence[int]) -> Vcpu:
    """Classify a vCPU; ``bases`` are the per-CPU bases of all the kernel's CPUs.

    A comparison with the known bases is right even where a program gave itself a gs_base that
    looks like the kernel's, which the sign of gs_base is not.
    """
    if not registers["efer"] & _EFER_LMA or not registers["cr0"] & _CR0_PE:
        return Vcpu(thread, None, Mode.EARLY, halted, registers)
    if registers["cs"] & 3 == 3:
        mode = Mode.USER64 if registers["cs"] == USER64_CS else Mode.USER32
    elif registers["gs_base"] in bases and registers["gs_base"]:
        mode = Mode.KERNEL
    elif registers["k_gs_base"] in bases and registers["k_gs_base"]:
        mode = Mode.ENTRY
    else:
        return Vcpu(thread, None, Mode.EARLY, halted, registers)
    base = registers["k_gs_base" if swapped(mode) else "gs_base"]
    cpu = bases.index(base) if base in bases else None
    return Vcpu(thread, cpu, mode if cpu is not None else Mode.EARLY, halted, registers)


def kernel_context(vcpu: Vcpu) -> Registers:
    """Return the vCPU's registers with kernel segments, interrupts off, the kernel's gs_base.

    The privilege level follows ss, so cs alone would not do. Page tables are the caller's matter.
    """
    if vcpu.mode is Mode.EARLY:
        raise NotReadyError(
            f"vCPU {vcpu.thread - 1} is not running the kernel proper yet (early boot)",
            "`continue` and stop again later",
        )
    regs = vcpu.registers.copy()
    regs["cs"] = KERNEL_CS
    regs["ss"] = KERNEL_SS
    regs["eflags"] = FLAGS_CALL
    if swapped(vcpu.mode):
        regs["gs_base"] = vcpu.registers["k_gs_base"]
        regs["k_gs_base"] = vcpu.registers["gs_base"]
    return regs
