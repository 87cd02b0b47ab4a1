# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy print`: Python values by reading memory alone."""

from __future__ import annotations

from collections.abc import Sequence

from gdb_kpy.commands import parameters
from gdb_kpy.commands.base import KpyCommand, show
from gdb_kpy.core import details
from gdb_kpy.core.c_values import EvalError, StructPtr
from gdb_kpy.core.containers import number
from gdb_kpy.core.errors import KpyError
from gdb_kpy.core.expression import completions
from gdb_kpy.core.py_objects import Obj
from gdb_kpy.core.py_repr import Limits
from gdb_kpy.target import objects
from gdb_kpy.target import session as sessions
from gdb_kpy.target.functions import Answer

_RADIX = {"/x": 16, "/d": 10}


class Print(KpyCommand):
    """Print a Python expression by reading the guest's memory; nothing runs in the guest.

    Usage: kpy print [/x | /d] [-raw] [-members] EXPRESSION

    Names are the REPL's globals, imported modules, builtins, kernel symbols and structs; $kpy and
    $kpyN are what `kpy eval` kept. Works at
    every stop: inside the collector, after a panic, in a core file. Attributes, items, slices,
    arithmetic, comparisons and `x if c else y` are evaluated, and len, int, str, repr, type, hex,
    sizeof, offsetof, container_of, p8 to p64 are called; code of the guest is not: for properties,
    methods and comprehensions use `kpy eval`.
      /x, /d    numbers and addresses in hexadecimal, in decimal
      -raw      the object's fields as they are in memory
      -members  all members of a struct
    `set kpy max-items` and `set kpy max-depth` limit what is shown.

    Example:
      kpy print hooks_by_name["open"][0].hits
      kpy print task_struct(init_task).comm
      kpy print/x jiffies_64.value

    """

    word = "print"
    options = ("-raw", "-members")

    def run(self, argument: str) -> None:
        """Evaluate and print."""
        flags, radix, expression = _parse(argument)
        with sessions.viewed() as session:
            view = objects.view(session)
            repr = view.repr(_limits(), radix)
            value = view.evaluator(repr).evaluate(expression)
            if "-raw" in flags:
                lines = details.raw(view.objects, _word(value))
            else:
                lines = [repr.text(value)]
                lines += ["  " + line for line in details.details(view.objects, repr, value)]
            if "-members" in flags:
                if not isinstance(value, StructPtr):
                    raise KpyError("-members needs a struct: `kpy print -members NAME(ADDRESS)`")
                lines += ["  " + line for line in details.members(view.objects, repr, value)]
        for line in lines:
            show(line)

    def complete(self, text: str, word: str) -> Sequence[str] | int:
        """Complete options, names and attributes."""
        last = text.split()[-1] if text and not text[-1].isspace() else ""
        if last.startswith("-") and last in text.split()[:1]:
            return super().complete(text, word)
        return complete_expression(text, word)


def complete_expression(text: str, word: str) -> list[str]:
    """Complete the name or attribute at the end of a Python expression."""
    try:
        with sessions.viewed() as session:
            view = objects.view(session)
            found, names = completions(view.evaluator(view.repr(_limits())), text)
    except KpyError:
        return []
    # GDB replaces what it takes for the last word, which may be more or less than ours.
    if len(word) >= len(found):
        return [word[: len(word) - len(found)] + name for name in names]
    return [name[len(found) - len(word) :] for name in names]


def answer(expression: str) -> Answer:
    """Evaluate for GDB's own expressions."""
    with sessions.viewed() as session:
        view = objects.view(session)
        repr = view.repr(_limits())
        value = view.evaluator(repr).evaluate(expression)
        struct = value.record.name if isinstance(value, StructPtr) else None
        text = value if isinstance(value, str) else repr.text(value)
        return Answer(text, number(value), struct)


def _parse(argument: str) -> tuple[set[str], int, str]:
    """Split off options; the rest is the expression as it stands."""
    flags: set[str] = set()
    radix = 0
    rest = argument
    while rest.startswith(("/", "-")):
        word, _, after = rest.partition(" ")
        if word in _RADIX:
            radix = _RADIX[word]
        elif word in Print.options:
            flags.add(word)
        elif word.startswith("/"):
            raise KpyError(f"unknown format {word} (known: {', '.join(_RADIX)})")
        else:
            break  # a negative number, or what is no option
        rest = after.strip()
    if not rest:
        raise KpyError("nothing to print: `kpy print EXPRESSION`, as in `kpy print 6*7`")
    return flags, radix, rest


def _limits() -> Limits:
    return Limits(parameters.max_depth(), parameters.max_items())


def _word(value: object) -> int:
    if isinstance(value, Obj):
        return value.address
    raise EvalError("TypeError", "-raw needs an object that the expression leads to")
