# SPDX-License-Identifier: GPL-2.0-or-later
"""The running kernel: where KASLR put it, that the vmlinux is really its."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from gdb_kpy.core import elf, idt
from gdb_kpy.core.errors import AbsentError, FaultError, KpyError, NotReadyError
from gdb_kpy.core.memory import MASK64, cstring, readable
from gdb_kpy.core.vcpu import PTI_USER_BITS, WIDE_CS
from gdb_kpy.target.memory import Memory
from gdb_kpy.target.stub import Stub, forget_registers, no_interrupts

#: Handler of gate 0, newest name first (renamed by commit 9d06c4027f21, in v5.8).
_GATE0 = ("asm_exc_divide_error", "divide_error")
_NOTE_HEADER = bytes.fromhex("040000001400000003000000") + b"GNU\0"
_MIB = 1 << 20


class Kernel:
    """A running kernel whose build-id was compared with that of its vmlinux."""

    def __init__(self, vmlinux: elf.ElfFile, offset: int, release: str) -> None:
        self.path = vmlinux.path
        self.build_id = vmlinux.build_id()
        self.offset = offset
        self.release = release
        self._elf = vmlinux
        self._symbols: dict[str, int | None] = {}

    def linked(self, *names: str) -> list[int | None]:
        """Look up values as the ELF file has them; many at once cost as much as one."""
        missing = [n for n in names if n not in self._symbols]
        if missing:
            found = self._elf.symbols(missing)
            self._symbols.update({n: found.get(n) for n in missing})
        return [self._symbols[n] for n in names]

    def address(self, name: str) -> int:
        """Return where a symbol lies in the running kernel."""
        found = self.find(name)
        if found is None:
            raise AbsentError(f"this kernel has no symbol {name}")
        return found

    def find(self, name: str) -> int | None:
        """Return where a symbol lies in the running kernel, None when there is none."""
        value = self.linked(name)[0]
        return None if value is None else (value + self.offset) & MASK64

    def percpu(self, name: str) -> int | None:
        """Return a per-CPU variable's offset from the CPU's base; KASLR does not move it."""
        return self.linked(name)[0]


@contextlib.contextmanager
def kernel_view(stub: Stub, memory: Memory, probe: int) -> Iterator[None]:
    """Make kernel memory readable, which it is not in user mode under page-table isolation.

    ``probe`` is an address in the kernel's data. When it cannot be read and the CPU is on the
    user's page tables, the kernel's are put in for as long as the block lasts.
    """
    if readable(memory.read, probe):
        yield
        return
    with stub.raw():
        own = stub.registers()
    if not own["cr3"] & PTI_USER_BITS:
        yield
        return
    lent = own.copy()
    narrow = own["cs"] not in WIDE_CS
    lent["cr3"] = own["cr3"] & ~PTI_USER_BITS
    with no_interrupts(), stub.raw():
        stub.set_registers(lent, narrow)
    memory.drop()
    try:
        yield
    finally:
        with no_interrupts(), stub.raw():
            stub.set_registers(own, narrow)
        memory.drop()
        forget_registers()


def locate(stub: Stub, memory: Memory, vmlinux: elf.ElfFile, search: bool) -> Kernel:
    """Find the running kernel's base and verify that ``vmlinux`` is its file.

    ``search`` for the running kernel's build-id if it is another: a second's work for an error.
    """

    def view(probe: int) -> contextlib.AbstractContextManager[None]:
        return kernel_view(stub, memory, probe)

    table = idt.base_from_monitor(stub.monitor("info registers"))
    return locate_by_table(memory, vmlinux, table, view, search)


def locate_by_table(
    memory: Memory,
    vmlinux: elf.ElfFile,
    table: int,
    view: Callable[[int], contextlib.AbstractContextManager[None]],
    search: bool,
) -> Kernel:
    """Find the kernel's base by a CPU's interrupt table: gate 0 is a symbol of the kernel."""
    wanted = (*_GATE0, "__start_notes", "__stop_notes", "linux_banner")
    symbols = vmlinux.symbols(wanted)
    linked = next((symbols[name] for name in _GATE0 if name in symbols), None)
    if linked is None or not {"__start_notes", "__stop_notes", "linux_banner"} <= symbols.keys():
        raise AbsentError(f"{vmlinux.path} is not an x86-64 vmlinux", "give one by -vmlinux FILE")
    try:
        gate = idt.handler(memory.read(table, idt.GATE_SIZE), table)
    except KpyError as error:
        raise NotReadyError(
            f"the guest has no kernel with interrupts yet ({error})", "`continue`, attach later"
        ) from None
    offset = gate - linked
    start, stop = symbols["__start_notes"] + offset, symbols["__stop_notes"] + offset
    mine = vmlinux.build_id()
    with view(start):
        try:
            running = elf.build_id(memory.read(start, stop - start))
        except FaultError:
            running = ""
        if running != mine:
            found = running or (_search_build_id(memory, start) if search else "")
            other = found or "unknown"
            raise NotReadyError(
                f"{vmlinux.path} has build-id {mine or 'none'}, the running kernel {other}",
                "give the vmlinux of the running kernel by -vmlinux FILE",
            )
        banner = cstring(memory.read, symbols["linux_banner"] + offset, 1024)
    words = banner.split()
    release = words[2] if banner.startswith("Linux version ") and len(words) > 2 else banner
    return Kernel(vmlinux, offset, release)


def _search_build_id(memory: Memory, near: int) -> str:
    """Look around a place for the kernel's build-id note, in order to name it in an error."""
    for distance in (0, 1, -1, 2, -2, 3, -3, 4, -4):
        start = near - near % _MIB + distance * _MIB
        for at in range(start, start + _MIB, 1 << 16):
            try:
                found = memory.read(at, 1 << 16)
            except FaultError:
                continue
            place = found.find(_NOTE_HEADER)
            # The vDSO's image lies in the kernel too; its note follows an ELF header closely.
            if place >= 0 and b"\x7fELF" not in found[max(0, place - 4096) : place]:
                return elf.build_id(found[place : place + 36])
    return ""
