# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest command, on the shared guest and on short-lived ones of its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.guest
KEYS = ["name", "pid", "gdb_socket", "monitor_socket", "repl"]
KEYS += ["console", "vmlinux", "module", "release"]


def cli(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "guest", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture
def own_name() -> Iterator[str]:
    name = f"test-cli-{os.getpid()}"
    yield name
    cli("down", "--name", name)


def test_up_prints_one_object_and_registers_it(guest: LiveGuest) -> None:
    assert list(guest.info)[: len(KEYS)] == KEYS
    folder = Path(guest.info["gdb_socket"]).parent
    assert json.loads((folder / "guest.json").read_text()) == guest.info
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for key in ("gdb_socket", "monitor_socket"):
        assert stat.S_ISSOCK(Path(guest.info[key]).stat().st_mode)
    assert Path(guest.info["vmlinux"]).is_file()
    assert Path(guest.info["module"]).is_file()


def test_kernel_is_the_one_of_vmlinux(guest: LiveGuest) -> None:
    kernel = json.loads((ROOT / "build" / guest.info["release"] / "kernel.json").read_text())
    status, notes = guest.sh("od -An -tx1 -v /sys/kernel/notes")
    assert status == 0
    assert kernel["build_id"] in notes.replace(" ", "").replace("\n", "")


def test_sh_returns_output_and_status(guest: LiveGuest) -> None:
    done = cli("sh", "--name", guest.name, "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\nerr\n", "", 7)


def test_sh_passes_arguments_as_they_are(guest: LiveGuest) -> None:
    done = cli("sh", "--name", guest.name, "printf", "%s|", "a b", "$HOME", "'", "")
    assert done.stdout == "a b|$HOME|'||"


def test_sh_output_without_newline_and_binary(guest: LiveGuest) -> None:
    status, output = guest.sh("printf '\\001\\000x'")
    assert (status, output) == (0, "\x01\0x")


def test_sh_is_fast(guest: LiveGuest) -> None:
    took = []
    for _ in range(10):
        started = time.monotonic()
        assert guest.sh("true") == (0, "")
        took.append(time.monotonic() - started)
    assert min(took) < 0.2


def test_sh_streams(guest: LiveGuest) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "guest", "sh", "--name", guest.name, "echo one; sleep 30"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
        finally:
            process.kill()


def test_many_commands_at_once(guest: LiveGuest) -> None:
    results: list[tuple[int, str]] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(guest.sh(f"sleep 0.3; echo {n}")))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(0, f"{n}\n") for n in range(8)]


def test_command_ends_with_its_client(guest: LiveGuest) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "guest", "sh", "--name", guest.name, "sleep 4321 | cat"], cwd=ROOT
    )
    alive = "ps | grep 'sleep 432[1]'"
    try:
        for _ in range(50):
            if guest.sh(alive)[0] == 0:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the command did not start")
    finally:
        process.kill()
        process.wait()
    for _ in range(50):
        if guest.sh(alive)[0] != 0:
            return
        time.sleep(0.1)
    pytest.fail("the command outlived its client")


def test_sh_timeout(guest: LiveGuest) -> None:
    done = cli("sh", "--name", guest.name, "--timeout", "0.5", "sleep 60")
    assert done.returncode == 1
    assert "did not end within 0.5 s" in done.stderr


def test_push_keeps_bytes_and_mode(guest: LiveGuest, tmp_path: Path) -> None:
    source = tmp_path / "data"
    data = os.urandom(300_000) + b"\n\0"
    source.write_bytes(data)
    source.chmod(0o750)
    assert cli("push", "--name", guest.name, str(source), "/tmp/pushed").returncode == 0
    status, output = guest.sh("sha256sum </tmp/pushed; stat -c %a /tmp/pushed; rm /tmp/pushed")
    assert status == 0
    assert output.split() == [hashlib.sha256(data).hexdigest(), "-", "750"]


def test_push_into_a_folder_and_to_nowhere(guest: LiveGuest, tmp_path: Path) -> None:
    source = tmp_path / "name"
    source.write_text("x")
    assert cli("push", "--name", guest.name, str(source), "/tmp").returncode == 0
    assert guest.sh("cat /tmp/name; rm /tmp/name") == (0, "x")
    done = cli("push", "--name", guest.name, str(source), "/nowhere/x")
    assert done.returncode == 1
    assert done.stderr.startswith("kpy: cannot write /nowhere/x in the guest")
    assert done.stderr.count("\n") == 1


