# SPDX-License-Identifier: GPL-2.0-or-later
"""Make .venv with the Python packages that pyproject.toml pins: `python3 -m guest.venv`.

It is made by Debian's own /usr/bin/python3, whose version GDB embeds: gdbinit.py puts the
venv's packages on GDB's sys.path.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys

from guest.paths import REPO
from guest.say import UserError, locked, note, run_main

PYTHON = "/usr/bin/python3"
VENV = REPO / ".venv"
STAMP = VENV / ".kpy-stamp"
EXTRAS = ("test", "lint")


def wanted() -> tuple[list[str], str]:
    """Return the pinned requirements and a digest of all that decides about the venv."""
    import tomllib  # of Python 3.11, which PYTHON is on Debian 12; the rest of guest/ needs 3.9

    with (REPO / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)["project"]
    names = list(project["dependencies"])
    for extra in EXTRAS:
        names += project["optional-dependencies"][extra]
    text = "\n".join([*sorted(names), sys.version])
    return names, hashlib.sha256(text.encode()).hexdigest()


def run(command: list[str], what: str) -> None:
    """Run a command quietly; on failure say its last words."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UserError(f"cannot {what}: {last[0] if last else 'no reason given'}")


def main() -> int:
    """Make the venv unless the one that is there has just what is wanted."""
    names, digest = wanted()
    with locked(REPO / "build" / "venv.lock", "makes .venv"):
        if STAMP.exists() and STAMP.read_text() == digest:
            return 0
        note(f"python packages into .venv: {' '.join(names)}")
        shutil.rmtree(VENV, ignore_errors=True)
        run([PYTHON, "-m", "venv", str(VENV)], "make .venv (is python3-venv installed?)")
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q"]
        run(
            [*pip, "--disable-pip-version-check", "--no-input", *names],
            "install the Python packages (is the package index reachable?)",
        )
        # Written last: an interrupted installation leaves no stamp and is started over.
        STAMP.write_text(digest)
    return 0


if __name__ == "__main__":
    run_main(main)
