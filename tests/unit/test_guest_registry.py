# SPDX-License-Identifier: GPL-2.0-or-later
"""Which guests there are; QEMU's command line; the runtime folder's safety."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guest import lifecycle, paths, qemu, registry
from guest.kernel import Kernel
from guest.qemu import Options
from guest.say import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
KERNEL = Kernel("6.1", "1", "/v", "/boot image", "/k", "/m", "ab")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return paths.runtime_dir()


def add(runtime: Path, name: str, pid: int = 0) -> Path:
    folder = runtime / name
    folder.mkdir()
    info = {"name": name, "pid": pid, "repl": None, "release": "6.1"}
    (folder / "guest.json").write_text(json.dumps(info))
    return folder


def test_runtime_folder_is_private(runtime: Path) -> None:
    assert runtime.stat().st_mode & 0o777 == 0o700
    runtime.chmod(0o755)
    with pytest.raises(UserError, match="chmod 700"):
        paths.runtime_dir()


def test_runtime_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "kpy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is not a folder of yours"):
        paths.runtime_dir()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "x" * 33, "ä", "a\n"])
def test_impossible_names(name: str) -> None:
    with pytest.raises(UserError):
        registry.check_name(name)


def test_no_guest(runtime: Path) -> None:
    assert registry.guests() == []
    with pytest.raises(UserError, match="start it with 'python3 -m guest up'"):
        registry.running()


def test_dead_guest_says_why(runtime: Path) -> None:
    folder = add(runtime, "default", 1)
    lines = [f"line {n}" for n in range(40)]
    lines[3] = "[ 1.0] Kernel panic - not syncing: oh"
    (folder / "console.log").write_text("\r\n".join(lines))
    (folder / "qemu.err").write_text("qemu: terminating on signal 15\n")
    with pytest.raises(UserError) as caught:
        registry.running()
    told = str(caught.value).splitlines()
    assert told[0] == "guest 'default' has died; the end of its console:"
    assert told[1] == "  | [ 1.0] Kernel panic - not syncing: oh"
    assert told[-2:] == ["  | line 39", "  | qemu: terminating on signal 15"]


def test_a_process_that_is_not_our_qemu_is_left_alone(runtime: Path) -> None:
    folder = add(runtime, "default", os.getpid())
    assert not registry.is_our_qemu(os.getpid(), folder)
    assert not registry.is_our_qemu(0, folder)
    assert lifecycle.down("default")
    assert not folder.exists()


def fake_qemu(folder: Path) -> subprocess.Popen[bytes]:
    # As our QEMU: its name, and our socket on its command line.
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-c", "read line", f"{folder}/gdb.sock"],
        executable="/bin/sh",
        stdin=subprocess.PIPE,
    )
    # Right after its start a process has no command line for a moment.
    while not registry.is_our_qemu(process.pid, folder):
        time.sleep(0.001)
    return process


def test_running_and_down(runtime: Path) -> None:
    process = fake_qemu(runtime / "one")
    try:
        add(runtime, "one", process.pid)
        # The only one that runs needs no name.
        assert registry.running().name == "one"
        add(runtime, "two", process.pid)
        assert registry.running().name == "one"
        assert lifecycle.down("one")
        assert process.wait(5) == -15
        assert not lifecycle.down("one")
    finally:
        process.kill()
        process.wait()


def test_several_guests_need_a_name(runtime: Path) -> None:
    first, second = fake_qemu(runtime / "one"), None
    try:
        add(runtime, "one", first.pid)
        second = fake_qemu(runtime / "two")
        add(runtime, "two", second.pid)
        with pytest.raises(UserError, match=r"several guests run \(one, two\)"):
            registry.running()
        assert registry.running("two").name == "two"
    finally:
        for process in (first, second):
            if process:
                process.kill()
                process.wait()


def test_stale_folders_go_away(runtime: Path) -> None:
    old, fresh = add(runtime, "old"), add(runtime, "fresh")
    os.utime(old / "guest.json", (1, 1))
    lifecycle.clean_stale()
    assert not old.exists()
    assert fresh.exists()


@pytest.fixture
def line(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(qemu, "program", lambda: "qemu")
    return runtime / "a,b"


def test_command_line(line: Path) -> None:
    words = qemu.command(KERNEL, line, Options(smp=3, mem=256), "tcg", 1001, 1002)
    text = " ".join(words)
    assert "restrict=on" in text
    assert "hostfwd=tcp:127.0.0.1:1001-:2222,hostfwd=tcp:127.0.0.1:1002-:9999" in text
    assert "-smp 3 -m 256M" in text
    assert "tcg,thread=multi" in text
    assert words[words.index("-append") + 1] == "console=ttyS0 panic=-1 quiet nokaslr"
    assert f"path={str(line).replace(',', ',,')}/gdb.sock,server=on,wait=off" in text
    assert "tcp:0" not in text
    assert "-gdb chardev:gdb0" in text


def test_command_line_of_choices(line: Path) -> None:
    options = Options(kaslr=True, append="panic=0", ram_file=True, module=False)
    words = qemu.command(KERNEL, line, options, "kvm", 1001, 0)
    text = " ".join(words)
    assert words[words.index("-append") + 1] == "console=ttyS0 panic=-1 quiet panic=0"
    assert "9999" not in text
    assert "-accel kvm" in text
    assert "share=on,mem-path=" in text
    assert "memory-backend=ram0" in text


def test_accelerator_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPY_ACCEL", "tcg")
    assert qemu.accelerator(KERNEL) == "tcg"
    monkeypatch.setenv("KPY_ACCEL", "hvf")
    with pytest.raises(UserError, match="it can be 'kvm' or 'tcg'"):
        qemu.accelerator(KERNEL)


def test_kvm_trial_needs_a_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Path
) -> None:
    """A QEMU that fails at once, one that says nothing, and one that gets to the panic."""
    fake = tmp_path / "qemu"
    monkeypatch.setattr(qemu, "program", lambda: str(fake))
    monkeypatch.setattr(qemu, "TRIAL_SILENCE", 0.3)
    boots = 'log=${12#file:}; echo "Kernel panic - not syncing: VFS" >"$log"; exit 0'
    for script, works in (("exit 134", False), ("exec sleep 9", False), (boots, True)):
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        assert qemu.kvm_works(KERNEL) is works


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["up", "--smp", "0"], "'0' is not a number of CPUs"),
        (["up", "--mem", "lots"], "'lots' is not a memory size"),
        (["up", "--repl-port", "70000"], "'70000' is not a port"),
        (["up", "--timeout", "-1"], "--timeout"),
        (["py"], "one of the arguments"),
        (["sh"], "give a command"),
        (["py", "/nonexistent.py"], "cannot read /nonexistent.py"),
        (["nonsense"], "invalid choice"),
        ([], "required"),
    ],
)
def test_bad_arguments_are_one_clear_line(runtime: Path, words: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "guest", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
