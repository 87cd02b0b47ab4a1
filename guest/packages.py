# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages that kpy needs on the machine, and their installation."""

from __future__ import annotations

import os
import shutil
import subprocess

from guest.debian import GONE, apt_environment, explain, run_tool
from guest.say import Progress, UserError, note

LOCK_SECONDS = 120
GROUPS = {
    # What building, running and debugging a guest takes.
    "build": (
        "binutils",
        "busybox-static",
        "ca-certificates",
        "dwarves",
        "g++-12",
        "gcc-12",
        "gcc-12-plugin-dev",
        "gdb",
        "libc6-dev",
        "libelf1",
        "libssl3",
        "make",
        "patch",
        "python3-venv",
        "qemu-system-x86",
        "seabios",
    ),
    # What only the tests and the style checks take.
    "test": ("socat",),
    "lint": ("clang-format-14",),
}


def missing(names: list[str]) -> list[str]:
    """Return those packages that are not installed."""
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
            env=apt_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except FileNotFoundError:
        raise UserError(
            "dpkg-query not found: kpy sets itself up with Debian's tools; run it on Debian 12"
        ) from None
    installed = {
        line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in names if name not in installed]


def root_command() -> list[str] | None:
    """Return what to put before a command to run it as root; None when there is no way."""
    if os.getuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    silent = subprocess.run(["sudo", "-n", "true"], capture_output=True, stdin=subprocess.DEVNULL)
    if silent.returncode == 0:
        return ["sudo", "-n"]
    # Asking for a password takes a person.
    return ["sudo"] if os.isatty(0) and os.isatty(2) else None


def install(groups: list[str]) -> None:
    """Install what is missing of the named groups; quiet when nothing is."""
    wanted = sorted({name for group in groups for name in GROUPS[group]})
    names = missing(wanted)
    if not names:
        return
    root = root_command()
    if root is None:
        raise UserError(
            "Debian packages are missing and neither root nor sudo is at hand; "
            f"have them installed: apt-get install --no-install-recommends {' '.join(names)}"
        )
    note(f"packages: install {len(names)} Debian packages: {' '.join(names)}")
    if not known(names):
        note("packages: update the package lists")
        _apt(root, "update", "-o", "APT::Update::Error-Mode=any")
    install = ("install", "-y", "--no-install-recommends", *names)
    try:
        _apt(root, *install)
    except UserError as error:
        if not str(error).startswith(GONE):
            raise
        note("packages: the package lists are too old, update them")
        _apt(root, "update", "-o", "APT::Update::Error-Mode=any")
        _apt(root, *install)
    left = missing(names)
    if left:
        raise UserError(
            f"apt-get did not install {' '.join(left)}: install by hand, then run again"
        )


def known(names: list[str]) -> bool:
    """Tell whether the machine's package lists have a candidate for every name."""
    text = run_tool("apt-cache", "policy", "--", *names)
    found = text.count("\n  Candidate: ") - text.count("\n  Candidate: (none)")
    return found >= len(names)


def _apt(root: list[str], *command: str) -> None:
    """Run apt-get as root; its output is shown, and its failure told in one line."""
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]
    options = ["-q", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", "-o", "Acquire::Retries=2"]
    process = subprocess.Popen(
        [*root, *environment, "apt-get", *options, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    waiting = False
    progress = Progress(f"apt-get {command[0]}")
    if process.stdout:
        for line in process.stdout:
            lines.append(line)
            if line.startswith(("Get:", "Unpacking", "Setting up")):
                progress.update(0, " ".join(line.split()[:3]))
            elif line.startswith("Need to get"):
                note("  " + line.strip())
            elif "Waiting for cache lock" in line and not waiting:
                waiting = True
                note(f"  another process holds apt's lock: waiting up to {LOCK_SECONDS} s")
    if process.wait():
        raise UserError(explain("".join(lines), f"apt-get {command[0]} failed"))
    progress.finish()
