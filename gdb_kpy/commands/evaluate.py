# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval`: Python in the frozen guest."""

from __future__ import annotations

import itertools

from gdb_kpy.commands import parameters
from gdb_kpy.commands.base import Failed, KpyCommand, paint, show, tell
from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.core.mailbox import Kind, Reply, Status, Text
from gdb_kpy.target import session as sessions
from gdb_kpy.target.evaluate import Evaluator

_SHOWN_REPEATS = 3


class Eval(KpyCommand):
    """Evaluate a Python expression inside the stopped guest.

    Usage: kpy eval EXPRESSION

    Prints what the expression prints, then the repr of its value. Only one vCPU runs, with
    interrupts off, and only the module's interpreter on it; afterwards the guest is as it was. An
    exception is shown with its traceback and fails the command. Python that does not end is
    stopped after `set kpy eval-timeout` milliseconds.

    Example:
      kpy eval 6*7
      kpy eval p64(jiffies_64)

    """

    word = "eval"

    def __init__(self) -> None:
        super().__init__()
        self._evaluator: tuple[sessions.Session, Evaluator] | None = None

    def run(self, argument: str) -> None:
        """Evaluate and print."""
        if not argument:
            raise KpyError("nothing to evaluate: `kpy eval EXPRESSION`, as in `kpy eval 6*7`")
        with sessions.viewed() as session:
            if self._evaluator is None or self._evaluator[0] is not session:
                self._evaluator = (session, Evaluator(session))
            done = self._evaluator[1].evaluate(argument, Kind.EVAL, parameters.eval_timeout_ms())
        for note in done.notes:
            tell(paint(f"[{note}]", "dim"))
        _show_reply(done.reply)


def _show_reply(reply: Reply) -> None:
    if reply.output.text or reply.output.cut:
        show(_whole(reply.output).rstrip("\n"))
    text = _whole(reply.result)
    if reply.status is Status.OK:
        show(text)
    elif reply.status is Status.REFUSED:
        raise NotReadyError(f"the module refused ({text})", "`continue` and stop again")
    else:
        body, _, last = text.rstrip("\n").rpartition("\n")
        if body:
            tell("\n".join(_fold(body.splitlines())))
        raise Failed(last)


def _fold(lines: list[str]) -> list[str]:
    """Fold the repeated lines of a deep recursion's traceback."""
    folded: list[str] = []
    for line, same in itertools.groupby(lines):
        count = len(list(same))
        folded += [line] * min(count, _SHOWN_REPEATS)
        if count > _SHOWN_REPEATS:
            folded.append(f"  [the line above {count - _SHOWN_REPEATS} more times]")
    return folded


def _whole(text: Text) -> str:
    return f"{text.text}… ({text.cut} more bytes)" if text.cut else text.text
