# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a GDB understand kpy: ``gdb -x gdbinit.py``, or ``source`` this file in a running one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gdb

ROOT = Path(__file__).resolve().parent


class NotSetUp(Exception):
    """Something that `make` has to do first."""


def use_packages() -> None:
    """Put this repository and its virtual environment on GDB's Python path."""
    packages = sorted((ROOT / ".venv" / "lib").glob("python3.*/site-packages"))
    if not packages:
        raise NotSetUp(f"kpy: {ROOT / '.venv'} is missing: run `make` in {ROOT} first")
    if packages[0].parent.name != f"python3.{sys.version_info.minor}":
        have = f"python3.{sys.version_info.minor}"
        raise NotSetUp(
            f"kpy: this GDB has {have}, {ROOT / '.venv'} is for {packages[0].parent.name}: "
            f"remove it and run `make` with GDB's {have} as /usr/bin/python3"
        )
    for path in (str(packages[0]), str(ROOT)):
        if path not in sys.path:
            sys.path.insert(0, path)


def use_index_cache() -> None:
    """Keep the index of a vmlinux, so that it loads in 1 s and not in 5; before any file loads."""
    if gdb.parameter("index-cache enabled"):
        return  # the user's own, wherever it is
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    folder = root / "kpy" / "gdb-index"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # only slower
    gdb.execute(f"set index-cache directory {folder}")
    gdb.execute("set index-cache enabled on")


def settle() -> None:
    """Set what a kernel under QEMU needs, where the user has not chosen otherwise."""
    if gdb.parameter("architecture") == "auto":
        gdb.execute("set architecture i386:x86-64", to_string=True)
    if gdb.parameter("remotetimeout") == 2:  # GDB's default; a busy host needs longer
        gdb.execute("set remotetimeout 10")


def main() -> None:
    """Set up GDB and register the commands."""
    try:
        use_packages()
    except NotSetUp as error:
        gdb.write(f"{error}\n", gdb.STDERR)
        return
    use_index_cache()
    settle()
    from gdb_kpy import commands

    commands.register()


main()
