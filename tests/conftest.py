# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests share: one booted guest with the module in it, and GDB processes on it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from guest import kernel, lifecycle, registry  # noqa: E402
from guest.agent import Agent  # noqa: E402
from guest.monitor import monitor  # noqa: E402
from guest.qemu import Options  # noqa: E402
from guest.repl import Repl  # noqa: E402

# A guest of the tests ends by itself when the test run was killed.
GUEST_SECONDS = 3600
TROUBLE = re.compile(
    r"WARNING:|BUG:|Oops|Call Trace|lockup|general protection|stalls? on|hung_task|blocked for more"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our own options."""
    parser.addoption(
        "--random-structs",
        type=int,
        default=2000,
        metavar="N",
        help="how many random structs the plugin is shown (default: 2000)",
    )


class LiveGuest:
    """The shared guest."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.name = str(info["name"])
        # Patterns of dmesg lines that a test has provoked on purpose.
        self.expected: list[str] = []

    def sh(self, command: str, timeout: float = 60) -> tuple[int, str]:
        """Run a shell command in the guest; return (exit status, output)."""
        status, output = Agent.of(registry.running(self.name)).run(command, timeout)
        return status, output.decode("utf-8", "replace")

    def repl(self) -> Repl:
        """Return a new session of the REPL."""
        host, port = str(self.info["repl"]).rsplit(":", 1)
        return Repl(host, int(port))

    def py(self, code: str, timeout: float = 60) -> tuple[str, str]:
        """Run Python in the guest's kernel; return (output, exception text)."""
        with self.repl() as repl:
            return repl.exec(code, timeout)

    def monitor(self, command: str) -> str:
        """Give QEMU's monitor a command; works while the guest is stopped."""
        return monitor(self.info["monitor_socket"], command)

    def trouble(self) -> list[str]:
        """Return what the kernel complained about, short of what was expected."""
        _, log = self.sh("dmesg")
        return [
            line
            for line in log.splitlines()
            if TROUBLE.search(line) and not any(re.search(text, line) for text in self.expected)
        ]


@pytest.fixture(scope="session")
def guest() -> Iterator[LiveGuest]:
    """Boot the guest that all tests share; at the end the kernel must not have complained."""
    name = f"test-{os.getpid()}"
    live = LiveGuest(lifecycle.up(name, Options(smp=2, timeout=GUEST_SECONDS)))
    try:
        yield live
        trouble = live.trouble()
        assert not trouble, "the kernel complained:\n" + "\n".join(trouble)
    finally:
        lifecycle.down(name)


def build_module(name: str, folder: Path, btf: bool = False, strip: bool = True) -> Path:
    """Build tests/guest/modules/NAME.c in a folder, for the guest's kernel; return the .ko.

    With BTF on top of the kernel's, if asked: Kbuild itself writes none without a vmlinux.
    """
    shutil.copy(ROOT / "tests/guest/modules" / f"{name}.c", folder)
    # Tail calls would leave functions out of the backtraces that tests look at.
    (folder / "Kbuild").write_text(
        f"obj-m := {name}.o\nccflags-y := -fno-optimize-sibling-calls -Wno-infinite-recursion\n"
    )
    command = ["make", "-C", kernel.load().kdir, f"M={folder}", "modules"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    ko = folder / f"{name}.ko"
    if btf:
        base = str(kernel.load().vmlinux)
        subprocess.run(["pahole", "-J", "--btf_base", base, ko], check=True, timeout=300)
    if strip:
        subprocess.run(["strip", "-g", ko], check=True)
    return ko


@pytest.fixture(scope="session")
def faulty(guest: LiveGuest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGuest]:
    """Return the guest with tests/guest/modules/faulty.c loaded: functions that fault."""
    ko = build_module("faulty", tmp_path_factory.mktemp("faulty"))
    Agent.of(registry.running(guest.name)).push(ko, "/tmp/faulty.ko")
    status, out = guest.sh("insmod /tmp/faulty.ko")
    assert status == 0, out
    yield guest
    status, out = guest.sh("rmmod faulty")
    assert status == 0, out


GdbRunner = Callable[..., "subprocess.CompletedProcess[str]"]


#: A command that lets `attempt` run others.
ATTEMPT = (
    "python exec('def attempt(c):\\n try: gdb.execute(c)"
    '\\n except gdb.error as e: print("ERROR", e)\')'
)


def attempt(command: str) -> str:
    """Return a GDB command that runs another one and goes on if it fails; after ATTEMPT."""
    return f"python attempt({command!r})"


def run_gdb(
    *commands: str, timeout: float = 60, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one GDB process with kpy in it and these commands."""
    words = ["gdb", "-nx", "-q", "-batch", "-x", str(ROOT / "gdbinit.py")]
    for command in commands:
        words += ["-ex", command]
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "TERM": "dumb", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
    )


@pytest.fixture
def gdb(guest: LiveGuest) -> Iterator[GdbRunner]:
    """Return a function that runs one GDB process, attached to the shared guest."""

    def run(*commands: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        attach = f"kpy attach {guest.info['gdb_socket']}"
        return run_gdb(attach, *commands, timeout=timeout)

    yield run
    # A GDB that was killed leaves the guest stopped; the next test must not suffer.
    with contextlib.suppress(Exception):
        if "paused" in guest.monitor("info status"):
            guest.monitor("cont")
