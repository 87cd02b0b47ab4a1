# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval`, `kpy exec`, `kpy forget`: Python in the guest, frozen or running."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gdb_kpy.commands import parameters
from gdb_kpy.commands.base import (
    COMPLETE_FILENAME,
    Failed,
    KpyCommand,
    paint,
    read_lines,
    show,
    tell,
)
from gdb_kpy.commands.print_ import complete_expression
from gdb_kpy.core import results
from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.core.mailbox import Flag, Kind, Reply, Status, Text
from gdb_kpy.target import convenience
from gdb_kpy.target import session as sessions
from gdb_kpy.target.evaluate import Evaluation, Evaluator
from gdb_kpy.target.run import Runner

_SHOWN_REPEATS = 3
_OPTIONS = ("-run", "-unsafe")


@dataclass(frozen=True)
class _Words:
    """An argument line: options, `/x`, and the rest as it was typed."""

    options: frozenset[str]
    format: str
    rest: str


def _split(argument: str, options: tuple[str, ...]) -> _Words:
    """Take options and a format off the front; what follows is Python and keeps its spaces."""
    found: set[str] = set()
    form = ""
    rest = argument
    while rest and "-file" not in found:
        word, _, after = rest.partition(" ")
        if word in options:
            found.add(word)
        elif word in ("/x", "/d"):
            form = word
        elif word.startswith("/"):
            raise KpyError(f"unknown format {word} (known: /x, /d)")
        else:
            break
        rest = after.lstrip()
    return _Words(frozenset(found), form, rest)


_evaluators: dict[str, tuple[sessions.Session, Evaluator, Runner]] = {}


def _tools(session: sessions.Session) -> tuple[Evaluator, Runner]:
    """Return the evaluators of a session; their addresses are looked up once."""
    known = _evaluators.get("current")
    if known is None or known[0] is not session:
        known = (session, Evaluator(session), Runner(session))
        _evaluators["current"] = known
    return known[1], known[2]


def evaluate(
    source: str,
    kind: Kind,
    options: frozenset[str] = frozenset(),
    keep: bool = True,
    run_on: bool = True,
) -> Evaluation:
    """Evaluate as the options say, at this stop or with the guest running.

    ``run_on``: where Python cannot be entered otherwise, all CPUs may run on a little.
    """
    source = results.expand(source)
    timeout = parameters.eval_timeout_ms()
    flags = Flag.KEEP if keep else Flag.NONE
    if "-unsafe" in options:
        flags |= Flag.UNSAFE
    if "-run" not in options:
        evaluator = _tools(sessions.current())[0]
        return evaluator.evaluate(source, kind, timeout, flags, show if run_on else None)
    with sessions.viewed() as session:
        runner = _tools(session)[1]
        if source:
            runner.post(source, kind, timeout, flags)
        elif not runner.owes_answer():
            raise KpyError("no evaluation is under way: `kpy eval -run EXPRESSION` starts one")
    return runner.wait(show)


def answer(source: str, keep: bool) -> Reply:
    """Evaluate an expression in the frozen guest; an exception of it is a KpyError."""
    reply = evaluate(source, Kind.EVAL, keep=keep, run_on=False).reply
    if reply.status is not Status.OK:
        raise Failed(reply.result.text.rstrip().rpartition("\n")[2])
    return reply


class Eval(KpyCommand):
    """Evaluate a Python expression inside the guest.

    Usage: kpy eval [/x|/d] [-run|-unsafe] EXPRESSION

    Prints what the expression prints, then the repr of its value. The value is kept: $kpy is
    the last one and $kpyN that with number N, in GDB's expressions and in Python. An exception is
    shown with its traceback and fails the command. Python that does not end is stopped after
    `set kpy eval-timeout` milliseconds.

    Without an option the guest stays frozen: only one vCPU runs, with interrupts off, and only
    the module's interpreter on it; afterwards the guest is as it was. Calls of kernel functions
    are refused, as another CPU may hold a lock they need.

      -run     lets the guest run until the answer is there: anything goes that goes at the REPL.
               Without EXPRESSION: wait for the one that was cut short by a breakpoint, and show
               the answer that nobody took.
      -unsafe  stay frozen and call kernel functions all the same
      /x, /d   show integers in hexadecimal, decimal

    Example:
      kpy eval 6*7
      kpy eval /x p64(jiffies_64)
      kpy eval -run task_struct(current()).comm
      kpy eval $kpy1 + 1

    """

    word = "eval"
    options = _OPTIONS

    def run(self, argument: str) -> None:
        """Evaluate and print."""
        words = _split(argument, _OPTIONS)
        if not words.rest and "-run" not in words.options:
            raise KpyError("nothing to evaluate: `kpy eval EXPRESSION`, as in `kpy eval 6*7`")
        _show(evaluate(words.rest, Kind.EVAL, words.options), words.format)

    def complete(self, text: str, word: str) -> Sequence[str] | int:
        """Complete options, names and attributes."""
        words = text.split()
        typing = words[-1] if text and not text[-1].isspace() else ""
        if typing.startswith("-") and all(each in self.options for each in words[:-1]):
            return super().complete(text, word)
        return complete_expression(text, word)


