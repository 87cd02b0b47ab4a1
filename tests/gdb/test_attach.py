# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy attach` and `kpy status`, against what the guest says of itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import LiveGuest, run_gdb

from gdb_kpy.core.elf import ElfFile
from guest import lifecycle
from guest.qemu import Options

if TYPE_CHECKING:
    from conftest import GdbRunner

pytestmark = pytest.mark.guest


def last(text: str) -> str:
    return [line for line in text.splitlines() if line][-1]


def status_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(
        done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1]
    )
    return found


def test_status_says_what_the_guest_says(guest: LiveGuest, gdb: GdbRunner) -> None:
    text = int(guest.sh("cat /sys/module/kpy/sections/.text")[1], 16)
    release = guest.sh("uname -r")[1].strip()
    notes = bytes.fromhex(guest.sh("od -An -v -tx1 /sys/kernel/notes")[1])
    build_id = notes[notes.index(b"GNU\0") + 4 :][:20]
    module_notes = guest.sh("od -An -v -tx1 /sys/module/kpy/notes/.note.gnu.build-id")[1]
    processors = int(guest.sh("nproc")[1])
    found = status_of(gdb("kpy status -json"))
    assert found["kernel"]["release"] == release == found["module"]["release"]
    assert found["kernel"]["build_id"] == build_id.hex()
    assert found["kernel"]["kaslr_offset"] == 0
    assert [vcpu["cpu"] for vcpu in found["vcpus"]] == list(range(processors))
    assert found["module"]["text"] == text
    assert found["module"]["build_id"] in module_notes.replace(" ", "").replace("\n", "")
    assert found["module"]["ready"] is True
    assert found["module"]["gil"] == "free"
    assert found["module"]["layouts"]["release"] == release
    assert found["module"]["layouts"]["records"] > 20
    assert found["connection"] == guest.info["gdb_socket"]


def test_status_tells_of_hooks_and_heap(guest: LiveGuest, gdb: GdbRunner) -> None:
    """What the interpreter says of them: gc.mem_alloc() with other sessions at rest."""
    out, err = guest.py(
        "import gc, kernel_ffi\n"
        "def status_watch(*a): pass\n"
        "status_hook = kernel_ffi.kprobe('ksys_sync', kernel_ffi.KP_ARGS_WATCH, status_watch)\n"
        "status_callback = kernel_ffi.callback(status_watch)\n"
        "gc.collect()\n"
        "print(len(kernel_ffi.hooks()))\n"
    )
    assert err == ""
    try:
        assert guest.sh("sync; sync")[0] == 0
        hits = int(guest.py("print(status_hook.hits)")[0])
        before = int(guest.py("print(gc.mem_alloc())")[0])
        module = status_of(gdb("kpy status -json"))["module"]
        after = int(guest.py("print(gc.mem_alloc())")[0])
        assert hits == 2
        hooks = {(hook["kind"], hook["target"]): hook for hook in module["hooks"]}
        assert len(module["hooks"]) == int(out)
        watch = hooks["kprobe KP_ARGS_WATCH", "ksys_sync"]
        assert (watch["hits"], watch["missed"], watch["state"]) == (hits, 0, "enabled")
        assert any(kind == "callback" for kind, _ in hooks)
        assert before * 0.9 <= module["heap_used"] <= after * 1.1
        assert f"kprobe KP_ARGS_WATCH on ksys_sync: {hits} hits" in gdb("kpy status").stdout
    finally:
        guest.py("status_hook.rm()\nstatus_callback.rm()\ndel status_hook, status_callback\n")


def test_status_names_the_task_of_each_cpu(guest: LiveGuest, gdb: GdbRunner) -> None:
    guest.sh("(while :; do :; done) > /dev/null 2>&1 < /dev/null & echo $! > /tmp/busy")
    try:
        pid = int(guest.sh("cat /tmp/busy")[1])
        comm = guest.sh(f"cat /proc/{pid}/comm")[1].strip()
        vcpus = status_of(gdb("kpy status -json"))["vcpus"]
        assert (comm, pid) in [(vcpu["task"], vcpu["pid"]) for vcpu in vcpus]
    finally:
        guest.sh("kill -9 $(cat /tmp/busy)")


def test_symbols_work_after_attaching(guest: LiveGuest, gdb: GdbRunner) -> None:
    done = gdb(
        "print init_task.comm",
        "print (long)jiffies_64 > 0",
        "info symbol kpy_debug_eval",
        "output sizeof(struct kpy_mailbox)",
    )
    assert done.returncode == 0, done.stderr
    assert '"swapper/0\\000' in done.stdout
    assert "kpy_debug_eval in section .text" in done.stdout


def test_human_status(gdb: GdbRunner) -> None:
    done = gdb("kpy status")
    assert done.returncode == 0, done.stderr
    labels = [line.split("  ")[0].strip() for line in done.stdout.splitlines()]
    for label in (
        "guest",
        "kernel",
        "symbols",
        "CPU 0",
        "CPU 1",
        "module",
        "python",
        "heap",
        "layouts",
    ):
        assert label in labels
    assert "types of the module are the kernel's (BTF)." in done.stdout
    assert "\033" not in done.stdout


