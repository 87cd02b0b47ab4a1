# SPDX-License-Identifier: GPL-2.0-or-later
"""The cross-check of the whole layout table against pahole's reading of the same vmlinux."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.table import Row
from guest import kernel
from guest.paths import BUILD, REPO
from guest.say import UserError

ROUNDS = 3
BTF_ROUNDS = 9  # these are short


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Return seconds and megabytes at most of a command that must succeed."""
    # Python keeps bytecode unless told otherwise: users do not compile all modules each time.
    env = {**os.environ, **(env or {}), "PYTHONDONTWRITEBYTECODE": ""}
    start = time.monotonic()
    child = subprocess.Popen(list(command), cwd=REPO, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise UserError(f"{command[0]} ended with {child.returncode}")
    return took, usage.ru_maxrss / 1024


def best(command: Sequence[str], rounds: int = ROUNDS) -> float:
    """Return the least of some runs: others use the machine, too."""
    return min(run(command)[0] for _ in range(rounds))


def btf_times(check: Sequence[str], theirs: Sequence[str]) -> tuple[float, float, float]:
    """Return the least of some runs in turns: the first check, the next, theirs."""
    rounds = []
    for _ in range(BTF_ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            cache = {"XDG_CACHE_HOME": folder}
            rounds.append((run(check, cache)[0], run(check, cache)[0], run(theirs)[0]))
    first, again, other = map(min, zip(*rounds))
    return first, again, other


def warm(path: str) -> None:
    """Have a file in memory, for both sides; little by little, as children inherit our peak."""
    with Path(path).open("rb") as file:
        while file.read(1 << 20):
            pass


def measure() -> Iterator[Row]:
    """Compare cold, with the cached index, for three structs, and with BTF, twice."""
    info = kernel.load()
    vmlinux = str(info.vmlinux)
    table = str(BUILD / info.release / "layout.table")
    check = [sys.executable, "-m", "struct_layout", "check", "--table", table]
    dwarf = [*check, "--vmlinux", vmlinux]
    warm(vmlinux)
    theirs, their_mb = run(["pahole", "-F", "dwarf", vmlinux])
    with tempfile.TemporaryDirectory() as folder:
        cold, mb = run(dwarf, {"XDG_CACHE_HOME": folder})
    yield Row("layouts: table against DWARF, cold", cold, theirs, "s", "pahole -F dwarf", 1)
    yield Row("  its memory", mb, 400, "MB", f"400 MB (pahole {their_mb:.0f} MB)", 1)
    best(dwarf, 1)  # makes the index
    yield Row("  with the cached index", best(dwarf), 2, "s", "2 s", 1)
    three = best([*dwarf, "task_struct", "file", "net_device"])
    yield Row("  three structs", three, 0.3, "s", "0.3 s", 1)
    pahole = ["pahole", "-F", "btf", vmlinux]
    first, again, theirs = btf_times([*check, "--btf", vmlinux], pahole)
    yield Row("layouts: table against BTF", again, theirs, "s", "pahole -F btf", 3)
    yield Row("  for the first time", first, theirs, "s", "pahole -F btf", 3)
