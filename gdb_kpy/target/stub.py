# SPDX-License-Identifier: GPL-2.0-or-later
"""Raw packets to the gdbstub: ten times faster than ``set $reg`` and ``gdb.Breakpoint``.

GDB does not learn what raw packets do. Two rules keep its picture right: they are sent only inside
``Stub.raw()``, which puts back the thread that GDB believes selected; and whoever lets a vCPU
move on says so with ``forget_registers()``.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator

import gdb

from gdb_kpy.core.errors import FaultError, KpyError, NotReadyError
from gdb_kpy.core.registers import Layout, Registers, parse_layout
from gdb_kpy.core.vcpu import KERNEL_CS, KERNEL_SS

_WATCHED = re.compile(rb"T05thread:p0*1\.([0-9a-f]+);[ar]?watch:")
_CHUNK = 1024  # bytes per packet that every QEMU takes (its packets have 4096 characters)


class Stub:
    """The connection of the selected inferior."""

    def __init__(self, connection: gdb.RemoteTargetConnection) -> None:
        self._connection = connection
        self._layout: Layout | None = None
        self._chosen: int | None = None  # the thread that the stub has selected, inside raw()

    @property
    def alive(self) -> bool:
        """Say whether this is still the connection of the selected inferior."""
        return self._connection.is_valid() and (
            gdb.selected_inferior().connection is self._connection
        )

    @property
    def name(self) -> str:
        """Return the socket or HOST:PORT."""
        return self._connection.details or ""

    @property
    def layout(self) -> Layout:
        """Return the layout of the register block."""
        if self._layout is None:
            text = gdb.execute("maint print remote-registers", to_string=True)
            self._layout = parse_layout(text)
        return self._layout

    # Threads -------------------------------------------------------------------------------

    def threads(self) -> list[int]:
        """Return the stub's thread numbers, one per vCPU, in QEMU's order."""
        return sorted(_number(t) for t in gdb.selected_inferior().threads())

    def selected(self) -> int:
        """Return the number of GDB's selected thread."""
        thread = gdb.selected_thread()
        if thread is None:
            raise NotReadyError("no vCPU is selected", "`thread 1`")
        return _number(thread)

    @contextlib.contextmanager
    def raw(self, settled: bool = False) -> Iterator[None]:
        """Bracket raw packets: afterwards the stub has the thread selected that GDB thinks.

        ``settled``: GDB has read memory or registers since its thread was selected.
        """
        selected = self.selected()
        if not settled:
            # Any read through GDB makes it select its thread, whether the read succeeds or not.
            with contextlib.suppress(gdb.error):
                gdb.selected_inferior().read_memory(0, 1)
        self._chosen = selected
        try:
            yield
        finally:
            try:
                self.select(selected)
            finally:
                self._chosen = None

    # Packets -------------------------------------------------------------------------------

    def packet(self, text: str) -> bytes:
        """Send one packet and return the answer."""
        try:
            answer = self._connection.send_packet(text)
        except (gdb.error, RuntimeError, ValueError) as error:
            raise NotReadyError(f"the connection to the guest is gone ({error})") from None
        return b"" if answer is None else answer

    def _must(self, text: str, what: str) -> None:
        answer = self.packet(text)
        if answer != b"OK":
            raise KpyError(
                f"the stub refused to {what} ({answer.decode('latin-1') or 'no answer'})"
            )

    def select(self, thread: int) -> None:
        """Select the vCPU for registers and memory; inside ``raw()``."""
        if thread == self._chosen:
            return
        self._chosen = None
        self._must(f"Hgp1.{thread:x}", f"select vCPU {thread - 1}")
        self._chosen = thread

    def halted(self, thread: int) -> bool:
        """Say whether a vCPU waits in HLT."""
        try:
            text = bytes.fromhex(self.packet(f"qThreadExtraInfo,p1.{thread:x}").decode("latin-1"))
        except ValueError:
            return False
        return b"halted" in text

    def registers(self) -> Registers:
        """Read the selected vCPU's registers."""
        answer = self.packet("g")
        try:
            raw = bytes.fromhex(answer.decode("latin-1"))
        except ValueError:
            raise KpyError(f"the stub cannot read registers ({answer!r})") from None
        return Registers(self.layout, raw)

    def set_registers(self, registers: Registers, narrow: bool = False) -> None:
        """Write all of the selected vCPU's registers.

        ``narrow``: the vCPU runs 32-bit code now, or will with these registers. While it does,
        QEMU takes only half of many registers, so cs is written on its own, first and last.
        """
        if not narrow:
            self._must("G" + registers.raw.hex(), "write registers")
            return
        wide = registers.copy()
        wide["cs"], wide["ss"] = KERNEL_CS, KERNEL_SS
        self.widen()
        self._must("G" + wide.raw.hex(), "write registers")
        self.set_register("ss", registers)
        self.set_register("cs", registers)

    def widen(self) -> None:
        """Put the selected vCPU's cs to 64-bit code, so that registers are whole."""
        wide = Registers(self.layout, bytes(self.layout.size))
        wide["cs"] = KERNEL_CS
        self.set_register("cs", wide)

    def set_register(self, name: str, registers: Registers) -> None:
        """Write one of the selected vCPU's registers."""
        offset, size = self.layout.places[name]
        data = registers.raw[offset : offset + size].hex()
        self._must(f"P{self.layout.numbers[name]:x}={data}", f"write {name}")

    def read(self, address: int, size: int) -> bytes:
        """Read memory as the selected vCPU sees it."""
        parts = []
        for at in range(address, address + size, _CHUNK):
            count = min(_CHUNK, address + size - at)
            try:
                part = bytes.fromhex(self.packet(f"m{at:x},{count:x}").decode("latin-1"))
            except ValueError:  # E14
                raise FaultError(at, count) from None
            if len(part) != count:
                raise FaultError(at, count)
            parts.append(part)
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> None:
        """Write memory as the selected vCPU sees it."""
        for start in range(0, len(data), _CHUNK):
            part = data[start : start + _CHUNK]
            answer = self.packet(f"M{address + start:x},{len(part):x}:{part.hex()}")
            if answer != b"OK":
                raise FaultError(address + start, len(part), "write")

    def insert(self, address: int) -> None:
        """Insert a breakpoint."""
        self._must(f"Z0,{address:x},1", f"set a breakpoint at {address:#x}")

    def remove(self, address: int) -> None:
        """Remove a breakpoint."""
        self._must(f"z0,{address:x},1", f"remove the breakpoint at {address:#x}")

    def watch(self, address: int, size: int) -> None:
        """Insert a write watchpoint."""
        self._must(f"Z2,{address:x},{size:x}", f"watch {address:#x}")

    def unwatch(self, address: int, size: int) -> None:
        """Remove a write watchpoint."""
        self._must(f"z2,{address:x},{size:x}", f"end the watch of {address:#x}")

    def resume(self, thread: int) -> bytes:
        """Let one vCPU run until it stops, or until GDB's ``remotetimeout`` stops it.

        QEMU selects whichever vCPU stopped, so the vCPU is selected anew unless it is that one.
        """
        self._chosen = None
        answer = self.packet(f"vCont;c:p1.{thread:x}")
        watched = _WATCHED.match(answer)
        if watched and int(watched[1], 16) == thread:
            self._chosen = thread
        self.select(thread)
        return answer

    def step(self, thread: int) -> bytes:
        """Let one vCPU execute one instruction."""
        self._chosen = None
        answer = self.packet(f"vCont;s:p1.{thread:x}")
        self.select(thread)
        return answer

    def monitor(self, command: str) -> str:
        """Run a command of QEMU's monitor."""
        try:
            return gdb.execute("monitor " + command, to_string=True)
        except gdb.error as error:
            raise NotReadyError(f"`monitor {command}` failed ({error})") from None


def _number(thread: gdb.InferiorThread) -> int:
    _pid, lwp, tid = thread.ptid
    return lwp or tid


@contextlib.contextmanager
def slice_of(seconds: int) -> Iterator[None]:
    """Make GDB stop a running vCPU after some seconds without an answer (it sends a NAK)."""
    before = gdb.parameter("remotetimeout")
    gdb.execute(f"set remotetimeout {seconds}", to_string=True)
    try:
        yield
    finally:
        gdb.execute(f"set remotetimeout {before}", to_string=True)


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Hold back Ctrl-C while a vCPU has registers that are not its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def interrupt_pending() -> bool:
    """Say whether Ctrl-C was typed inside ``no_interrupts()``."""
    return signal.SIGINT in signal.sigpending()


def forget_registers() -> None:
    """Make GDB read registers and frames again, because a vCPU moved behind its back."""
    gdb.execute("maint flush register-cache", to_string=True)