def test_the_list_and_the_help() -> None:
    done = run_gdb("kpy", *(f"help kpy {c}" for c in ("attach", "status", "eval", "layout check")))
    assert done.returncode == 0, done.stderr
    for command in ("attach", "status", "eval", "layout check"):
        assert re.search(rf"^kpy {command} +[A-Z].*\.$", done.stdout, re.MULTILINE)
    assert done.stdout.count("Usage: kpy ") == 4
    assert done.stdout.count("Example:\n") == 4


def test_completion(guest: LiveGuest) -> None:
    done = run_gdb("complete kpy ", "complete kpy attach -v", "complete kpy attach test-")
    assert {"kpy attach", "kpy status", "kpy eval", "kpy layout"} <= set(done.stdout.splitlines())
    assert "kpy attach -vmlinux" in done.stdout
    assert f"kpy attach {guest.name}" in done.stdout


# Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("kpy status", "GDB is not attached to a guest: `kpy attach`"),
        ("kpy eval 1", "GDB is not attached to a guest: `kpy attach`"),
        ("kpy layout check", "GDB is not attached to a guest: `kpy attach`"),
        ("kpy eval", "nothing to evaluate: `kpy eval EXPRESSION`"),
        ("kpy attach /no/such.sock -vmlinux /bin/ls", "no running guest or socket /no/such.sock"),
        ("kpy attach /etc/passwd -vmlinux /bin/ls", "/etc/passwd is not a socket"),
        ("kpy attach -vmlinux", "-vmlinux needs a value after it"),
        ("kpy attach -frob", "unknown option -frob (known: -vmlinux, -module)"),
        ("kpy attach a b", "one address is enough"),
        ("kpy attach :1 -vmlinux /no/vmlinux", "no file /no/vmlinux"),
        ("kpy attach :1 -vmlinux /etc/passwd", "/etc/passwd is not an x86-64 ELF file"),
        ("kpy status -frob", "unknown option -frob (known: -json)"),
        ("kpy nonsense", "no command `kpy nonsense`: `kpy` lists them"),
    ],
)
def test_one_line_for_each_mistake(command: str, said: str) -> None:
    done = run_gdb(command)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert len(done.stderr.strip().splitlines()) == 1


