# SPDX-License-Identifier: GPL-2.0-or-later
"""Places in the kernel that a call must not reach, and what arriving there means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gdb_kpy.core.errors import FaultError
from gdb_kpy.core.memory import MASK64, Read, u64s


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


_ENTRY_BYTES = 24
#: ENDBR64; CLAC or what stands in its place, CLD; -1 where the CPU pushed no error code; a call.
_STRAIGHT = re.compile(
    rb"(?:\xf3\x0f\x1e\xfa)?(?:\x0f\x01\xca|\x0f\x1f\x00|\x90|\xfc)*(\x6a\xff)?\xe8(.{4})",
    re.DOTALL,
)


@dataclass(frozen=True)
class Arrival:
    """A trap that was reached, and where it happened: the address that faulted, or that called."""

    trap: Trap
    origin: int


class Stops:
    """Where to put breakpoints for the traps: fewer than traps, as each costs two round trips.

    Most entries do nothing before they call one routine (error_entry). A breakpoint at its first
    instruction does for all of them, as the address it returns to tells them apart. Others call it
    too: those are let through.
    """

    def __init__(self, read: Read, places: Mapping[int, Trap]) -> None:
        self._own = dict(places)
        self._common: dict[int, dict[int, Trap]] = {}
        callers: dict[int, dict[int, int]] = {}
        for at, trap in places.items():
            if trap.entry:
                routine, back = _straight_call(read(at, _ENTRY_BYTES), at, trap)
                callers.setdefault(routine, {})[back] = at
        callers.pop(0, None)  # those that do something first
        for routine, those in callers.items():
            if len(those) > 1:
                self._common[routine] = {back: self._own.pop(at) for back, at in those.items()}
        self.addresses = (*self._common, *self._own)

    def arrival(self, read: Read, rip: int, rsp: int) -> Arrival | None:
        """Return what was reached, None if it is no trap."""
        if rip in self._common:
            back, _error_code, origin = _slots(read, rsp, 3)
            trap = self._common[rip].get(back)
            return None if trap is None else Arrival(trap, origin)
        trap = self._own.get(rip)
        if trap is None:
            return None
        first, second = _slots(read, rsp, 2)
        return Arrival(trap, second if trap.error_code else first)


def _slots(read: Read, rsp: int, count: int) -> tuple[int, ...]:
    try:
        return u64s(read, rsp, count)
    except FaultError:
        return (0,) * count


def _straight_call(code: bytes, at: int, trap: Trap) -> tuple[int, int]:
    """Return what an entry calls before anything else and to where that returns; 0 if nothing."""
    found = _STRAIGHT.match(code)
    if found is None or (found[1] is None) != trap.error_code:
        return 0, 0
    back = at + found.end()
    return (back + int.from_bytes(found[2], "little", signed=True)) & MASK64, back


def describe(trap: Trap, where: str, cr2: int | None) -> str:
    """Say what happened in one phrase."""
    at = f" at address {cr2:#x}" if cr2 is not None else ""
    return f"{trap.meaning}{at} in {where}"
