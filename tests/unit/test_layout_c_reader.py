# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader in C, written from the format's page, sees what the reader in Python sees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.model import Record, size_of
from struct_layout.table import Table
from struct_layout.view import flatten

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("reader") / "reader"
    kit.run(kit.GCC, "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined",
            "-fno-sanitize-recover", HERE / "layout_reader.c", "-o", program)  # fmt: skip
    return program


def expected(table: Table, names: list[str]) -> list[str]:
    lines = [table.identity.release]
    for name in names:
        for record in table.find(name):
            if not isinstance(record, Record):
                continue
            lines.append(f"{name} {record.size}")
            lines += [
                f"{flat.path} {flat.offset} {flat.bits or 0} {size_of(flat.type) or 0}"
                for flat in flatten(record)
                if "." not in flat.path
            ]
    return lines


def test_it_reads_the_same(reader: Path, tmp_path: Path) -> None:
    source = tmp_path / "hard.c"
    source.write_text((HERE / "layout_hard.c").read_text())
    table = kit.table_of(source)
    path = tmp_path / "table"
    path.write_bytes(table._data)
    names = [*table.type_names(), "no_such_name", "", "zzz"]
    assert kit.run(reader, path, *names).splitlines() == expected(table, names)


def test_it_reads_the_kernels(reader: Path) -> None:
    path = Path(kit.kernel()["folder"]) / "layout.table"
    if not path.exists():
        pytest.skip("no table was built: run make")
    table = Table(path.read_bytes())
    names = table.type_names()
    lines = kit.run(reader, path, *names).splitlines()
    assert lines == expected(table, names)
    assert len(lines) > 10000


def test_it_refuses_damage(reader: Path, tmp_path: Path) -> None:
    source = tmp_path / "one.c"
    source.write_text("struct one { int a; };\n")
    data = bytearray(kit.table_of(source)._data)
    path = tmp_path / "table"
    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        assert subprocess.run([reader, path, "one"], capture_output=True).returncode == 2
