# SPDX-License-Identifier: GPL-2.0-or-later
"""One attached guest: connection, kernel, module, vCPUs. There is at most one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gdb

from gdb_kpy.core import elf, linux_module, vcpu
from gdb_kpy.core.errors import NotReadyError
from gdb_kpy.core.memory import u32, u64s
from gdb_kpy.core.registers import Registers
from gdb_kpy.core.vcpu import Vcpu
from gdb_kpy.target import connect, core_file, kernel, module, symbols
from gdb_kpy.target.kernel import Kernel
from gdb_kpy.target.memory import Memory, unwatch_events, watch_events
from gdb_kpy.target.module import KpyModule
from gdb_kpy.target.stub import Stub

_ATTACH = "`kpy attach`"
_MOST_CPUS = 512


@dataclass(frozen=True)
class Candidate:
    """A vmlinux that may be the running kernel's, with the module built for it."""

    vmlinux: Path
    module: Path | None = None


class Session:
    """Everything known about the guest that GDB is attached to."""

    def __init__(self, stub: Stub, memory: Memory, running: Kernel, module_file: Path | None):
        self.stub = stub
        self.memory = memory
        self.kernel = running
        self.module_file = module_file
        self._offsets: linux_module.Offsets | None = None
        self._module: KpyModule | None = None
        self._module_generation = -1
        self._bases: tuple[int, ...] = ()
        self._called: tuple[int, int, bytes] | None = None

    @property
    def offsets(self) -> linux_module.Offsets:
        """Return the layout of ``struct module``, looked up once."""
        if self._offsets is None:
            self._offsets = module.offsets()
        return self._offsets

    def view(self, renew: bool = False) -> contextlib.AbstractContextManager[None]:
        """Make kernel memory readable at any stop; commands work inside this.

        ``renew``: GDB reads from the guest for that, and not from what was kept.
        """
        probe = self.kernel.address("linux_banner")
        if self._module is not None and self._module_generation == self.memory.generation:
            probe = self._module.info["addr.gil_word"]  # which is wanted anyway
        if renew:
            self.memory.renew(probe)
        return kernel.kernel_view(self.stub, self.memory, probe)

    def module(self) -> KpyModule:
        """Return the loaded module; looks again after every stop, as it may come and go."""
        if self._module is not None and self._module_generation == self.memory.generation:
            return self._module
        found = module.find(self.memory, self.kernel, self.offsets)
        if self._module is None or not self._same(found, self._module):
            if self._module is not None:
                symbols.drop(self._module.text)
            self._module = None
            fresh = module.read(self.memory, found, self.offsets)
            if self.module_file is not None:
                module.load_symbols(fresh, self.module_file)
            self._module = fresh
        self._module_generation = self.memory.generation
        return self._module

    def _same(self, found: linux_module.Module, known: KpyModule) -> bool:
        """Say whether a module in the list is the one that was read before."""
        return found.address == known.loaded.address and known.build_id == module.build_id(
            self.memory, known.sections
        )

    def bases(self) -> tuple[int, ...]:
        """Return the base of the per-CPU data of each CPU; it does not change after boot."""
        if not self._bases:
            read = self.memory.read
            count_at = self.kernel.find("nr_cpu_ids")
            count = u32(read, count_at) if count_at is not None else len(self.stub.threads())
            array = self.kernel.address("__per_cpu_offset")
            self._bases = u64s(read, array, max(1, min(count, _MOST_CPUS)))
        return self._bases

    def vcpus(self) -> list[Vcpu]:
        """Look at all vCPUs; in one go, by raw packets."""
        bases = self.bases()
        found = []
        with self.stub.raw():
            for thread in self.stub.threads():
                found.append(self._look_at(thread, bases))
        return found

    def vcpu(self, thread: int) -> Vcpu:
        """Look at one vCPU; GDB must have read memory since it last switched threads."""
        bases = self.bases()
        with self.stub.raw(settled=True):
            return self._look_at(thread, bases)

    def _look_at(self, thread: int, bases: Sequence[int]) -> Vcpu:
        self.stub.select(thread)
        registers = self.stub.registers()
        halted = not self.just_called(thread, registers) and self.stub.halted(thread)
        return vcpu.inspect(thread, registers, halted, bases)

    def called(self, cpu: Vcpu | None) -> None:
        """Note that a call just ended well on a vCPU and left it with these registers."""
        self._called = None
        if cpu is not None:
            self._called = (self.memory.generation, cpu.thread, bytes(cpu.registers.raw))

    @property
    def last_called(self) -> int | None:
        """Return the vCPU on which, at this stop, a call last ended well."""
        known = self._called
        return known[1] if known is not None and known[0] == self.memory.generation else None

    def just_called(self, thread: int, registers: Registers) -> bool:
        """Say whether nothing happened since such a call: the vCPU runs, and nothing is taken."""
        return self._called == (self.memory.generation, thread, bytes(registers.raw))


