# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: a whole run, and one that is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guest import registry

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.guest


def demo() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "guest.demo"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A test run in the background of a shell has SIGINT ignored, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_demo() -> None:
    process = demo()
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text
    last = text.splitlines()[-1]
    found = re.fullmatch(r"demo: (\d+) of (\d+) steps passed", last)
    assert found, last
    assert found.group(1) == found.group(2)
    assert registry.find(f"demo-{process.pid}") is None


def test_interrupted_demo_leaves_no_guest() -> None:
    process = demo()
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("== 2."):
            break
    name = f"demo-{process.pid}"
    guest = registry.find(name)
    assert guest is not None
    assert guest.alive
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert registry.find(name) is None
    assert not guest.alive