def test_nothing_listens(guest: LiveGuest, tmp_path: Path) -> None:
    vmlinux = guest.info["vmlinux"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run_gdb(f"kpy attach 127.0.0.1:{port} -vmlinux {vmlinux}")
    assert last(done.stderr).startswith(f"nothing listens at 127.0.0.1:{port}: start a guest")
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    done = run_gdb(f"kpy attach {path} -vmlinux {vmlinux}")
    assert last(done.stderr).startswith(f"nothing listens at {path}: start a guest")
    assert "guest up" in done.stderr


@pytest.fixture(scope="session")
def other_vmlinux(guest: LiveGuest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The running kernel's vmlinux without debug info and with another build-id."""
    out = tmp_path_factory.mktemp("vmlinux") / "vmlinux"
    objcopy = shutil.which("objcopy")
    assert objcopy
    subprocess.run([objcopy, "--strip-debug", guest.info["vmlinux"], str(out)], check=True)
    notes = ElfFile(out).section(".notes")
    assert notes is not None
    with out.open("r+b") as file:
        file.seek(notes.offset)
        raw = file.read(notes.size)
        file.seek(notes.offset + raw.index(b"GNU\0") + 4)
        file.write(bytes(20))
    return out


def test_a_vmlinux_of_another_build(guest: LiveGuest, other_vmlinux: Path) -> None:
    right = ElfFile(Path(guest.info["vmlinux"])).build_id()
    where = guest.info["gdb_socket"]
    done = run_gdb(f"kpy attach {where} -vmlinux {other_vmlinux}", "kpy eval 1", "info inferiors")
    said = done.stderr.splitlines()
    assert said[0] == (
        f"{other_vmlinux} has build-id {'00' * 20}, the running kernel {right}: "
        "give the vmlinux of the running kernel by -vmlinux FILE"
    )
    assert said[1].startswith("GDB is not attached")
    assert "running" in guest.monitor("info status")  # left as it was found
    # GDB stays usable: the right file works in the same session.
    done = run_gdb(
        f"kpy attach {where} -vmlinux {other_vmlinux}", f"kpy attach {where}", "kpy eval 6*7"
    )
    assert done.returncode == 0
    assert "\n42\n" in done.stdout


def test_a_module_file_of_another_build(guest: LiveGuest) -> None:
    done = run_gdb(f"kpy attach {guest.info['gdb_socket']} -module /bin/ls", "kpy eval 6*7")
    assert done.returncode == 0
    assert "no symbols: /bin/ls has build-id" in done.stdout
    assert "\n42\n" in done.stdout


def test_module_comes_and_goes(guest: LiveGuest, gdb: GdbRunner) -> None:
    """Unloaded, loaded again, and unloaded while GDB stays attached."""
    parameters = "server_addr=0.0.0.0:9999"
    assert guest.sh("rmmod kpy", timeout=30)[0] == 0
    try:
        done = gdb("kpy eval 1", "kpy status")
        assert done.returncode == 0
        assert "Kernel symbols only: kpy.ko is not loaded in the guest: load it" in done.stderr
        assert last(done.stderr).startswith("kpy.ko is not loaded in the guest: load it")
        assert "module   kpy.ko is not loaded" in done.stdout
    finally:
        assert guest.sh(f"insmod /lib/kpy/kpy.ko {parameters}")[0] == 0
    done = gdb("kpy eval 6*7")
    assert done.returncode == 0, done.stderr
    assert "\n42\n" in done.stdout


def test_another_debug_abi(guest: LiveGuest, gdb: GdbRunner) -> None:
    """The module in memory is made to say that it speaks ABI 2."""
    table = int(guest.sh("grep -w kpy_debug_info /proc/kallsyms")[1].split()[0], 16)
    patch = f"python gdb.selected_inferior().write_memory({table + 8:#x}, bytes([{{}}, 0, 0, 0]))"
    try:
        done = gdb(patch.format(2), f"kpy attach {guest.info['gdb_socket']}", "kpy eval 1")
        assert done.returncode == 1
        clear = "the module speaks debug ABI 2, this gdb_kpy knows 1: rebuild with make"
        assert last(done.stderr).startswith(clear)
        assert f"Kernel symbols only: {clear}" in done.stderr
    finally:
        gdb(patch.format(1))
    assert "\n42\n" in gdb("kpy eval 6*7").stdout


# Other guests -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moved() -> Iterator[LiveGuest]:
    """A guest with KASLR and page-table isolation."""
    name = f"moved-{os.getpid()}"
    options = Options(smp=2, kaslr=True, append="pti=on", timeout=600)
    try:
        yield LiveGuest(lifecycle.up(name, options))
    finally:
        lifecycle.down(name)


USER64 = ".globl _start\n_start: inc %rax\n movq %rax, %xmm3\n jmp _start\n"
USER32 = ".globl _start\n_start: inc %eax\n jmp _start\n"


def test_kaslr_and_page_table_isolation(moved: LiveGuest, tmp_path: Path) -> None:
    """Attaching and evaluating, in 64-bit and 32-bit user mode among others."""
    base = int(moved.sh("grep ' _text$' /proc/kallsyms")[1].split()[0], 16)
    linked = ElfFile(Path(moved.info["vmlinux"])).symbols(["_text"])["_text"]
    found = status_of(run_gdb(f"kpy attach {moved.info['gdb_socket']}", "kpy status -json"))
    assert found["kernel"]["kaslr_offset"] == base - linked
    # The module's lines, too, are found where it lies this time.
    entry = moved.sh("grep -w kpy_debug_eval /proc/kallsyms")[1].split()[0]
    for _ in range(2):
        done = run_gdb(f"kpy attach {moved.info['gdb_socket']}", f"info line *0x{entry}")
        assert 'kmod/debug/eval.c" starts at address' in done.stdout
        assert "but not in symtab" not in done.stderr
    for bits, source in (("64", USER64), ("32", USER32)):
        (tmp_path / "a.s").write_text(source)
        out, program = tmp_path / "a.o", tmp_path / f"user{bits}"
        subprocess.run(["as", f"--{bits}", "-o", out, tmp_path / "a.s"], check=True)
        kind = "elf_x86_64" if bits == "64" else "elf_i386"
        subprocess.run(["ld", "-m", kind, "-o", program, out], check=True)
        _push(moved, program)
        moved.sh(f"setsid /tmp/user{bits} > /dev/null 2>&1 < /dev/null & sleep 0.5")
    assert moved.sh("pidof user64 && pidof user32")[0] == 0
    where = moved.info["gdb_socket"]
    done = run_gdb(
        f"kpy attach {where}", "python STOPS = 80", "source tests/gdb/soak.py", timeout=240
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(re.findall(r"^soak: (.*)$", done.stdout, re.MULTILINE)[0])
    assert report["wrong"] == []
    assert report["moved"] == {}
    assert report["kinds"]["user mode, irqs on"] > 5
    assert report["kinds"].get("user mode (32-bit), irqs on", 0) > 5, report["kinds"]
    done = run_gdb(f"kpy attach {where}", *["kpy eval -run 6 * 7"] * 5, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("42") == 5, done.stdout
    assert moved.sh("pidof user64 && pidof user32")[0] == 0
    assert moved.trouble() == []


def _push(guest: LiveGuest, program: Path) -> None:
    words = ["push", "--name", guest.name, str(program), f"/tmp/{program.name}"]
    root = Path(__file__).resolve().parents[2]
    subprocess.run(["python3", "-m", "guest", *words], check=True, cwd=root)
    assert guest.sh(f"chmod 755 /tmp/{program.name}")[0] == 0
