# SPDX-License-Identifier: GPL-2.0-or-later
"""Which guests there are, from the files in the runtime folder; starts and ends nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from guest.paths import read_json, runtime_dir
from guest.say import UserError

DEFAULT_NAME = "default"


class Guest(NamedTuple):
    """A guest that was started, alive or not."""

    name: str
    folder: Path
    info: dict[str, Any]

    @property
    def alive(self) -> bool:
        """Tell whether the guest's QEMU runs."""
        return is_our_qemu(int(self.info.get("pid") or 0), self.folder)

    @property
    def console_tail(self) -> str:
        """Return the last lines of the console, for people."""
        return tail(self.folder / "console.log")


def check_name(name: str) -> str:
    """Return a guest's name if it can be one."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name):
        raise UserError(
            f"'{name}' cannot be a guest's name: letters, digits, '_', '.', '-', at most 32"
        )
    return name


def folder_of(name: str) -> Path:
    """Return the folder of a guest, whether it exists or not."""
    return runtime_dir() / check_name(name)


def is_our_qemu(pid: int, folder: Path) -> bool:
    """Tell whether a process is the QEMU of the guest in that folder."""
    if pid <= 0:
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    socket = f"{folder}/gdb.sock".encode()
    return state != "Z" and b"qemu" in command[0] and any(socket in word for word in command)


def find(name: str = DEFAULT_NAME) -> Guest | None:
    """Return a guest by name, if it was started."""
    folder = folder_of(name)
    info = read_json(folder / "guest.json")
    return Guest(name, folder, info) if info else None


def guests() -> list[Guest]:
    """Return all guests, oldest first."""
    found = [find(path.parent.name) for path in runtime_dir().glob("*/guest.json")]
    known = [guest for guest in found if guest]
    return sorted(known, key=lambda guest: (guest.folder / "guest.json").stat().st_mtime)


def running(name: str | None = None) -> Guest:
    """Return a running guest; without a name, the default one or the only one.

    An UserError names the remedy.
    """
    if name is None:
        alive = [guest for guest in guests() if guest.alive]
        default = [guest for guest in alive if guest.name == DEFAULT_NAME]
        if default or len(alive) == 1:
            return (default or alive)[0]
        if alive:
            names = ", ".join(guest.name for guest in alive)
            raise UserError(f"several guests run ({names}): choose one with --name")
        name = DEFAULT_NAME
    guest = find(name)
    option = "" if name == DEFAULT_NAME else f" --name {name}"
    if guest is None:
        raise UserError(f"no guest '{name}' runs: start it with 'python3 -m guest up{option}'")
    if not guest.alive:
        raise UserError(died(guest.name, guest.folder))
    return guest


def died(name: str, folder: Path) -> str:
    """Say that a guest has died, with what it said last."""
    text = tail(folder / "console.log", start="Kernel panic - not syncing")
    complaint = tail(folder / "qemu.err", 3)
    told = "".join(f"\n  | {line}" for line in (text + "\n" + complaint).splitlines() if line)
    return f"guest '{name}' has died; the end of its console:{told or ' (nothing)'}"


def tail(path: Path, lines: int = 15, start: str = "") -> str:
    """Return the last lines of a file that another process writes.

    A line with the text `start` is shown even when it came before them.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 16384))
            data = stream.read()
    except OSError:
        return ""
    text = data.decode("utf-8", "replace").replace("\r", "")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc", "", text)
    every = [line for line in text.splitlines() if line.strip()]
    first = [line for line in every[:-lines] if start and start in line]
    return "\n".join(first[:1] + every[-lines:])


def age(guest: Guest) -> float:
    """Return the seconds since a guest was started."""
    try:
        return time.time() - (guest.folder / "guest.json").stat().st_mtime
    except OSError:
        return 0.0
