# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU: its command line, and which accelerator this machine really has."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from guest import initramfs
from guest.kernel import Kernel
from guest.paths import cache_dir, dump_json, make_dir, read_json, write_atomic
from guest.say import UserError, note

QEMU = "qemu-system-x86_64"
TRIAL_SECONDS = 10.0
TRIAL_SILENCE = 3.0


class Options(NamedTuple):
    """What a person may choose about a guest."""

    smp: int = 2
    mem: int = 512
    append: str = ""
    kaslr: bool = False
    ram_file: bool = False
    repl_port: int = 0
    module: bool = True
    timeout: float = 0
    # One instruction is one nanosecond of the guest's clock: measurements repeat. One CPU, TCG.
    icount: bool = False
    # TCG runs all vCPUs in turn in one thread of the host. QEMU before 8.1 may go on with the old
    # code of an instruction that is patched while another vCPU translates it (its commit
    # deba78709a): a guest that patches its hottest functions then hangs in int3 for ever.
    one_thread: bool = False


def program() -> str:
    """Return the path of QEMU."""
    path = shutil.which(QEMU)
    if not path:
        raise UserError(f"{QEMU} is missing: run 'make packages'")
    return path


def runs_stale_code() -> bool:
    """Tell whether this QEMU may hang as `Options.one_thread` says."""
    text = subprocess.run([program(), "--version"], capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.(\d+)", text)
    return version is None or (int(version[1]), int(version[2])) < (8, 1)


def accelerator(kernel: Kernel) -> str:
    """Return 'kvm' if a trial start shows that it works here, else 'tcg'.

    The answer is kept until the next boot of this machine. KPY_ACCEL overrides.
    """
    chosen = os.environ.get("KPY_ACCEL", "")
    if chosen:
        if chosen not in ("kvm", "tcg"):
            raise UserError(f"KPY_ACCEL={chosen}: it can be 'kvm' or 'tcg'")
        return chosen
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    # A folder of the cache may be shared by machines; the boot id tells them apart.
    boot = _text("/proc/sys/kernel/random/boot_id")
    asked = f"{boot} {Path(program()).stat().st_mtime_ns} {Path('/dev/kvm').stat().st_mtime_ns}"
    path = cache_dir() / "accelerator.json"
    known = read_json(path) or {}
    if known.get("asked") == asked and known.get("use") in ("kvm", "tcg"):
        return str(known["use"])
    note("kvm: try whether it works on this machine")
    use = "kvm" if kvm_works(kernel) else "tcg"
    note("kvm: it does" if use == "kvm" else "kvm: it does not; guests are emulated (TCG)")
    make_dir(path.parent)
    write_atomic(path, dump_json({"asked": asked, "use": use}))
    return use


def kvm_works(kernel: Kernel) -> bool:
    """Boot the kernel without a root under KVM: it must get as far as to panic, and soon."""
    with tempfile.TemporaryDirectory(prefix="kpy-kvm.") as folder:
        log = Path(folder) / "console"
        words = [program(), "-accel", "kvm", "-cpu", "max", "-m", "256", "-nodefaults"]
        words += ["-display", "none", "-no-reboot", "-serial", f"file:{log}"]
        words += ["-kernel", str(kernel.vmlinuz)]
        words += ["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"]
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started = time.monotonic()
        try:
            while process.poll() is None:
                took = time.monotonic() - started
                silent = not log.exists() or not log.stat().st_size
                if took > TRIAL_SECONDS or (silent and took > TRIAL_SILENCE):
                    return False
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        return process.returncode == 0 and "Kernel panic - not syncing: VFS" in _text(log)


def _text(path: Path | str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kernel_arguments(options: Options) -> str:
    """Return the guest kernel's command line; what the user appends wins."""
    words = ["console=ttyS0", "panic=-1", "quiet"]
    if not options.kaslr:
        words.append("nokaslr")
    if options.append:
        words.append(options.append)
    return " ".join(words)


def command(
    kernel: Kernel,
    folder: Path,
    options: Options,
    accel: str,
    agent_port: int,
    repl_port: int,
) -> list[str]:
    """Return QEMU's command line for a guest in its folder."""
    forwards = f"hostfwd=tcp:127.0.0.1:{agent_port}-:{initramfs.AGENT_PORT}"
    if options.module:
        forwards += f",hostfwd=tcp:127.0.0.1:{repl_port}-:{initramfs.REPL_PORT}"
    words = [program(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    if options.icount:
        words += ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "max"]
    else:
        tcg = f"tcg,thread={'single' if options.one_thread else 'multi'}"
        words += ["-accel", "kvm" if accel == "kvm" else tcg, "-cpu", "max"]
    words += ["-smp", str(options.smp), "-m", f"{options.mem}M"]
    if options.ram_file:
        memory = f"memory-backend-file,id=ram0,size={options.mem}M,share=on"
        words += ["-object", f"{memory},mem-path={_quoted(folder / 'ram')}"]
        words += ["-machine", "pc,memory-backend=ram0"]
    else:
        words += ["-machine", "pc"]
    words += ["-kernel", str(kernel.vmlinuz), "-initrd", str(folder / "initrd")]
    words += ["-append", kernel_arguments(options)]
    # No way out: the guest reaches nothing, and only our two ports lead in.
    words += ["-netdev", f"user,id=net0,restrict=on,{forwards}"]
    words += ["-device", "virtio-net-pci,netdev=net0,romfile="]
    # Tells dump and debugging tools where the kernel lies.
    words += ["-device", "vmcoreinfo"]
    words += ["-chardev", f"file,id=con0,path={_quoted(folder / 'console.log')}"]
    words += ["-serial", "chardev:con0"]
    for name, chardev in (("monitor", "mon0"), ("qmp", "qmp0"), ("gdb", "gdb0")):
        path = _quoted(folder / f"{name}.sock")
        words += ["-chardev", f"socket,id={chardev},path={path},server=on,wait=off"]
    words += ["-mon", "chardev=mon0,mode=readline", "-mon", "chardev=qmp0,mode=control"]
    words += ["-gdb", "chardev:gdb0", "-pidfile", str(folder / "pid")]
    return words


def _quoted(path: Path) -> str:
    """Return a path for QEMU's option lists, where a comma must be doubled."""
    return str(path).replace(",", ",,")
