# SPDX-License-Identifier: GPL-2.0-or-later
"""What all commands share: registration, options, errors as one line, printing and colours."""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Collection, Sequence
from typing import ClassVar

import gdb

from gdb_kpy.core.errors import KpyError
from guest.say import UserError

_COLOURS = {"head": "1", "good": "32", "bad": "31", "warn": "33", "dim": "2", "name": "36"}

COMPLETE_FILENAME = gdb.COMPLETE_FILENAME


class Failed(KpyError):
    """A command that did its work and whose answer is a failure (exit status 1 in batch)."""


class KpyCommand(gdb.Command):
    """A sub-command of ``kpy``. The subclass's docstring is its help.

    Subclasses set ``word`` and write ``run``; options are words that start with a dash.
    """

    word: ClassVar[str] = ""
    options: ClassVar[Sequence[str]] = ()
    prefix: ClassVar[bool] = False

    def __init__(self) -> None:
        # GDB 13 shows the docstring with its indentation.
        self.__doc__ = inspect.cleandoc(type(self).__doc__ or "")
        super().__init__(f"kpy {self.word}".rstrip(), gdb.COMMAND_DATA, prefix=self.prefix)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Run the command; every error that is the user's to mend becomes one line."""
        self.dont_repeat()
        try:
            self.run(argument.strip())
        except (KpyError, UserError) as error:
            raise gdb.GdbError(str(error)) from None
        except gdb.error as error:
            raise gdb.GdbError(f"GDB: {error}") from None
        except KeyboardInterrupt:
            raise gdb.GdbError("interrupted") from None

    def run(self, argument: str) -> None:
        """Do the command's work."""
        raise NotImplementedError

    def complete(self, text: str, word: str) -> Sequence[str] | int:
        """Complete options, and what ``complete_word`` offers."""
        words = text.split()
        last = "" if not text or text[-1].isspace() else words[-1]
        if last.startswith("-"):
            found: Sequence[str] | int = [o for o in self.options if o.startswith(last)]
        else:
            found = self.complete_word(words[:-1] if last else words, last)
        if isinstance(found, int):
            return found
        # GDB breaks words at dashes too, and replaces only what follows the last break.
        return [each[len(last) - len(word) :] for each in found]

    def complete_word(self, before: Sequence[str], last: str) -> Sequence[str] | int:
        """Complete an argument that is not an option."""
        return []


class Setting(gdb.Parameter):
    """A number of ``set kpy``; the subclass's docstrings are its help."""

    word: ClassVar[str] = ""
    default: ClassVar[int] = 0
    words: ClassVar[set[str]] = set()
    value: int | None

    def __init__(self) -> None:
        super().__init__(f"kpy {self.word}", gdb.COMMAND_DATA, gdb.PARAM_UINTEGER)
        Setting.words.add(self.word)
        self.value = self.default

    def get_set_string(self) -> str:
        """Print nothing after `set`."""
        return ""

    def get_show_string(self, value: str) -> str:
        """Print name and value for `show`."""
        return f"kpy {self.word} is {value}."


class SettingsPrefix(gdb.Command):
    """Settings of kpy."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"{verb} kpy", gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Show the settings."""
        if argument:
            gdb.execute("help set kpy")
            return
        for word in sorted(Setting.words):
            gdb.execute(f"show kpy {word}")


def parse(
    argument: str, flags: Collection[str] = (), valued: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Split an argument line into options and the other words, quotes and escapes as in GDB."""
    found: dict[str, str] = {}
    rest = []
    words = iter(gdb.string_to_argv(argument))
    for word in words:
        if word in flags:
            found[word] = ""
        elif word in valued:
            value = next(words, None)
            if value is None:
                raise KpyError(f"{word} needs a value after it")
            found[word] = value
        elif word.startswith("-"):
            known = ", ".join((*flags, *valued)) or "none"
            raise KpyError(f"unknown option {word} (known: {known})")
        else:
            rest.append(word)
    return found, rest


_LINES = "kpy-lines"


def read_lines() -> str:
    """Read lines until one that says `end`, from wherever GDB reads its commands."""
    # GDB's Python cannot read the lines that follow a command, but its `document` does.
    gdb.execute(f"define {_LINES}\nend", to_string=True)
    # Through `eval`, for gdb.execute() would look for the lines in its own argument.
    gdb.execute(f'eval "document {_LINES}"')
    return gdb.execute(f"help {_LINES}", to_string=True)


class Meter:
    """Progress of long work: nothing for 2 s, then a line, and on a terminal how far it is."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + 2
        self._told = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._told and os.isatty(2):
            tell("\r\x1b[K", end="")

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is, if it is time to."""
        now = time.monotonic()
        if now < self._next or not total or (self._told and not os.isatty(2)):
            return
        self._next = now + 0.5
        self._told = True
        if os.isatty(2):
            tell(f"\r{self._what}: {done * 100 // total} %", end="")
        else:
            tell(f"{self._what}.")


def show(text: str) -> None:
    """Print a line through GDB, so that paging and logging work."""
    gdb.write(text + "\n")


def tell(text: str, end: str = "\n") -> None:
    """Print a remark that is not part of the answer, to the error stream."""
    gdb.flush()
    gdb.write(text + end, gdb.STDERR)


def show_json(report: object) -> None:
    """Print plain data as JSON."""
    show(json.dumps(report, indent=2))


def paint(text: str, role: str) -> str:
    """Colour text if the user wants colours."""
    if "NO_COLOR" in os.environ or not gdb.parameter("style enabled") or not os.isatty(1):
        return text
    return f"\033[{_COLOURS[role]}m{text}\033[m"


def highlighted(text: str) -> str:
    """Colour C if the user wants colours and pygments is there."""
    if paint("x", "dim") == "x":
        return text
    try:
        from pygments import highlight
        from pygments.formatters import TerminalFormatter
        from pygments.lexers import CLexer
    except ImportError:
        return text
    return str(highlight(text, CLexer(), TerminalFormatter())).rstrip("\n")


def summary_of(word: str) -> str:
    """Return the first line of a command's help."""
    return gdb.execute(f"help kpy {word}", to_string=True).strip().split("\n", 1)[0]
