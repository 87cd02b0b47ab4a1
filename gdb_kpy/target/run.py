# SPDX-License-Identifier: GPL-2.0-or-later
"""Evaluating Python in the running guest, by the module's own thread.

The request is put into a mailbox and the thread is kicked, by a call that only queues irq_work.
Then the whole guest goes on until that thread comes to the place where the answer is ready.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import gdb

from gdb_kpy.core.errors import NotReadyError
from gdb_kpy.core.mailbox import (
    STATE_BUSY,
    STATE_DONE,
    STATE_IDLE,
    STATE_POSTED,
    Flag,
    Kind,
    Mailbox,
)
from gdb_kpy.core.memory import u32, u64
from gdb_kpy.target.call import Call, Caller
from gdb_kpy.target.evaluate import Evaluation, choose
from gdb_kpy.target.go_on import StoppedElsewhere, Stops, all_vcpus, require_guest
from gdb_kpy.target.session import Session

_SECONDS = 3.0


class _Done(gdb.Breakpoint):
    """Where the module's thread has an answer."""

    def __init__(self, address: int) -> None:
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True


class Runner:
    """Evaluates in one attached guest while it runs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._caller = Caller(session)

    def _mailbox(self) -> Mailbox:
        session = self._session
        info = session.module().info
        read = session.memory.read
        if not u32(read, info["addr.ready"]):
            raise NotReadyError("the interpreter in the guest is not running", "`continue`")
        return Mailbox(u64(read, info["addr.run_mailbox"]), info)

    def unfinished(self) -> bool:
        """Say whether an earlier evaluation still runs."""
        state = self._mailbox().state(self._session.memory.read)
        return state in (STATE_BUSY, STATE_POSTED)

    def owes_answer(self) -> bool:
        """Say whether an earlier evaluation still runs, or nobody took its answer."""
        return self._mailbox().state(self._session.memory.read) != STATE_IDLE

    def post(self, source: str, kind: Kind, timeout_ms: int, flags: Flag = Flag.KEEP) -> None:
        """Hand the source to the module's thread."""
        mailbox = self._mailbox()
        if self.unfinished():
            raise NotReadyError(
                "an earlier `kpy eval -run` is not done", "`kpy eval -run` alone waits for it"
            )
        writes = mailbox.request(source, kind, timeout_ms, flags, STATE_POSTED)
        self._kick("addr.run", writes)

    def _kick(self, function: str, writes: list[tuple[int, bytes]]) -> None:
        session = self._session
        info = session.module().info
        with session.view():
            cpu = choose(session, session.vcpus())
            call = Call(
                function=info[function],
                stack_top=u64(session.memory.read, info["addr.eval_stack_top"]),
                return_address=info["addr.eval_return"],
                seconds=_SECONDS,
                writes=writes,
            )
            self._caller.call(cpu, call)

    def wait(self, show: Callable[[str], None]) -> Evaluation:
        """Let the guest run until the answer is there; Ctrl-C interrupts the Python code.

        Raises StoppedElsewhere at a breakpoint of the user, or at a second Ctrl-C.
        """
        session = self._session
        done = session.module().info["addr.run_done"]
        interrupted = 0
        with _stops_at(done) as stops:
            while True:
                found = self._take()
                if found is not None:
                    return found
                text = stops.go_on()
                session.memory.drop()
                require_guest(session)
                with session.view():
                    if stops.at_breakpoint(done):
                        continue
                    if stops.signal != "SIGINT" or interrupted:
                        show(text.rstrip())
                        raise StoppedElsewhere(
                            "the guest stopped before the answer was there; the evaluation goes on "
                            "when the guest does: `kpy eval -run` alone waits for it"
                        )
                    interrupted += 1
                    self._kick("addr.run_interrupt", [])

    def _take(self) -> Evaluation | None:
        """Take the answer out of the mailbox, if it is there."""
        session = self._session
        with session.view():
            mailbox = self._mailbox()
            read = session.memory.read
            if mailbox.state(read) != STATE_DONE:
                return None
            found = Evaluation(mailbox.reply(read), None)
            session.stub.write(*mailbox.state_write(STATE_IDLE))
            session.memory.drop()
            return found


@contextlib.contextmanager
def _stops_at(address: int) -> Iterator[Stops]:
    """Continue all vCPUs with a breakpoint there."""
    breakpoint_ = _Done(address)
    try:
        with all_vcpus() as stops:
            yield stops
    finally:
        with contextlib.suppress(gdb.error, RuntimeError):
            breakpoint_.delete()
