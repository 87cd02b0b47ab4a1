# SPDX-License-Identifier: GPL-2.0-or-later
"""A kpy.ko with another layout table: linked again from the objects of the last build."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

from guest import kernel, paths
from guest.say import UserError

_TABLE = "/kmod/structs/table.o"
_SOURCE = """\
\t.section .rodata, "a"
\t.balign 16
\t.globl kpy_layout_table, kpy_layout_table_end, kpy_layout_prints, kpy_layout_prints_end
kpy_layout_table:
\t.incbin "{table}"
kpy_layout_table_end:
\t.balign 16
kpy_layout_prints:
\t.incbin "{prints}"
kpy_layout_prints_end:
\t.section .note.GNU-stack, "", @progbits
"""


def _run(words: list[str], folder: Path | str) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{words[0]} failed: {done.stderr.strip()[-400:]}")


def relink(table: bytes, prints: bytes, output: Path) -> None:
    """Write a kpy.ko that is as the one of the last build, but for table and fingerprints."""
    known = kernel.load()
    built = paths.BUILD / known.release / "module"
    with tempfile.TemporaryDirectory(prefix="kpy-relink.") as name:
        folder = Path(name)
        (folder / "table").write_bytes(table)
        (folder / "prints").write_bytes(prints)
        text = _SOURCE.format(table=folder / "table", prints=folder / "prints")
        (folder / "table.S").write_text(text)
        _run(["gcc", "-c", "table.S", "-o", "table.o"], folder)
        objects = (built / "kpy.mod").read_text().split()
        ours = [str(folder / "table.o") if o.endswith(_TABLE) else o for o in objects]
        if ours == objects:
            raise UserError(f"{built}/kpy.mod names no {_TABLE}")
        _run(["ld", "-m", "elf_x86_64", "-r", "-o", "kpy.o", *ours], folder)
        # The last step as Kbuild did it, with its paths replaced.
        command = (built / ".kpy.ko.cmd").read_text().split(":=", 1)[1].split(";", 1)[0]
        replaced = {
            str(built / "kpy.ko"): str(folder / "kpy.ko"),
            str(built / "kpy.o"): str(folder / "kpy.o"),
        }
        _run([replaced.get(word, word) for word in shlex.split(command)], known.kdir)
        _run(["strip", "-g", "kpy.ko"], folder)
        output.write_bytes((folder / "kpy.ko").read_bytes())