class CoreSession(Session):
    """A guest's memory in a core file: it can be read, and nothing else."""

    def view(self, renew: bool = False) -> contextlib.AbstractContextManager[None]:
        """Do nothing: a core file has the kernel's addresses."""
        return contextlib.nullcontext()


_current: Session | None = None


def current() -> Session:
    """Return the attached session; raises when there is none or the guest is running or gone."""
    if _current is None:
        raise NotReadyError("GDB is not attached to a guest", _ATTACH)
    if not _current.stub.alive:
        forget()
        raise NotReadyError("the guest that GDB was attached to is gone", _ATTACH)
    require_stopped()
    return _current


def require_stopped() -> None:
    """Refuse while the guest runs."""
    thread = gdb.selected_thread()
    if thread is None or not thread.is_valid() or not thread.is_running():
        return
    try:
        gdb.selected_frame()
    except gdb.error:
        raise NotReadyError(
            "the guest is running", "stop it first (Ctrl-C or `interrupt`)"
        ) from None
    # GDB decides whether to stop, as in the condition of a breakpoint: nobody told us of it.
    if _current is not None:
        _current.memory.forget()


def forget() -> None:
    """End the session."""
    global _current
    if _current is not None:
        unwatch_events(_current.memory)
        _current = None


def attach(
    address: str,
    candidates: Sequence[Candidate],
    module_file: Path | None,
    progress: Callable[[str], None],
) -> Session:
    """Connect, find the kernel and its symbols. The module is looked up by ``Session.module``."""
    global _current
    if not candidates:
        raise NotReadyError("the guest's vmlinux is not known", "give it by -vmlinux FILE")
    files = [(elf.ElfFile(candidate.vmlinux), candidate) for candidate in candidates]
    require_stopped()
    forget()
    stub, fresh = connect.connect(address)
    memory = Memory()
    try:

        def locate(vmlinux: elf.ElfFile, search: bool) -> Kernel:
            return kernel.locate(stub, memory, vmlinux, search)

        running, chosen = _first_that_fits(locate, files)
        if not symbols.has_index(running.build_id):
            progress(f"Reading the debug info of {running.path.name}; its index is kept.")
        symbols.load_kernel(running.path, running.offset, running.address("linux_banner"))
    except BaseException:
        if fresh:
            connect.leave()
        raise
    watch_events(memory)
    _current = Session(stub, memory, running, module_file or chosen.module)
    return _current


def attach_core(
    path: Path,
    candidates: Sequence[Candidate],
    module_file: Path | None,
    progress: Callable[[str], None],
) -> Session:
    """Open a core file, find the kernel in it, and load symbols."""
    global _current
    files = [(elf.ElfFile(candidate.vmlinux), candidate) for candidate in candidates]
    if not files:
        raise NotReadyError("the guest's vmlinux is not known", "give it by -vmlinux FILE")
    forget()
    core_file.close_core()
    stub, table = core_file.open_core(path)
    memory = Memory()
    try:

        def locate(vmlinux: elf.ElfFile, search: bool) -> Kernel:
            return kernel.locate_by_table(
                memory, vmlinux, table, lambda _probe: contextlib.nullcontext(), search
            )

        running, chosen = _first_that_fits(locate, files)
        if not symbols.has_index(running.build_id):
            progress(f"Reading the debug info of {running.path.name}; its index is kept.")
        symbols.load_kernel(running.path, running.offset, running.address("linux_banner"))
    except BaseException:
        core_file.close_core()
        raise
    watch_events(memory)
    _current = CoreSession(stub, memory, running, module_file or chosen.module)
    return _current


def _first_that_fits(
    locate: Callable[[elf.ElfFile, bool], Kernel],
    files: Sequence[tuple[elf.ElfFile, Candidate]],
) -> tuple[Kernel, Candidate]:
    for vmlinux, candidate in files:
        try:
            return locate(vmlinux, len(files) == 1), candidate
        except NotReadyError:
            if len(files) == 1:
                raise
    tried = ", ".join(str(candidate.vmlinux) for _vmlinux, candidate in files)
    raise NotReadyError(
        f"none of the vmlinux files known is the running kernel's ({tried})",
        "give it by -vmlinux FILE",
    )


@contextlib.contextmanager
def viewed() -> Iterator[Session]:
    """Give a command the current session with kernel memory readable."""
    session = current()
    with session.view():
        yield session
