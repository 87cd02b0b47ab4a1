# SPDX-License-Identifier: GPL-2.0-or-later
"""Start guests and end them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from guest import initramfs, kernel, qemu, registry
from guest.agent import Agent, AgentError
from guest.paths import BUILD, dump_json, write_atomic
from guest.qemu import Options
from guest.repl import Repl, ReplError
from guest.say import UserError, locked, note

BOOT_SECONDS = 120.0
END_SECONDS = 5.0
# A unix socket's path must fit into sockaddr_un.
SOCKET_PATH_MAX = 107


class DiedError(UserError):
    """A guest ended or refused while it was started."""


def up(name: str, options: Options) -> dict[str, Any]:
    """Start a guest, wait until it answers, and return what `guest.json` says of it."""
    folder = registry.folder_of(name)
    chosen = kernel.load()
    if not chosen.vmlinuz:
        raise UserError(f"the kernel {chosen.release} has no boot image: nothing to start")
    module = BUILD / chosen.release / "kpy.ko"
    if options.module and not module.is_file():
        raise UserError(
            f"there is no {module.relative_to(BUILD.parent)} yet: run 'make' "
            "(or start the bare kernel with --no-module)"
        )
    if len(str(folder / "monitor.sock")) > SOCKET_PATH_MAX:
        raise UserError(f"the path {folder} is too long for a socket: shorten XDG_RUNTIME_DIR")
    base = initramfs.build(chosen, module if options.module else None)
    accel = qemu.accelerator(chosen)
    with locked(folder.parent / f".{name}.lock", f"starts or ends guest '{name}'", 60):
        there = registry.find(name)
        if there and there.alive:
            raise UserError(
                f"guest '{name}' runs already (pid {there.info['pid']}): use it, "
                f"end it with 'python3 -m guest down{_option(name)}', or choose another --name"
            )
        for attempt in range(3):
            clean(folder)
            try:
                return _start(name, folder, chosen, module, base, accel, options)
            except _PortTaken as error:
                # Another process took the free port in between.
                if options.repl_port or attempt == 2:
                    raise UserError(str(error)) from None
    raise AssertionError("not reached")


class _PortTaken(UserError):
    """A forwarded port is in use."""


def _option(name: str) -> str:
    return "" if name == registry.DEFAULT_NAME else f" --name {name}"


def _start(
    name: str,
    folder: Path,
    chosen: kernel.Kernel,
    module: Path,
    base: Path,
    accel: str,
    options: Options,
) -> dict[str, Any]:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UserError(f"cannot create {folder}: {error.strerror}") from error
    agent = Agent(qemu.free_port(), secrets.token_hex(16))
    repl_port = options.repl_port or qemu.free_port()
    load = f"server_addr=0.0.0.0:{initramfs.REPL_PORT}" if options.module else ""
    host = re.sub(r"[^A-Za-z0-9-]", "-", name)
    settings = {"TOKEN": agent.token, "HOST_NAME": host, "LOAD": load}
    initramfs.write_for_guest(folder / "initrd", base, settings)
    command = qemu.command(chosen, folder, options, accel, agent.port, repl_port)
    if options.timeout:
        command = ["timeout", "-k", "5", f"{options.timeout:g}", *command]
    with (folder / "qemu.err").open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
    try:
        pid = _wait_pid(process, folder, repl_port)
        info: dict[str, Any] = {
            "name": name,
            "pid": pid,
            "gdb_socket": str(folder / "gdb.sock"),
            "monitor_socket": str(folder / "monitor.sock"),
            "repl": f"127.0.0.1:{repl_port}" if options.module else None,
            "console": str(folder / "console.log"),
            "vmlinux": chosen.vmlinux,
            "module": str(module) if options.module else None,
            "release": chosen.release,
            "qmp_socket": str(folder / "qmp.sock"),
            "accel": accel,
        }
        if options.ram_file:
            info["ram_file"] = str(folder / "ram")
        _wait_ready(process, folder, name, agent, info)
        write_atomic(
            folder / "agent.json", dump_json({"port": agent.port, "token": agent.token}), 0o600
        )
        write_atomic(folder / "guest.json", dump_json(info), 0o600)
    except BaseException:
        if process.poll() is None:
            process.kill() if not options.timeout else process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
        clean(folder)
        raise
    return info


def _wait_pid(process: subprocess.Popen[bytes], folder: Path, repl_port: int) -> int:
    """Return QEMU's own process id, once it has accepted its command line."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / "pid").read_text())
        if process.poll() is not None:
            raise _death(process, folder, repl_port)
        time.sleep(0.01)
    raise DiedError("QEMU did not start within 20 s")


