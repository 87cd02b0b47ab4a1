# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the repository, the download cache, build results, guests at run time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guest.say import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parent.parent
BUILD = REPO / "build"


def cache_dir() -> Path:
    """Return the folder of downloads and of what is unpacked from them (not created)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "kpy"


def make_dir(path: Path) -> Path:
    """Create a folder with its parents; say why when that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create {path}: {error.strerror}") from error
    return path


def runtime_dir() -> Path:
    """Return the private folder of running guests, created on demand.

    Sockets in it give full control over a guest, so it must be ours and closed to others.
    """
    uid = os.getuid()
    xdg = os.environ.get("XDG_RUNTIME_DIR", "")
    if xdg.startswith("/") and os.access(xdg, os.W_OK | os.X_OK):
        path = Path(xdg) / "kpy"
    else:
        path = Path(f"/tmp/kpy-{uid}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        info = path.lstat()
    except OSError as error:
        raise UserError(f"cannot create the private folder {path}: {error.strerror}") from error
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != uid:
        raise UserError(
            f"{path} is not a folder of yours, so nobody's guests are safe in it: "
            "remove it or set XDG_RUNTIME_DIR to a private folder"
        )
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise UserError(f"{path} is open to others: run 'chmod 700 {path}'")
    return path


@contextlib.contextmanager
def scratch(root: Path, prefix: str) -> Iterator[Path]:
    """Give a folder for half results, to be renamed when whole.

    Those that killed runs left behind go away, so the caller must hold the lock on `root`.
    """
    for stale in root.glob(f"{prefix}.*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f"{prefix}.") as folder:
        yield Path(folder)


def write_atomic(path: Path, data: str | bytes, mode: int = 0o644) -> None:
    """Replace a file's content in one step, so that no reader sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    raw = data.encode() if isinstance(data, str) else data
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def write_if_changed(path: Path, text: str) -> None:
    """Write a file unless it already says the same, so that make sees no false change."""
    if not path.is_file() or path.read_text() != text:
        make_dir(path.parent)
        write_atomic(path, text)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None when it is missing or not an object."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def dump_json(value: object) -> str:
    """Return the project's one way to write JSON files."""
    return json.dumps(value, indent=1) + "\n"
