# SPDX-License-Identifier: GPL-2.0-or-later
"""Show a person what kpy is, and check every step by value: `make demo`."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from guest import lifecycle, registry
from guest.paths import REPO
from guest.say import UserError, run_main

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

# A demo that was killed leaves no guest behind for longer than this.
GUEST_SECONDS = 300
GDB_SECONDS = 60
ARTICLE = r'printk("so.. %s %d %d %d\n", "hello", 123, None, True)'
STRUCTS = "task_struct file net_device"
MARK = "@kpy-demo@ "


class FailedError(Exception):
    """A step did not give what it must."""


class Output(NamedTuple):
    """What a command said."""

    text: str
    status: int


class Terminal:
    """Runs commands and shows them and their output as a person would see them."""

    def __init__(self) -> None:
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def title(self, text: str) -> None:
        """Begin a step."""
        print(f"\n\033[1m{text}\033[0m" if self.colour else f"\n== {text}", flush=True)

    def typed(self, text: str) -> None:
        """Show what a person would type."""
        print(f"\033[36m{text}\033[0m" if self.colour else text, flush=True)

    def run(self, words: Sequence[str], shown: str = "", seconds: float = 120) -> Output:
        """Run a command of ours and show it with its output."""
        self.typed(f"$ {shown or shlex.join(words)}")
        output = self.quiet(
            [sys.executable, *words[1:]] if words[0] == "python3" else words, seconds
        )
        if output.text:
            print(output.text.rstrip("\n"), flush=True)
        return output

    def quiet(self, words: Sequence[str], seconds: float) -> Output:
        """Run a command; a deadline that passes is a failed step."""
        try:
            done = subprocess.run(
                words,
                cwd=REPO,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                env={**os.environ, "TERM": "dumb"},
            )
        except subprocess.TimeoutExpired as error:
            said = error.stdout or ""
            said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
            raise FailedError(f"{words[0]} did not end within {seconds:.0f} s: {said}") from None
        except OSError as error:
            raise FailedError(f"cannot run {words[0]}: {error.strerror}") from None
        return Output(done.stdout, done.returncode)


class Demo:
    """The steps, in order; each returns what it saw, or raises FailedError."""

    def __init__(self) -> None:
        self.name = f"demo-{os.getpid()}"
        self.terminal = Terminal()
        self.info: dict[str, object] = {}
        # What GDB answered to each command of the session.
        self.answers: list[tuple[str, str]] = []

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return (title, function) of all steps."""
        return [
            ("Boot a stock Debian kernel with kpy.ko in it", self.boot),
            ("Python runs in that kernel", self.python),
            ("Python calls the kernel's own printk", self.printk),
            ("GDB attaches to QEMU and sees both", self.status),
            ("GDB asks the live interpreter", self.evaluate),
            ("It reads the kernel's memory; the guest runs on in between", self.jiffies),
            ("Any expression", self.comprehension),
            ("An exception is an answer, too; the guest is unharmed", self.exception),
            ("The module's struct layouts against the kernel's DWARF", self.layouts),
            ("The guest shuts down, its kernel has not complained", self.end),
        ]

    def guest(self, *words: str) -> Output:
        """Run `python3 -m guest …` on our guest and show it."""
        command, *rest = words
        return self.terminal.run(["python3", "-m", "guest", command, "--name", self.name, *rest])

    def boot(self) -> str:
        """Start the guest; the JSON object is what tools read."""
        output = self.guest("up", "--smp", "2", "--timeout", str(GUEST_SECONDS))
        try:
            self.info = json.loads(output.text[output.text.index("{") :])
        except ValueError:
            raise FailedError("the guest did not start") from None
        expect(output.status == 0, "the guest did not start")
        modules = self.guest("sh", "grep", "kpy", "/proc/modules")
        expect(" Live 0x" in modules.text, "kpy is not among the loaded modules")
        return f"{self.info['release']}, kpy.ko loaded"

    def python(self) -> str:
        """Run a statement through the REPL."""
        output = self.guest("py", "-c", "import sys; print(sys.version)")
        found = re.search(r"MicroPython \S+", output.text)
        expect(output.status == 0 and bool(found), "the REPL did not answer")
        return found.group(0).rstrip(";") if found else ""

    def printk(self) -> str:
        """Run the example of the article kpy goes back to."""
        output = self.guest("py", "-c", ARTICLE)
        expect(output.status == 0, "the call raised an exception")
        log = self.guest("sh", "dmesg | grep -F 'so.. '")
        expect("so.. hello 123 0 1" in log.text, "dmesg lacks the line 'so.. hello 123 0 1'")
        return "so.. hello 123 0 1"

    def gdb(self, *commands: str, show: bool = False) -> Output:
        """Run one GDB process attached to the guest."""
        words = ["gdb", "-nx", "-q", "-batch", "-x", "gdbinit.py"]
        words += ["-ex", f"kpy attach {self.info['gdb_socket']}"]
        for command in commands:
            words += ["-ex", command]
        run = self.terminal.run if show else self.terminal.quiet
        return run(words, seconds=GDB_SECONDS)

    def session(self) -> None:
        """Run all the evaluations in one GDB process, and keep the answers."""
        attach = f"kpy attach {self.info['gdb_socket']}"
        commands = ["kpy status", "kpy eval 6*7", "kpy eval p64(jiffies_64)"]
        # An idle kernel stops its clock tick; a command in the guest makes sure that it goes on.
        busy = (
            f"shell {shlex.quote(sys.executable)} -m guest sh --name {self.name} 'sleep 1; uptime'"
        )
        commands += ["detach", busy, attach, "kpy eval p64(jiffies_64)"]
        commands += ["kpy eval [n * n for n in range(8)]", 'kpy eval {}["missing"]', "kpy eval 1"]
        marked = [part for command in commands for part in (f"echo {MARK}{command}\\n", command)]
        text = self.gdb(f"echo {MARK}{attach}\\n", *marked, f"echo {MARK}end\\n").text
        # The first attach precedes its own mark.
        before, *parts = text.split(MARK)
        for part in parts:
            command, _, answer = part.partition("\n")
            self.answers.append((command, answer.strip("\n")))
        if self.answers:
            self.answers[0] = (attach, before.strip("\n"))

    def show(self, command: str) -> str:
        """Show the next answer, which must be to that command, as GDB would show it."""
        for place, (asked, answer) in enumerate(self.answers):
            if asked.startswith(command):
                self.terminal.typed(
                    f"(gdb) {asked.replace(shlex.quote(sys.executable), 'python3')}"
                )
                if answer:
                    print(answer, flush=True)
                del self.answers[place]
                return answer
        last = self.answers[-1] if self.answers else ("nothing", "")
        raise FailedError(f"GDB did not get as far as '{command}', but to {last[0]}: {last[1]}")

    def status(self) -> str:
        """Attach, and look at what GDB found."""
        self.terminal.typed("$ gdb -q -x gdbinit.py")
        self.session()
        attached = self.show("kpy attach")
        expect("Attached to" in attached, "GDB did not attach")
        status = self.show("kpy status")
        expect(str(self.info["release"]) in status, "the status lacks the kernel's release")
        expect(bool(re.search(r"module +kpy \d", status)), "the status lacks the module")
        return "attached, kernel and module found"

    def evaluate(self) -> str:
        """Evaluate in the frozen guest."""
        expect(self.show("kpy eval 6*7") == "42", "6*7 is not 42")
        return "6*7 is 42"

    def jiffies(self) -> str:
        """Read the kernel's clock twice; between, GDB lets the guest go."""
        first = self.show("kpy eval p64(jiffies_64)")
        self.show("detach")
        expect("load average" in self.show("shell"), "the guest does not run after GDB let it go")
        self.show("kpy attach")
        second = self.show("kpy eval p64(jiffies_64)")
        expect(first.isdigit() and second.isdigit(), "jiffies_64 is not a number")
        grown = int(second) - int(first)
        expect(grown > 0, f"jiffies_64 did not grow: {first}, then {second}")
        return f"jiffies_64 grew by {grown}"

    def comprehension(self) -> str:
        """Evaluate something with a loop in it."""
        answer = self.show("kpy eval [n * n")
        expect(answer == "[0, 1, 4, 9, 16, 25, 36, 49]", "these are not the squares")
        return "the squares are right"

    def exception(self) -> str:
        """Evaluate something that raises."""
        answer = self.show("kpy eval {}")
        expect("Traceback" in answer and "KeyError: missing" in answer, "no KeyError came")
        expect(self.show("kpy eval 1") == "1", "nothing evaluates any more")
        alive = self.guest("sh", "echo alive")
        expect(alive == Output("alive\n", 0), "the guest does not answer any more")
        return "KeyError told, guest alive"

    def layouts(self) -> str:
        """Compare three of the kernel's structs."""
        output = self.gdb(f"kpy layout check {STRUCTS}", show=True)
        expect(output.status == 0, "the check found differences, or could not compare")
        found = re.search(r"(\d+) equal, 0 differs?", output.text)
        equal = int(found.group(1)) if found else 0
        expect(equal >= len(STRUCTS.split()), "the check does not say that they are equal")
        return f"{equal} types equal, none differs"

    def end(self) -> str:
        """Shut down; the kernel's log must be clean."""
        log = self.guest(
            "sh", 'dmesg | grep -c -E "WARNING:|BUG:|Oops|Call Trace|lockup|stalls? on"'
        )
        expect(log.text.strip() == "0", "the kernel complained, see above")
        folder = registry.folder_of(self.name)
        output = self.guest("down")
        expect(output.status == 0 and not folder.exists(), "the guest did not go away")
        return "clean"


def expect(true: bool, otherwise: str) -> None:
    """Fail the step when what it must give is not there."""
    if not true:
        raise FailedError(otherwise)


def main() -> int:
    """Run all steps; the first that fails ends the demo."""
    started = time.monotonic()

    def terminated(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminated)
    demo = Demo()
    steps = demo.steps()
    passed = 0
    try:
        for title, step in steps:
            demo.terminal.title(f"{passed + 1}. {title}")
            try:
                result = step()
            except (FailedError, UserError) as error:
                print(f"demo: step {passed + 1} failed ({title}): {error}")
                break
            passed += 1
            print(f"   ok: {result}", flush=True)
    finally:
        lifecycle.down(demo.name)
    took = time.monotonic() - started
    if passed == len(steps):
        print("\nYours: 'make repl' talks to Python in a kernel, 'kpy attach' in GDB joins it.")
    print(f"\ntook {took:.0f} s\ndemo: {passed} of {len(steps)} steps passed", flush=True)
    return 0 if passed == len(steps) else 1


if __name__ == "__main__":
    run_main(main)