def _death(process: subprocess.Popen[bytes], folder: Path, repl_port: int) -> UserError:
    """Say why QEMU ended: it refused its command line, or the guest died."""
    said = registry.tail(folder / "qemu.err", 3)
    if "Could not set up host forwarding rule" in said:
        return _PortTaken(f"port {repl_port} is in use: choose another with --repl-port, or none")
    if registry.tail(folder / "console.log"):
        return DiedError(registry.died(folder.name, folder))
    text = re.sub(r"^qemu-system-x86_64: ", "", said.replace("\n", " / "))
    return DiedError(f"QEMU did not start: {text or f'exit {process.returncode}'}")


def _wait_ready(
    process: subprocess.Popen[bytes],
    folder: Path,
    name: str,
    agent: Agent,
    info: dict[str, Any],
) -> None:
    """Wait until the agent and, with the module, the REPL answer."""
    started = time.monotonic()
    console = folder / "console.log"
    shown = False
    tty = sys.stderr.isatty()
    try:
        while True:
            text = _console(console)
            if "kpy-guest: module refused:" in text:
                raise DiedError(_refusal(text, name, folder, agent))
            if "kpy-guest: ready" in text and _answers(agent, info):
                return
            if process.poll() is not None:
                raise _death(process, folder, int(str(info["repl"] or ":0").split(":")[1]))
            took = time.monotonic() - started
            if took > BOOT_SECONDS:
                raise DiedError(
                    f"guest '{name}' did not come up within {BOOT_SECONDS:.0f} s; "
                    f"the end of its console:\n{_indented(registry.tail(console))}"
                )
            if tty and took > 2:
                shown = True
                step = (re.findall(r"kpy-guest: (.*)", text) or ["kernel boots"])[-1]
                sys.stderr.write(f"\r\033[Kguest '{name}': {took:.0f} s, {step}")
                sys.stderr.flush()
            time.sleep(0.05)
    finally:
        if shown:
            sys.stderr.write("\r\033[K")


def _console(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines())


def _answers(agent: Agent, info: dict[str, Any]) -> bool:
    try:
        if agent.run("true", 5)[0] != 0:
            return False
        if info["repl"]:
            host, port = str(info["repl"]).rsplit(":", 1)
            Repl(host, int(port), 5).close()
    except (AgentError, ReplError):
        return False
    return True


def _refusal(console: str, name: str, folder: Path, agent: Agent) -> str:
    """Say why the kernel refused the module, with the kernel's own words."""
    found = re.search(r"module refused: (.*)", console)
    reason = found.group(1).strip() if found else ""
    try:
        _, log = agent.run("dmesg | grep -i -e kpy -e module | tail -n 5", 5)
    except AgentError:
        log = b""
    words = _indented(log.decode("utf-8", "replace")) or _indented(
        registry.tail(folder / "console.log", 5)
    )
    return f"guest '{name}': the kernel refused kpy.ko: {reason}\n{words}"


def down(name: str) -> bool:
    """End a guest and remove its folder; tell whether there was one."""
    folder = registry.folder_of(name)
    with locked(folder.parent / f".{name}.lock", f"starts or ends guest '{name}'", 60):
        guest = registry.find(name)
        if guest is None and not folder.exists():
            return False
        if guest and guest.alive:
            end(int(guest.info["pid"]), folder)
        clean(folder)
    return True


def end(pid: int, folder: Path) -> None:
    """End exactly the QEMU of that folder and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not registry.is_our_qemu(pid, folder):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            if not registry.is_our_qemu(pid, folder):
                return
            time.sleep(0.02)
    raise UserError(f"QEMU (pid {pid}) of {folder.name} does not end, not even when killed")


def clean(folder: Path) -> None:
    """Remove the folder of a guest that does not run."""
    with contextlib.suppress(ValueError, OSError):
        # Started, but never registered: an `up` that was killed.
        pid = int((folder / "pid").read_text())
        end(pid, folder)
    if folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise UserError(f"cannot remove {folder}: {error.strerror}") from error


def clean_stale(max_age: float = 24 * 3600) -> None:
    """Remove what guests that died long ago left behind."""
    for guest in registry.guests():
        if not guest.alive and registry.age(guest) > max_age:
            note(f"removed the remains of guest '{guest.name}'")
            down(guest.name)