def test_py_output_and_exception(guest: LiveGuest, tmp_path: Path) -> None:
    done = cli("py", "--name", guest.name, "-c", "print(6 * 7)\nprint('ä')")
    assert (done.stdout, done.stderr, done.returncode) == ("42\nä\n", "", 0)
    done = cli("py", "--name", guest.name, "-c", "print('before')\n{}['x']")
    assert (done.stdout, done.returncode) == ("before\n", 1)
    assert "KeyError" in done.stderr
    script = tmp_path / "script.py"
    script.write_text("def f(n):\n    return n * 2\n\nprint(f(21))\n")
    assert cli("py", "--name", guest.name, str(script)).stdout == "42\n"


def test_py_control_characters_in_source(guest: LiveGuest) -> None:
    done = cli("py", "--name", guest.name, "-c", "print(repr('\x03\x04'))")
    assert (done.stdout, done.returncode) == ("'\\x03\\x04'\n", 0)


def test_py_timeout_leaves_the_repl_usable(guest: LiveGuest) -> None:
    done = cli("py", "--name", guest.name, "--timeout", "0.5", "-c", "while True: pass")
    assert done.returncode == 1
    assert "did not end within 0.5 s" in done.stderr
    assert guest.py("print(1)") == ("1\n", "")


def test_list(guest: LiveGuest) -> None:
    rows = json.loads(cli("list", "--json").stdout)
    mine = [row for row in rows if row["name"] == guest.name]
    assert mine == [{**guest.info, "alive": True}]
    assert guest.name in cli("list").stdout


def test_second_up_of_a_running_name(guest: LiveGuest) -> None:
    done = cli("up", "--name", guest.name)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"guest '{guest.name}' runs already" in done.stderr


def test_module_can_be_removed_and_loaded(guest: LiveGuest) -> None:
    status, output = guest.sh("rmmod kpy && insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999")
    assert (status, output) == (0, "")
    for _ in range(50):
        try:
            assert guest.py("print('again')") == ("again\n", "")
            return
        except Exception:
            time.sleep(0.1)
    pytest.fail("no REPL after loading the module again")


def test_unknown_and_impossible_names() -> None:
    done = cli("sh", "--name", "nobody-here", "true")
    assert done.returncode == 1
    assert "start it with 'python3 -m guest up --name nobody-here'" in done.stderr
    assert cli("down", "--name", "nobody-here").returncode == 1
    assert "cannot be a guest's name" in cli("up", "--name", "../x").stderr


def test_guest_that_panics_says_why(own_name: str) -> None:
    done = cli("up", "--name", own_name, "--no-module", "--append", "rdinit=/no init=/no")
    assert done.returncode == 1
    assert f"guest '{own_name}' has died" in done.stderr
    assert "Kernel panic - not syncing" in done.stderr
    assert "Traceback" not in done.stderr


def test_port_in_use(own_name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cli("up", "--name", own_name, "--repl-port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"kpy: port {port} is in use: choose another with --repl-port, or none\n"


def test_life_of_a_bare_guest_with_a_ram_file(own_name: str) -> None:
    done = cli("up", "--name", own_name, "--no-module", "--ram-file", "--smp", "1", "--mem", "256")
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert info["repl"] is None
    assert info["module"] is None
    assert Path(info["ram_file"]).stat().st_size == 256 << 20
    assert cli("sh", "--name", own_name, "nproc").stdout == "1\n"
    assert "no Python" in cli("py", "--name", own_name, "-c", "1").stderr
    # One that dies later says so too.
    os.kill(info["pid"], signal.SIGKILL)
    for _ in range(50):
        done = cli("sh", "--name", own_name, "true")
        if "has died" in done.stderr:
            break
        time.sleep(0.1)
    assert f"guest '{own_name}' has died" in done.stderr
    assert "dead" in cli("list").stdout
    assert cli("down", "--name", own_name).returncode == 0
    assert not Path(info["console"]).parent.exists()


def test_timeout_ends_the_guest(own_name: str) -> None:
    done = cli("up", "--name", own_name, "--no-module", "--timeout", "12")
    assert done.returncode == 0, done.stderr
    pid = json.loads(done.stdout)["pid"]
    for _ in range(150):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the guest outlived its time")
