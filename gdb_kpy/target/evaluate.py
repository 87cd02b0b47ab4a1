# SPDX-License-Identifier: GPL-2.0-or-later
"""Evaluating Python in the frozen guest, through the module's mailbox and a hand-made call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gdb_kpy.core.errors import NotReadyError
from gdb_kpy.core.mailbox import STATE_BUSY, STATE_DONE, STATE_IDLE, Flag, Kind, Mailbox, Reply
from gdb_kpy.core.memory import u32, u64
from gdb_kpy.core.vcpu import Mode, Vcpu
from gdb_kpy.target import gil, go_on, wake
from gdb_kpy.target.call import Call, Caller, Done
from gdb_kpy.target.session import Session

#: The module stops runaway Python itself; only after that much more is the call given up.
_GRACE_SECONDS = 3.0
#: For how many seconds all CPUs run on at most, again and again, until the GIL is let go.
_ROUNDS = (0.2, 0.5, 1.0)


@dataclass
class Evaluation:
    """An answer, and how it came about."""

    reply: Reply
    cpu: int | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """The module's mailbox and the stack for evaluations."""

    mailbox: int
    stack_top: int


class Evaluator:
    """Evaluates in one attached guest."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._caller = Caller(session)
        self._known: _Place | None = None

    def evaluate(
        self,
        source: str,
        kind: Kind,
        timeout_ms: int,
        flags: Flag = Flag.KEEP,
        show: Callable[[str], None] | None = None,
    ) -> Evaluation:
        """Evaluate now, at this stop; whatever happens the guest is left as it was.

        When the GIL's holder cannot go on alone, all CPUs run on until it lets go; ``show`` gets
        what GDB says about a stop meanwhile. Without ``show`` that is not done.
        """
        session = self._session
        rounds = list(_ROUNDS) if show and go_on.possible() else []
        notes: list[str] = []
        while True:
            try:
                with session.view(renew=True):
                    return self._at_this_stop(source, kind, timeout_ms, flags, notes)
            except gil.Held as held:
                if not rounds or show is None:
                    also = ", all CPUs having run on meanwhile" if notes else ""
                    raise NotReadyError(held.reason + also, held.remedy) from None
                word = session.module().info["addr.gil_word"]
                stop = go_on.until_changed(session, word, rounds.pop(0))
                notes = ["all CPUs ran on, as the one that holds the GIL could not do so alone"]
                if stop:
                    show(stop)
                    raise go_on.StoppedElsewhere(
                        "the guest stopped there, as all CPUs had to run on until the GIL is free: "
                        "evaluate again"
                    ) from None

    def _at_this_stop(
        self, source: str, kind: Kind, timeout_ms: int, flags: Flag, notes: list[str]
    ) -> Evaluation:
        session = self._session
        info = session.module().info
        read = session.memory.read
        held = gil.holder(session, info) is not None  # through GDB: what follows builds on that
        cpu = session.vcpu(session.stub.selected())
        again = session.last_called
        if not usable(cpu) and again not in (None, cpu.thread):
            cpu = session.vcpu(again)
        place = self._place(cpu)
        mailbox = Mailbox(place.mailbox, info)
        writes = mailbox.request(source, kind, timeout_ms, flags, STATE_BUSY)
        notes = list(notes)
        if mailbox.state(read) == STATE_BUSY:
            notes.append(
                "an earlier evaluation was cut off; its debugger ended in the middle of it"
            )
        holder = None
        if held:
            holder = gil.free(session, info, session.vcpus())
        if holder is not None:
            notes.append(f"CPU {holder.cpu} ran on to the next point where Python may be entered")
        if holder is not None or not usable(cpu):
            cpu = choose(session, session.vcpus(), holder)
        call = Call(
            function=info["addr.eval_start"],
            returns=False,
            stack_top=place.stack_top,
            return_address=info["addr.eval_return"],
            seconds=timeout_ms / 1000 + _GRACE_SECONDS,
            writes=writes,
            undo=(
                (info["addr.gil_cpu"], 4),
                (info["addr.gil_word"], 4),
                (mailbox.state_write(STATE_IDLE)[0], 4),
            ),
            abort=info.get("addr.eval_abort"),
            done=Done(mailbox.state_write(STATE_DONE)[0], STATE_DONE),
        )
        self._caller.call(cpu, call)
        return Evaluation(mailbox.reply(read), cpu.cpu, notes)

    def _place(self, cpu: Vcpu) -> _Place:
        """Return where evaluations take place, read anew unless the last thing was one."""
        session = self._session
        if self._known is None or not session.just_called(cpu.thread, cpu.registers):
            read, info = session.memory.read, session.module().info
            if not u32(read, info["addr.ready"]):
                raise NotReadyError(
                    "the interpreter in the guest is not running yet or anymore",
                    "`continue` and stop again",
                )
            found = _Place(u64(read, info["addr.mailbox"]), u64(read, info["addr.eval_stack_top"]))
            if not found.mailbox or not found.stack_top:
                raise NotReadyError("the module has no mailbox", "reload the module")
            self._known = found
        return self._known


def usable(cpu: Vcpu) -> bool:
    """Say whether a vCPU can make a call as it is."""
    return cpu.mode is not Mode.EARLY and not cpu.halted


def choose(session: Session, vcpus: Sequence[Vcpu], holder: Vcpu | None = None) -> Vcpu:
    """Choose a vCPU that runs: the one that let go of the GIL, the selected one, any."""
    proper = [v for v in vcpus if v.mode is not Mode.EARLY]
    if not proper:
        raise NotReadyError(
            "no CPU runs the kernel proper (early boot, or reset)", "`continue` and stop again"
        )
    running = [v for v in vcpus if usable(v)]
    if not running:
        zero = next((v for v in proper if v.cpu == 0), None)
        if zero is None:
            raise NotReadyError("all CPUs are halted", "`continue` and stop again")
        wake.wake(session.stub, session.kernel, zero)
        return zero
    preferred = (holder.thread if holder else None, session.stub.selected())
    for thread in preferred:
        for cpu in running:
            if cpu.thread == thread:
                return cpu
    return running[0]
