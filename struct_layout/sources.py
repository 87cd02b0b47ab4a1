# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens anything that describes types: tables, modules that carry one, DWARF, BTF, folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Union

from struct_layout.model import LayoutError
from struct_layout.table import Table
from struct_layout.table_format import MAGIC

if TYPE_CHECKING:
    from struct_layout.btf import BtfSource
    from struct_layout.dwarf import DwarfSource

SYMBOL = "kpy_layout_table"
KINDS = ("table", "dwarf", "btf")
_ELF = b"\x7fELF"
_BTF = (b"\x9f\xeb", b"\xeb\x9f")

AnySource = Union[Table, "DwarfSource", "BtfSource"]
Progress = Callable[[int, int], None]


def load_table(path: Path) -> Table:
    """Read a table from its file, or from the kpy.ko that carries it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LayoutError(f"cannot read {path}: {error.strerror or error}") from None
    if data[:4] == _ELF:
        from struct_layout.elf import elf_table

        return Table(elf_table(path, SYMBOL))
    return Table(data)


def open_sources(
    word: str, *, base: BtfSource | None = None, progress: Progress | None = None
) -> Iterator[tuple[str, AnySource]]:
    """Open what a word of the command names; yields (label, source).

    A word is a file or a folder of tables, after "table:", "dwarf:" or "btf:" when a file has
    several and another than the first of these is meant.
    """
    kind, _, rest = word.partition(":")
    if kind not in KINDS:
        kind, rest = "", word
    path = Path(rest)
    if path.is_dir():
        yield from _folder(path)
        return
    yield word, _open(path, kind or _kind(path), base, progress)


def _folder(path: Path) -> Iterator[tuple[str, AnySource]]:
    """Open all tables in a folder, oldest first."""
    files = []
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                if opened.read(len(MAGIC) - 1) == MAGIC[:-1]:
                    files.append(file)
    if not files:
        raise LayoutError(f"the folder {path} has no layout table in it")
    for file in sorted(files, key=lambda file: (file.stat().st_mtime, str(file))):
        yield str(file), load_table(file)


def _kind(path: Path) -> str:
    """Say what to read of a file: its table, else its DWARF, else its BTF."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise LayoutError(f"cannot read {path}: {error.strerror or error}") from None
    if start[:2] in _BTF:
        return "btf"
    if start[:4] != _ELF:
        if start[: len(MAGIC) - 1] != MAGIC[:-1]:
            raise LayoutError(f"{path} is no layout table, ELF file or BTF")
        return "table"
    from struct_layout.elf import describes

    return describes(path, SYMBOL)


def _open(path: Path, kind: str, base: BtfSource | None, progress: Progress | None) -> AnySource:
    if kind == "table":
        return load_table(path)
    if kind == "btf":
        from struct_layout.btf import open_btf

        return open_btf(path, base)
    from struct_layout.dwarf import open_dwarf

    return open_dwarf(path, progress=progress)
