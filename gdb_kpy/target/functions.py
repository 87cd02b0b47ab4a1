# SPDX-License-Identifier: GPL-2.0-or-later
"""`$kpy_eval()`, `$kpy_print()`, `$kpy_offsetof()` for GDB; `-kpy-eval` for programs."""

from __future__ import annotations

from typing import Callable, NamedTuple

import gdb

from gdb_kpy.core.errors import KpyError
from gdb_kpy.core.mailbox import Reply
from gdb_kpy.target import convenience

#: An expression, and whether its value is kept under a number.
Evaluate = Callable[[str, bool], Reply]
OffsetOf = Callable[[str, str], int]


class Answer(NamedTuple):
    """A value for GDB: a number, perhaps of a pointer to a struct, else a text."""

    text: str
    number: int | None
    struct: str | None


Print = Callable[[str], Answer]


def _asked(answer: Evaluate, source: str, keep: bool) -> Reply:
    try:
        return answer(source, keep)
    except KpyError as error:
        raise gdb.GdbError(str(error)) from None


class EvalFunction(gdb.Function):
    """Evaluate Python in the frozen guest, as `kpy eval` does.

    $kpy_eval("EXPRESSION") is a number, a pointer to a struct or a string, whatever the value is
    to C, else its repr as a string. It may be used in the condition of a breakpoint. The value is
    not kept in the guest.
    """

    def __init__(self, answer: Evaluate) -> None:
        self._answer = answer
        super().__init__("kpy_eval")

    def invoke(self, source: gdb.Value) -> gdb.Value:  # type: ignore[override]
        """Evaluate."""
        return convenience.to_gdb(_asked(self._answer, source.string(), keep=False))


class OffsetOfFunction(gdb.Function):
    """Return the offset of a member in bytes, from the module's layout table or DWARF.

    $kpy_offsetof("STRUCT", "MEMBER"), where MEMBER may go through others: "b.c", "a[2].d".
    """

    def __init__(self, offset_of: OffsetOf) -> None:
        self._offset_of = offset_of
        super().__init__("kpy_offsetof")

    def invoke(self, *arguments: gdb.Value) -> int:
        """Look it up."""
        if len(arguments) != 2:
            raise gdb.GdbError('usage: $kpy_offsetof("STRUCT", "MEMBER")')
        try:
            return self._offset_of(arguments[0].string(), arguments[1].string())
        except KpyError as error:
            raise gdb.GdbError(str(error)) from None
        except gdb.error as error:
            raise gdb.GdbError(f"$kpy_offsetof takes text in quotes ({error})") from None


class PrintFunction(gdb.Function):
    """Return the value of a Python expression by reading memory, as `kpy print` does.

    $kpy_print("EXPRESSION") is a number, a pointer to a struct, or a string. It may be used in the
    condition of a breakpoint.
    """

    def __init__(self, answer: Print) -> None:
        self._answer = answer
        super().__init__("kpy_print")

    def invoke(self, source: gdb.Value) -> gdb.Value:  # type: ignore[override]
        """Evaluate."""
        try:
            found = self._answer(source.string())
        except KpyError as error:
            raise gdb.GdbError(str(error)) from None
        return convenience.value_of(found.text, found.number, found.struct)


def register(answer: Evaluate, printed: Print, offset_of: OffsetOf) -> None:
    """Give GDB the functions, and the MI command where it knows such (GDB 12)."""
    EvalFunction(answer)
    PrintFunction(printed)
    OffsetOfFunction(offset_of)
    if not hasattr(gdb, "MICommand"):
        return

    class MiEval(gdb.MICommand):
        """-kpy-eval EXPRESSION."""

        def __init__(self) -> None:
            super().__init__("-kpy-eval")

        def invoke(self, arguments: list[str]) -> dict[str, object]:
            """Evaluate; return value, output, and the number of the kept value."""
            if len(arguments) != 1:
                raise gdb.GdbError("-kpy-eval EXPRESSION, in quotes")
            reply = _asked(answer, arguments[0], keep=True)
            convenience.keep(reply)
            found: dict[str, object] = {"value": reply.result.text, "output": reply.output.text}
            if reply.value.kept:
                found["kept"] = reply.value.kept
            return found

    MiEval()
