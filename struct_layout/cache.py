# SPDX-License-Identifier: GPL-2.0-or-later
"""What was worked out once and is kept, in files under the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path


def cache_folder(what: str) -> Path:
    """Return where files of a kind are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kpy" / what


def keep(file: Path, text: str) -> None:
    """Write a file, complete or not at all. A cache that cannot be written is not an error."""
    raw = text.encode()
    part = file.with_name(f".part-{os.getpid()}-{threading.get_ident():x}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(hashlib.sha256(raw).hexdigest().encode() + b"\n" + raw)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


def kept(file: Path) -> str | None:
    """Return the text of a file that was kept; None when there is none or it is damaged."""
    try:
        checksum, _, raw = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    return raw.decode() if hashlib.sha256(raw).hexdigest().encode() == checksum else None


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the newest files of a folder."""
    with contextlib.suppress(OSError):
        files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime)
        for file in files[: max(0, len(files) - count)]:
            file.unlink()
