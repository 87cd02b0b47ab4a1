#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetch upstream MicroPython: Debian's source package, pinned, verified, patched, unpacked.

Run as `python3 micropython/upstream.py`; leaves build/micropython pointing at the sources.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from guest.debian import Apt, check_space  # noqa: E402
from guest.paths import BUILD, cache_dir, make_dir, read_json, scratch, write_atomic  # noqa: E402
from guest.say import UserError, locked, note, run_main  # noqa: E402

UNPACKED_SIZE = 120_000_000


class Pin(NamedTuple):
    """Exactly one upstream archive."""

    package: str
    release: str
    version: str
    archive: str
    sha256: str


def read_pin(path: Path = HERE / "upstream.json") -> Pin:
    """Return the pinned source package."""
    data = read_json(path) or {}
    try:
        pin = Pin(**{name: str(data[name]) for name in Pin._fields})
    except KeyError as error:
        raise UserError(f"{path} lacks {error}") from None
    if not re.fullmatch(r"[0-9a-f]{64}", pin.sha256):
        raise UserError(f"{path}: sha256 must be 64 hexadecimal digits")
    return pin


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def stamp_text(pin: Pin, patches: list[Path]) -> str:
    """Describe what an unpacked folder was made from."""
    lines = [f"{pin.archive} {pin.sha256}"]
    lines += [f"{path.name} {file_sha256(path)}" for path in patches]
    return "\n".join(lines) + "\n"


def fetch(pin: Pin, folder: Path) -> Path:
    """Return the verified archive, downloaded when it is not in the cache."""
    path = folder / pin.archive
    if path.is_file() and file_sha256(path) == pin.sha256:
        return path
    apt = Apt(pin.release, source=True)
    apt.update()
    listed = apt.source_checksums(pin.package, pin.version).get(pin.archive)
    if listed != pin.sha256:
        raise UserError(
            f"the mirror's signed index gives {pin.archive} the SHA-256 {listed}, "
            f"but micropython/upstream.json pins {pin.sha256}: do not use it before it is known why"
        )
    make_dir(folder)
    with scratch(folder, "get") as temporary:
        apt.download_source(pin.package, pin.version, temporary)
        found = temporary / pin.archive
        if not found.is_file() or file_sha256(found) != pin.sha256:
            raise UserError(f"{pin.archive}: the download does not have the pinned SHA-256")
        found.replace(path)
    return path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive without its top folder.

    Times are those of now: after a change of patches make must see every file as new.
    """
    now = int(time.time())
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, member.name = member.name.partition("/")
            if not member.name or not (member.isfile() or member.isdir() or member.issym()):
                continue
            if member.name.startswith("/") or ".." in member.name.split("/"):
                raise UserError(f"{archive} has a member outside its folder: {member.name}")
            member.mtime = now
            tar.extract(member, folder, set_attrs=not member.issym(), numeric_owner=True)


def apply_patches(patches: list[Path], folder: Path) -> None:
    """Apply our patches in order; no fuzz, no leftovers."""
    for path in patches:
        try:
            done = subprocess.run(
                ["patch", "-p1", "-s", "-F0", "--no-backup-if-mismatch", "-i", str(path)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError:
            raise UserError("the program 'patch' is missing: run 'make packages'") from None
        if done.returncode:
            first = " / ".join(done.stdout.strip().splitlines()[:2])
            raise UserError(f"micropython/patches/{path.name} does not apply: {first}")


def prepare(pin: Pin, patches: list[Path], root: Path) -> Path:
    """Return the folder with the patched sources, made when it is missing or outdated."""
    wanted = stamp_text(pin, patches)
    # Work trees that share the cache may have different patches.
    mark = "-" + hashlib.sha256(wanted.encode()).hexdigest()[:8] if patches else ""
    folder = root / (pin.version + mark)
    stamp = folder / ".kpy-stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    with locked(root / "lock", "unpacks MicroPython"):
        if stamp.is_file() and stamp.read_text() == wanted:
            return folder
        archive = fetch(pin, root)
        check_space(root, UNPACKED_SIZE)
        note(f"  unpack MicroPython {pin.version}" + f", {len(patches)} patches" * bool(patches))
        with scratch(root, "unpack") as temporary:
            fresh, old = temporary / "fresh", temporary / "old"
            fresh.mkdir()
            try:
                unpack(archive, fresh)
            except OSError as error:
                raise UserError(f"cannot unpack {archive.name}: {error}") from error
            apply_patches(patches, fresh)
            write_atomic(fresh / stamp.name, wanted)
            if folder.exists() or folder.is_symlink():
                folder.rename(old)
            fresh.rename(folder)
    return folder


def link(folder: Path, name: Path) -> None:
    """Make `name` a link to `folder` in one step."""
    if name.is_symlink() and os.readlink(name) == str(folder):  # noqa: PTH115 (3.9 returns Path)
        return
    make_dir(name.parent)
    if name.is_dir() and not name.is_symlink():
        shutil.rmtree(name)
    temporary = name.with_name(f".{name.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder)
    temporary.replace(name)


def main() -> int:
    """Leave build/micropython pointing at verified, patched sources."""
    pin = read_pin()
    patches = sorted((HERE / "patches").glob("*.patch"))
    link(prepare(pin, patches, cache_dir() / "micropython"), BUILD / "micropython")
    return 0


if __name__ == "__main__":
    run_main(main)
