# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval` when the holder of the GIL waits for what another CPU does.

A function of the interpreter is overwritten: its first caller waits until a word in memory changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from conftest import ATTEMPT, attempt

if TYPE_CHECKING:
    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest

VICTIM = "mp_obj_list_append"
# ret for all but the one who is put behind it; 1: cmp (%rcx), %rax; pause; je 1b; ret
WAIT = bytes.fromhex("c3483b01f39074f9c3")
BUSY = "held_stop = False\nl = []\nwhile not held_stop:\n    l.append(1)\n    l.clear()\n"
CONSTANT = "linux_proc_banner"
#: A word that the other one of two CPUs changes at each of its ticks.
TICKS = "(__per_cpu_offset[2 - $_thread] + (unsigned long)&irq_stat.apic_timer_irqs)"
RAN_ON = "[all CPUs ran on, as the one that holds the GIL could not do so alone]"


def symbol(guest: LiveGuest, name: str) -> int:
    """Where the running kernel says a symbol is."""
    status, found = guest.sh(f"grep -w {name} /proc/kallsyms")
    assert status == 0
    return int(found.split()[0], 16)


class Held:
    """Commands for a guest in which a CPU holds the GIL and waits."""

    def __init__(self, guest: LiveGuest) -> None:
        self.at = symbol(guest, VICTIM)
        self.constant = symbol(guest, CONSTANT)

    def until_changed(self, word: str) -> tuple[str, ...]:
        """Let a CPU come into waiting until that word changes."""
        return (
            ATTEMPT,
            "python i = gdb.selected_inferior()",
            f"python kept = bytes(i.read_memory({self.at:#x}, {len(WAIT)}))",
            f"tbreak *{self.at:#x}",
            "continue",
            f"python i.write_memory({self.at:#x}, {WAIT!r})",
            f"set $rcx = {word}",
            "set $rax = *(unsigned long *)$rcx",
            "set $pc += 1",
            "echo MARK\\n",
        )

    def until_written(self) -> tuple[str, ...]:
        """Let a CPU come into waiting until `write` is executed."""
        return self.until_changed(f"{self.constant:#x}")

    def write(self) -> str:
        """End the wait."""
        return f"set *(char *){self.constant:#x} ^= 1"

    def restore(self, written: bool) -> tuple[str, ...]:
        """Put memory back once nobody waits."""
        back = f"python i.write_memory({self.at:#x}, kept)"
        return (back, self.write()) if written else (back,)


@pytest.fixture
def held(guest: LiveGuest) -> Iterator[Held]:
    """Keep Python and both CPUs busy."""
    answers: list[tuple[str, str]] = []
    busy = threading.Thread(target=lambda: answers.append(guest.py(BUSY, timeout=120)))
    busy.start()
    guest.sh(": > /tmp/held")
    for cpu in (1, 2):
        shell = f"taskset {cpu} sh -c 'while :; do :; done'"
        guest.sh(f"{shell} </dev/null >/dev/null 2>&1 & echo $! >> /tmp/held")
    time.sleep(0.5)
    try:
        yield Held(guest)
    finally:
        guest.sh("kill -9 $(cat /tmp/held)")
        guest.py("held_stop = True")
        busy.join(60)
        assert answers == [("", "")]
        assert guest.trouble() == []


def after(stdout: str) -> list[str]:
    """Return the lines that came after the mark."""
    return [line for line in stdout.split("MARK\n")[1].splitlines() if line]


def test_all_cpus_run_on_until_it_lets_go(gdb: GdbRunner, held: Held) -> None:
    done = gdb(
        *held.until_changed(TICKS),
        "thread",
        "kpy eval 6*7",
        "thread",
        "kpy eval 6*8",
        *held.restore(written=False),
    )
    assert done.returncode == 0, done.stderr
    lines = after(done.stdout)
    assert done.stderr.splitlines()[0] == RAN_ON
    assert lines[0] == lines[2], "the selected thread is kept"
    assert (lines[1], lines[3]) == ("42", "48")


def test_the_selected_frame_is_kept(gdb: GdbRunner, held: Held) -> None:
    """All CPUs run on until the function below the selected frame has appended."""
    done = gdb(
        f"tbreak *{held.at:#x}",
        "continue",
        "python length = int(gdb.parse_and_eval('&((mp_obj_list_t *)self_in)->len'))",
        "frame 1",
        "echo MARK\\n",
        "frame",
        "python from gdb_kpy.target import go_on, session",
        "python print('said', go_on.until_changed(session.current(), length, 5.0))",
        "frame",
        "backtrace 1",
    )
    assert done.returncode == 0, done.stderr
    before, now = "\n".join(after(done.stdout)).split("said \n")
    assert before.startswith("#1 ")
    assert now.startswith(before)
    assert "\n#0 " in now and "mp_obj_list_append" in now.split("\n#0 ")[1]


def test_a_breakpoint_meanwhile_is_reported(gdb: GdbRunner, held: Held) -> None:
    done = gdb(
        *held.until_written(),
        "break update_process_times",
        attempt("kpy eval 6*7"),
        "backtrace 1",
        "info breakpoints",
        "delete",
        held.write(),
        "kpy eval 6*8",
        *held.restore(written=True),
    )
    assert done.returncode == 0, done.stderr
    said = "\n".join(after(done.stdout))
    assert "hit Breakpoint" in said
    assert "ERROR the guest stopped there" in said
    assert "#0  update_process_times" in said
    assert "already hit 1 time" in said
    assert "42" not in after(done.stdout)
    assert "48" in after(done.stdout)


def test_without_end_it_is_refused(gdb: GdbRunner, held: Held) -> None:
    done = gdb(
        *held.until_written(),
        attempt("kpy eval 6*7"),
        attempt('print $kpy_eval("6*7")'),
        held.write(),
        "kpy eval 6*8",
        *held.restore(written=True),
    )
    assert done.returncode == 0, done.stderr
    lines = after(done.stdout)
    assert "holds the GIL and, running alone, did not let go of it" in lines[0]
    assert "all CPUs having run on meanwhile: `kpy print` reads without it" in lines[0]
    assert "holds the GIL" in lines[1] and "all CPUs" not in lines[1]
    assert lines[2] == "48"


def test_after_a_panic_the_holder_does_not_run(
    guest: LiveGuest, gdb: GdbRunner, held: Held
) -> None:
    panic = symbol(guest, "panic_cpu")
    done = gdb(
        *held.until_written(),
        f"set *(int *){panic:#x} = 1",
        "info registers rip",
        attempt("kpy eval 6*7"),
        "info registers rip",
        f"set *(int *){panic:#x} = -1",
        held.write(),
        "kpy eval 6*8",
        *held.restore(written=True),
    )
    assert done.returncode == 0, done.stderr
    lines = after(done.stdout)
    assert lines[1] == "ERROR the kernel has panicked and the GIL is held: `kpy print` reads memory"
    assert lines[0] == lines[2]
    assert lines[3] == "48"