class Exec(KpyCommand):
    """Execute Python statements inside the guest.

    Usage: kpy exec [-run|-unsafe] CODE
           kpy exec [-run|-unsafe] -file FILE
           kpy exec [-run|-unsafe]

    The last form reads lines until one that says `end`. FILE is one of this machine. The options
    are those of `kpy eval`. Names that the code binds are the interpreter's globals.

    Example:
      kpy exec import gc; gc.collect()
      kpy exec -file check.py

    """

    word = "exec"
    options = (*_OPTIONS, "-file")

    def run(self, argument: str) -> None:
        """Execute and print."""
        words = _split(argument, (*_OPTIONS, "-file"))
        from_file = "-file" in words.options
        source = _read_file(words.rest) if from_file else words.rest or read_lines()
        if source.strip():
            _show(evaluate(source, Kind.EXEC, words.options), "")

    def complete_word(self, before: list[str], last: str) -> list[str] | int:  # type: ignore[override]
        """Complete the name of a file."""
        return COMPLETE_FILENAME if "-file" in before else []


class Forget(KpyCommand):
    """Let go of values that `kpy eval` keeps.

    Usage: kpy forget [N...]

    A kept value is a root of the garbage collector: what it refers to stays alive in the guest.
    Without a number all are forgotten.

    Example:
      kpy forget 3

    """

    word = "forget"

    def run(self, argument: str) -> None:
        """Evaluate calls that forget."""
        numbers = argument.replace("$kpy", "").split() or ["0"]
        for number in numbers:
            if not number.isdecimal():
                raise KpyError(f"{number} is not the number of a result: `kpy forget 3`")
        for number in numbers:
            done = evaluate(f"__kpy__({number}, False)", Kind.EXEC)
            if done.reply.status is not Status.OK:
                raise Failed(done.reply.result.text.rstrip().rpartition("\n")[2])


def _read_file(name: str) -> str:
    if not name:
        raise KpyError("no file given: `kpy exec -file FILE`")
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KpyError(f"cannot read {name}: {error}") from None


def _show(done: Evaluation, form: str) -> None:
    for note in done.notes:
        tell(paint(f"[{note}]", "dim"))
    _show_reply(done.reply, form)


def _show_reply(reply: Reply, form: str) -> None:
    if reply.output.text or reply.output.cut:
        show(_whole(reply.output).rstrip("\n"))
    text = _whole(reply.result)
    if reply.status is Status.OK:
        convenience.keep(reply)
        if text:
            show(paint_value(_formatted(text, form)))
    elif reply.status is Status.REFUSED:
        raise NotReadyError(f"the module refused ({text})", "`continue` and stop again")
    else:
        body, _, last = text.rstrip("\n").rpartition("\n")
        if body:
            tell("\n".join(_fold(body.splitlines())))
        raise Failed(last)


def _formatted(text: str, form: str) -> str:
    if form == "/x":
        return results.hexadecimal(text)
    return results.decimal(text) if form == "/d" else text


def paint_value(text: str) -> str:
    """Colour a value as Python is coloured, if the user wants colours."""
    if paint("", "dim") == "" or len(text) > 20_000:
        return text
    import pygments
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import PythonLexer

    painted = pygments.highlight(text, PythonLexer(ensurenl=False), TerminalFormatter())
    return str(painted).rstrip("\n")


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
