# SPDX-License-Identifier: GPL-2.0-or-later
"""Layouts of kernel structs: from the GCC plugin to a table, checked against DWARF and BTF.

What other packages use (everything raises `LayoutError`, whose text is one line for people):

- `Table(data)`: a layout table in memory, read in place.
- `open_dwarf(path, cache=…, progress=…)`: the types of a vmlinux or any ELF file.
- `open_btf(path, base=None)`: the same from BTF; a module's goes on that of vmlinux.
- `compare(table, dwarf, names)`: a `CheckResult` with `.ok`, `.counts()`, `.render_text()`,
  `.to_json()`; no names mean the whole table; `SelectionError` when there is nothing to compare.
- `trust(table, dwarf, name)`: may one struct be relied on? In milliseconds.
- `elf_build_id(path)` and `require_build_id(path, wanted)`: is this the file of that build?

Only what reads ELF files needs pyelftools, and it is imported when first used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Callable

from struct_layout.compare import CheckResult, SelectionError, compare
from struct_layout.model import LayoutError
from struct_layout.table import Table
from struct_layout.table_format import LayoutTableError
from struct_layout.trust import Trust, trust

if TYPE_CHECKING:
    from struct_layout.btf import BtfSource
    from struct_layout.dwarf import DwarfSource

__all__ = [
    "CheckResult",
    "LayoutError",
    "LayoutTableError",
    "SelectionError",
    "Table",
    "Trust",
    "compare",
    "elf_build_id",
    "open_btf",
    "open_dwarf",
    "require_build_id",
    "trust",
]


def open_dwarf(
    path: str | Path,
    *,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DwarfSource:
    """Open the DWARF of an ELF file; see struct_layout.dwarf."""
    from struct_layout import dwarf

    return dwarf.open_dwarf(path, cache=cache, progress=progress)


def open_btf(path: str | Path, base: BtfSource | None = None) -> BtfSource:
    """Open the BTF of a file; see struct_layout.btf."""
    from struct_layout import btf

    return btf.open_btf(path, base)


def elf_build_id(path: str | Path) -> str | None:
    """Return the GNU build-id of an ELF file in hex, None when it has none."""
    from struct_layout import elf

    return elf.elf_build_id(path)


def require_build_id(path: str | Path, wanted: str) -> None:
    """Refuse a file that is not of the build `wanted`; the error names both."""
    found = elf_build_id(path)
    if found != wanted:
        raise LayoutError(
            f"{path} is of build {found or '(no build-id)'}, but build {wanted} is wanted: "
            "give the vmlinux of the kernel that runs"
        )
