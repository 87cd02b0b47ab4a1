# SPDX-License-Identifier: GPL-2.0-or-later
"""Letting all vCPUs run on, and why they stopped then. Outside of ``Session.view()``."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence

import gdb

from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.target.session import Session

_INTERRUPTED = re.compile(rb"\n?Thread [^\n]* received signal SIGINT, Interrupt\.\n")
_AGAIN = 0.05  # seconds; QEMU drops an interrupt that comes while a watchpoint stops the guest


class StoppedElsewhere(KpyError):
    """The guest stopped before what was waited for had happened."""


class Stops:
    """Continuing, and why the guest stopped then."""

    def __init__(self) -> None:
        self.signal = ""
        self.breakpoints: list[gdb.Breakpoint] = []
        self.timed_out = False
        self._runs = False

    def heard(self, event: gdb.StopEvent) -> None:
        """Keep the reason of a stop."""
        self.signal = event.stop_signal if isinstance(event, gdb.SignalEvent) else ""
        self.breakpoints = list(event.breakpoints) if isinstance(event, gdb.BreakpointEvent) else []

    def go_on(self, seconds: float | None = None) -> str:
        """Continue all vCPUs until a stop, or for some time; return what GDB says about it.

        With a time, GDB says nothing.
        """
        self.signal, self.breakpoints, self.timed_out = "", [], False
        self._runs = True
        try:
            if seconds is None:
                return gdb.execute("continue", to_string=True) or ""
            self._interrupt_after(seconds)
            with self._quiet():
                gdb.execute("with suppress-cli-notifications on -- continue", to_string=True)
            return ""
        except KeyboardInterrupt:
            self.signal = self.signal or "SIGINT"
            return ""
        finally:
            self._runs = False

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Hold back what is written, and drop what GDB 13 says of our interrupt all the same.

        Everything else is written as it came, after the stop.
        """
        gdb.flush()
        shown = os.dup(1)
        try:
            with tempfile.TemporaryFile(buffering=0) as held_back:
                os.dup2(held_back.fileno(), 1)
                try:
                    yield
                finally:
                    gdb.flush()
                    os.dup2(shown, 1)
                    held_back.seek(0)
                    text = held_back.read()
                    if self.timed_out:
                        text = _INTERRUPTED.sub(b"", text)
                    while text:
                        text = text[os.write(1, text) :]
        finally:
            os.close(shown)

    def _interrupt_after(self, seconds: float) -> None:
        def post() -> None:
            # GDB crashes at its exit when it still has such an event.
            if self._runs:
                gdb.post_event(self._interrupt)

        alarm = threading.Timer(seconds, post)
        alarm.daemon = True
        alarm.start()

    def _interrupt(self) -> None:
        """Stop the guest; runs between GDB's events, perhaps after it stopped by itself."""
        if self._runs:
            self.timed_out = True
            gdb.execute("interrupt", to_string=True)
            self._interrupt_after(_AGAIN)

    @staticmethod
    def at_breakpoint(address: int) -> bool:
        """Say whether the selected vCPU stopped there."""
        return int(gdb.selected_frame().pc()) == address


@contextlib.contextmanager
def all_vcpus() -> Iterator[Stops]:
    """Continue with all vCPUs, whatever the user's setting."""
    locking = gdb.parameter("scheduler-locking")
    stops = Stops()
    gdb.events.stop.connect(stops.heard)
    gdb.execute("set scheduler-locking off", to_string=True)
    try:
        yield stops
    finally:
        gdb.events.stop.disconnect(stops.heard)
        with contextlib.suppress(gdb.error):
            gdb.execute(f"set scheduler-locking {locking}", to_string=True)


def require_guest(session: Session) -> None:
    """Raise if the guest went away while it ran."""
    if not session.stub.alive or gdb.selected_thread() is None:
        raise NotReadyError("the guest is gone", "`kpy attach`")


def possible() -> bool:
    """Say whether the guest may be continued: not while GDB evaluates a breakpoint's condition."""
    thread = gdb.selected_thread()
    return thread is not None and not thread.is_running()


def _described(hit: Sequence[gdb.Breakpoint], signal: str) -> str:
    """Say where the selected vCPU stopped, and why, as GDB does."""
    frame = gdb.execute("frame", to_string=True).removeprefix("#0").strip()
    thread = gdb.selected_thread()
    who = f"Thread {thread.num}" if thread is not None else "A thread"
    why = ", ".join(f"hit Breakpoint {each.number}" for each in hit) or f"received signal {signal}"
    return f"{who} {why}, {frame}"


class _Change(gdb.Breakpoint):
    """Where a 32-bit word changes."""

    def __init__(self, word: int) -> None:
        super().__init__(
            f"*(unsigned int *) {word:#x}",
            type=gdb.BP_WATCHPOINT,
            wp_class=gdb.WP_WRITE,
            internal=True,
        )
        self.silent = True


def until_changed(session: Session, word: int, seconds: float) -> str:
    """Let all vCPUs run on until one changes a 32-bit word, or for some time.

    Returns "" then, and what GDB says about it after any other stop. The selected thread is kept,
    and its selected frame while the function is in progress.
    """
    selected, frame = gdb.selected_thread(), _outer_frame()
    change = _Change(word)
    try:
        with all_vcpus() as stops:
            stops.go_on(seconds)
        users = [each for each in stops.breakpoints if each.number != change.number]
    finally:
        with contextlib.suppress(gdb.error, RuntimeError):
            change.delete()
    session.memory.drop()
    require_guest(session)
    if users or (stops.signal and not stops.timed_out):
        return _described(users, stops.signal)
    if selected is not None and selected.is_valid():
        selected.switch()
        if frame is not None and frame.is_valid():
            frame.select()
    return ""


def _outer_frame() -> gdb.Frame | None:
    """Return the selected frame if it is not the innermost, which is selected after any stop."""
    try:
        frame = gdb.selected_frame()
    except gdb.error:
        return None
    return frame if frame.level() else None
