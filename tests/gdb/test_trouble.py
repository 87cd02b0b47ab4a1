# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens when something else goes wrong: Ctrl-C, a second GDB, a guest that ends."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT, LiveGuest, run_gdb

from guest import lifecycle
from guest.qemu import Options

if TYPE_CHECKING:
    from conftest import GdbRunner

pytestmark = pytest.mark.guest

ENDLESS = "kpy eval sum(1 for x in range(10**9))"


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_ctrl_c_ends_an_evaluation(guest: LiveGuest, gdb: GdbRunner) -> None:
    start = time.monotonic()
    done = gdb(
        "set kpy eval-timeout 60000", "shell (sleep 1; kill -INT $PPID) &", ENDLESS, "kpy eval 6*7"
    )
    assert time.monotonic() - start < 20
    assert lines(done.stderr)[-1].startswith("interrupted")
    assert "\n42\n" in done.stdout
    assert guest.py("print(6*7)") == ("42\n", "")
    assert guest.trouble() == []


def test_a_running_guest(guest: LiveGuest) -> None:
    """Typed at the prompt, as only there GDB handles the stop between two commands."""
    commands = [
        f"kpy attach {guest.info['gdb_socket']}",
        *("continue &", "kpy status", "kpy eval 1", "interrupt", "shell sleep 1", "kpy eval 6*7"),
    ]
    done = subprocess.run(
        ["gdb", "-nx", "-q", "-x", "gdbinit.py"],
        cwd=ROOT,
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (
        lines(done.stderr)[:2]
        == ["the guest is running: stop it first (Ctrl-C or `interrupt`)"] * 2
    )
    assert re.search(r"^(\(gdb\) )*42$", done.stdout, re.MULTILINE), done.stdout


def test_a_second_debugger(guest: LiveGuest) -> None:
    where = guest.info["gdb_socket"]
    words = ["gdb", "-nx", "-q", "-x", "gdbinit.py", "-ex", f"kpy attach {where}"]
    first = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert first.stdout is not None
        for line in first.stdout:
            if line.startswith(b"Module:"):
                break
        done = run_gdb(f"kpy attach {where}", timeout=20)
        assert done.returncode == 1
        assert done.stderr.startswith(f"another debugger is attached at {where}: ")
    finally:
        first.communicate(b"detach\nquit\n", timeout=20)
    done = run_gdb(f"kpy attach {where}", "kpy eval 6*7")
    assert "\n42\n" in done.stdout


@pytest.fixture
def victim() -> Iterator[LiveGuest]:
    """A guest that may be killed."""
    name = f"victim-{os.getpid()}"
    live = LiveGuest(lifecycle.up(name, Options(smp=1, timeout=300)))
    try:
        yield live
    finally:
        lifecycle.down(name)


def test_a_guest_that_is_killed(victim: LiveGuest) -> None:
    done = run_gdb(
        f"kpy attach {victim.info['gdb_socket']}",
        "kpy eval 6*7",
        f"shell (sleep 1; kill -9 {victim.info['pid']}) &",
        "set kpy eval-timeout 20000",
        ENDLESS,
        "kpy eval 1",
        "kpy status",
        "print 6*7",
        timeout=60,
    )
    said = lines(done.stderr)
    assert "Traceback" not in done.stderr
    assert [line.split(":")[0].split(" (")[0] for line in said] == [
        "the connection to the guest is gone",
        "the guest that GDB was attached to is gone",
        "GDB is not attached to a guest",
    ]
    assert "$1 = 42" in done.stdout
