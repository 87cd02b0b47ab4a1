# SPDX-License-Identifier: GPL-2.0-or-later
"""What people are told: steps, progress, and mistakes as one clear line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class UserError(Exception):
    """Something the user can put right; its text names the remedy."""


def note(text: str) -> None:
    """Tell about a step, on stderr: stdout belongs to results."""
    print(text, file=sys.stderr, flush=True)


def size_text(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class Progress:
    """One line that tells how far a step is; redrawn on a terminal, else sparse lines."""

    def __init__(self, what: str, total: int = 0) -> None:
        self.what = what
        self.total = total
        self.tty = sys.stderr.isatty()
        self.started = time.monotonic()
        self.shown = self.started
        note(f"  {what}" + (f" ({size_text(total)})" if total else "")) if not self.tty else None

    def update(self, done: int, text: str = "") -> None:
        """Show that `done` bytes are there, or a text."""
        now = time.monotonic()
        if now - self.shown < (0.2 if self.tty else 15):
            return
        self.shown = now
        if not text:
            text = size_text(done)
            if self.total:
                text += f" of {size_text(self.total)}, {min(100, 100 * done // self.total)} %"
        if self.tty:
            sys.stderr.write(f"\r\033[K  {self.what}: {text}")
            sys.stderr.flush()
        else:
            note(f"  {self.what}: {text}")

    def finish(self) -> None:
        """End the line."""
        if self.tty:
            took = time.monotonic() - self.started
            sys.stderr.write("\r\033[K")
            size = f"{size_text(self.total)}, " if self.total else ""
            note(f"  {self.what} ({size}{took:.1f} s)")


@contextlib.contextmanager
def locked(path: Path, what: str, limit: float = 900) -> Iterator[None]:
    """Hold an exclusive lock file, waiting for another kpy process that has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        raise UserError(f"cannot open {path}: {error.strerror}") from error
    with stream:
        deadline = time.monotonic() + limit
        told = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not told:
                    note(f"waiting for another process that {what} ({path})")
                    told = True
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another process still {what} after {limit:.0f} s: "
                        f"end it ('fuser {path}' names it) and run again"
                    ) from None
                time.sleep(0.2)
        yield


def run_main(main: Callable[[], int]) -> None:
    """Run a command's main function; mistakes become one line and exit 1."""
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        note(f"kpy: {error}")
        status = 1
    except KeyboardInterrupt:
        note("kpy: interrupted")
        status = 130
    except BrokenPipeError:
        # The reader of our output went away; keep the interpreter's own flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 141
    sys.exit(status)
