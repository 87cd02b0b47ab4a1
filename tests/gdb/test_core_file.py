# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy print` where nothing can run any more: after a panic, and in core files."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import LiveGuest, run_gdb

from guest import lifecycle
from guest.qemu import Options

pytestmark = pytest.mark.guest

SETUP = """
from collections import deque, namedtuple
Point = namedtuple("Point", ("x", "y"))
def function():
    return 1
def generator():
    yield 1
kept = [1, 2**90, "text", b"bytes", {"k": (None, True)}, Point(1, [2]), function, generator()]
kept += [deque((1,), 3), ValueError("v", 2), {5}, range(3), task_struct(init_task), printk]
lo = net_device(dev_get_by_name(init_net, "lo"))
"""
NAMES = ["kept", "kept[1] + 1", "len(kept)", "lo", "lo.mtu", "str(lo.name)", "kept[5].y"]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGuest]:
    """A guest whose kernel was moved, and which stays where it is after a panic."""
    name = f"core-{os.getpid()}"
    options = Options(smp=2, mem=256, kaslr=True, append="panic=0", timeout=900)
    live = LiveGuest(lifecycle.up(name, options))
    try:
        yield live
    finally:
        lifecycle.down(name)


@pytest.fixture(scope="module")
def said(own: LiveGuest) -> list[str]:
    """What the REPL says of the values; the objects stay."""
    out, err = own.py(SETUP + "".join(f"print(repr({name}))\n" for name in NAMES))
    assert not err, err
    return out.splitlines()


def printed(where: str) -> list[str]:
    commands = [f"kpy print {name}" for name in NAMES]
    done = run_gdb(f"kpy attach {where}", "set kpy max-items 0", *commands, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = lines(done.stdout)
    start = next(i for i, line in enumerate(answers) if line.startswith("Layouts: ")) + 1
    return answers[start : start + len(NAMES)]


def dump(own: LiveGuest, path: Path, options: str = "-p") -> Path:
    own.monitor("stop")
    own.monitor(f"dump-guest-memory {options} {path}")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


def test_a_core_file(own: LiveGuest, said: list[str], tmp_path: Path) -> None:
    core = dump(own, tmp_path / "guest.core")
    own.monitor("cont")
    assert printed(str(core)) == said
    done = run_gdb(f"kpy attach {core}", "kpy status", "kpy eval 1", timeout=120)
    assert f"Opened {core}: Linux " in done.stdout
    assert "python   ready" in done.stdout
    refusal = "this is a core file, in which nothing runs: `kpy print` reads its memory"
    assert lines(done.stderr)[-1] == refusal
    assert own.py("print(len(kept))") == ("14\n", "")


def test_a_core_file_without_the_kernels_addresses(own: LiveGuest, tmp_path: Path) -> None:
    core = dump(own, tmp_path / "physical.core", "")
    own.monitor("cont")
    done = run_gdb(f"kpy attach {core}", timeout=120)
    assert done.returncode == 1
    assert lines(done.stderr)[-1] == (
        f"{core} has no addresses of the kernel's: dump with paging: "
        "`dump-guest-memory -p FILE` in QEMU's monitor"
    )


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\4\0"])
def test_what_is_no_core_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "no.core"
    path.write_bytes(content)
    done = run_gdb(f"kpy attach {path}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(lines(done.stderr)) == 1


def test_after_a_panic(own: LiveGuest, said: list[str], tmp_path: Path) -> None:
    """The last test of this guest."""
    own.sh("(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    console = Path(own.info["console"])
    end = time.monotonic() + 60
    while "Kernel panic" not in console.read_text(errors="replace"):
        assert time.monotonic() < end, "no panic"
        time.sleep(0.5)
    assert printed(str(own.info["gdb_socket"])) == said
    core = dump(own, tmp_path / "panic.core")
    assert printed(str(core)) == said
