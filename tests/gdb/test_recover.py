# SPDX-License-Identifier: GPL-2.0-or-later
"""A GDB that dies in the middle of an evaluation, and the one that comes after it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT, LiveGuest, run_gdb

from guest import lifecycle
from guest.qemu import Options

pytestmark = pytest.mark.guest

LOADS = {
    "idle": "sleep 600",
    "user": "while :; do :; done",
    "kernel": "while :; do dd if=/dev/zero of=/dev/null bs=1M count=200 2> /dev/null; done",
}
KILLED = {
    "in the VM": "sum(1 for x in range(10**10))",
    "after it": "None",  # it waits for a debugger where the call returns to
}


@pytest.fixture(scope="module")
def victim() -> Iterator[LiveGuest]:
    name = f"recover-{os.getpid()}"
    live = LiveGuest(lifecycle.up(name, Options(smp=2, timeout=1800)))
    yield live
    try:
        assert live.trouble() == []
    finally:
        lifecycle.down(name)


def gdb(victim: LiveGuest, *commands: str) -> subprocess.CompletedProcess[str]:
    return run_gdb(f"kpy attach {victim.info['gdb_socket']}", *commands)


def status(victim: LiveGuest) -> dict[str, Any]:
    done = gdb(victim, "kpy status -json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(
        done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1]
    )
    return found


def evaluate_and_die(victim: LiveGuest, expression: str, seconds: float) -> None:
    words = ["gdb", "-nx", "-q", "-batch", "-x", str(ROOT / "gdbinit.py")]
    for command in (
        f"kpy attach {victim.info['gdb_socket']}",
        "set kpy eval-timeout 60000",
        "kpy eval 0",
        # Dies as it looks at the registers of the vCPU that has stopped, or before it ever does.
        "python from gdb_kpy.target.stub import Stub; resume = Stub.resume",
        "python import os, signal",
        "python Stub.resume = lambda s, t: (resume(s, t), os.kill(os.getpid(), signal.SIGKILL))"
        if expression == "None"
        else "shell true",
        f"kpy eval {expression}",
    ):
        words += ["-ex", command]
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()
    time.sleep(0.5)


@pytest.mark.parametrize(
    ("where", "load"), [("in the VM", "user"), ("in the VM", "kernel"), ("after it", "idle")]
)
def test_the_next_one_puts_the_vcpu_back(victim: LiveGuest, where: str, load: str) -> None:
    victim.sh(f"({LOADS[load]}) > /dev/null 2>&1 & echo $! > /tmp/load")
    try:
        evaluate_and_die(victim, KILLED[where], 5 if where == "in the VM" else 30)
        assert "`kpy recover` puts it back" in status(victim)["module"]["tiers"]["eval"]
        refused = gdb(victim, "kpy eval 1")
        assert refused.returncode == 1
        assert refused.stderr.strip().endswith("whose debugger died: `kpy recover`")
        done = gdb(victim, "kpy recover", "kpy eval 6*7", "kpy eval -run msleep(10)")
        assert done.returncode == 0, done.stderr
        assert "is back where it was before the evaluation." in done.stdout
        assert "\n42\nNone\n" in done.stdout
        assert status(victim)["module"]["tiers"] == {"eval": "available", "-run": "available"}
        assert status(victim)["module"]["gil"] == "free"
        assert victim.py("print(6 * 7)") == ("42\n", "")
        # It ticks, on all CPUs.
        _, cpus = victim.sh("for c in 0 1; do taskset $((1 << c)) sh -c 'sleep 0.1; echo ok'; done")
        assert cpus.split() == ["ok", "ok"]
    finally:
        victim.sh("kill $(cat /tmp/load); killall dd sleep 2> /dev/null")


def test_nothing_to_recover(victim: LiveGuest) -> None:
    done = gdb(victim, "kpy recover")
    assert done.returncode == 1
    assert done.stderr.strip() == "no vCPU was left in an evaluation: nothing has to be done"
