# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands `check` and `compare`: which files, what of them, and the results one by one."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from struct_layout.btf import BtfSource, open_btf, read_btf
from struct_layout.compare import CheckResult, SelectionError, compare
from struct_layout.model import LayoutError
from struct_layout.progress import Progress
from struct_layout.sources import AnySource, load_table, open_sources
from struct_layout.table import Table
from struct_layout.verdicts import LABELS, check_btf


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Progress]:
    progress = Progress(what)
    try:
        yield progress
    finally:
        progress.done()


def check_files(options: argparse.Namespace) -> Iterator[CheckResult]:
    """Compare a table with the DWARF or BTF of a kernel, or with both."""
    table, btf = _table_and_btf(options)
    wanted = options.source or _given(options, btf is not None)
    if wanted in ("dwarf", "both"):
        if options.vmlinux is None:
            raise LayoutError("the DWARF of which kernel? give --vmlinux FILE")
        from struct_layout.dwarf import open_dwarf

        with _progress(f"reading the types of {options.vmlinux}") as progress:
            dwarf = open_dwarf(options.vmlinux, progress=progress)
        with _progress("comparing") as progress, contextlib.closing(dwarf):
            yield compare(table, dwarf, options.names, progress=progress)
    if wanted in ("btf", "both"):
        with _progress("comparing") as progress:
            path = options.btf or options.vmlinux
            if btf is None and not options.names:
                yield check_btf(table, read_btf(path), str(path), progress)
                return
            yield compare(
                table, btf or open_btf(path), options.names, labels=LABELS, progress=progress
            )


def _given(options: argparse.Namespace, core: bool) -> str:
    if options.vmlinux and options.btf:
        return "both"
    if options.vmlinux:
        return "dwarf"
    if options.btf or core:
        return "btf"
    raise LayoutError("check against what? give --vmlinux FILE, --btf FILE or both")


def _table_and_btf(options: argparse.Namespace) -> tuple[Table, BtfSource | None]:
    if options.core is None:
        if options.table is None:
            raise LayoutError("check which table? give --table FILE (a table, or a kpy.ko)")
        return load_table(options.table), None
    from struct_layout.core import CoreFile

    with contextlib.closing(CoreFile(options.core)) as core:
        if options.vmlinux is not None:
            core.require_build(options.vmlinux)
        table = load_table(options.table) if options.table else core.table()
        return table, None if options.btf else core.btf()


def compare_files(options: argparse.Namespace) -> Iterator[CheckResult]:
    """Compare any two sources; a folder stands for each table in it."""
    base = open_btf(options.base) if options.base else None
    with _progress("reading types") as progress:
        others = _opened(options.b, base, progress)
        found = False
        for label, source in open_sources(options.a, base=base, progress=progress):
            for other_label, other in others:
                labels = _labels(label, other_label)
                yield compare(
                    source, other, options.names, labels=labels, both_ways=True, progress=progress
                )
                found = True
    if not found:
        raise SelectionError("nothing to compare")


def _opened(word: str, base: BtfSource | None, progress: Progress) -> list[tuple[str, AnySource]]:
    return list(open_sources(word, base=base, progress=progress))


def _labels(first: str, second: str) -> tuple[str, str]:
    """Return short names for two files, as long as they tell them apart."""
    kinds = [word.partition(":")[0] if ":" in word else "" for word in (first, second)]
    a, b = Path(first.rpartition(":")[2]), Path(second.rpartition(":")[2])
    for depth in range(1, max(len(a.parts), len(b.parts)) + 1):
        mine, other = Path(*a.parts[-depth:]), Path(*b.parts[-depth:])
        if mine != other:
            return str(mine), str(other)
    if kinds[0] != kinds[1]:
        return (kinds[0] or a.name), (kinds[1] or b.name)
    return f"{a.name} (A)", f"{b.name} (B)"
