# SPDX-License-Identifier: GPL-2.0-or-later
"""Places in the kernel that a call must not reach, and what arriving there means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gdb_kpy.core.memory import Read, u64s


@dataclass(frozen=True)
class Trap:
    """One such place."""

    meaning: str
    error_code: bool = False  # the CPU pushes an error code below the frame
    entry: bool = True  # an exception's entry: the frame on the stack says where it happened
    fixable: bool = False  # the kernel survives it at places listed in its exception tables


#: Symbols of the kernel. The entries are taken, not their C handlers: there nothing has run yet.
TRAPS: Mapping[str, Trap] = {
    "asm_exc_page_fault": Trap("a page fault", error_code=True, fixable=True),
    "asm_exc_general_protection": Trap("a general protection fault", error_code=True, fixable=True),
    "asm_exc_stack_segment": Trap("a stack fault", error_code=True, fixable=True),
    "asm_exc_double_fault": Trap("a double fault (stack overflow)", error_code=True),
    "asm_exc_divide_error": Trap("a division by zero", fixable=True),
    "asm_exc_invalid_op": Trap("an invalid instruction (BUG or WARN)"),
    "__schedule": Trap("an attempt to sleep", entry=False),
    "panic": Trap("a kernel panic", entry=False),
}


def origin(read: Read, trap: Trap, rsp: int) -> int:
    """Return the address that faulted (or that called), from the stack at the trap."""
    first, second = u64s(read, rsp, 2)
    return second if trap.error_code else first


def describe(trap: Trap, where: str, cr2: int | None) -> str:
    """Say what happened in one phrase."""
    at = f" at address {cr2:#x}" if cr2 is not None else ""
    return f"{trap.meaning}{at} in {where}"
