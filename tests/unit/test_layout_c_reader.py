# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's reader in C sees what the reader in Python sees, and refuses what that refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import layout_kit as kit
import pytest
from hypothesis import given, settings
from test_layout_table import IDENTITY, contents

from struct_layout.model import Contents, Enum, LayoutError, Record, Typedef, size_of
from struct_layout.table import Table
from struct_layout.table_format import CRC_AT, HEADER_SIZE, checksum
from struct_layout.table_writer import write_table
from struct_layout.view import flatten

HERE = Path(__file__).parent
Done = subprocess.CompletedProcess[bytes]
KMOD = HERE.parents[1] / "kmod"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("reader") / "reader"
    kit.run(
        kit.GCC, "-O1", "-Wall", "-Werror", "-fsanitize=undefined,address",
        "-fno-sanitize-recover", "-fno-sanitize=alignment", "-I", HERE / "layout_shim", "-I", KMOD,
        HERE / "layout_reader.c", *sorted((KMOD / "structs").glob("layout*.c")),
        KMOD / "structs/ctype.c",
        "-o", program,
    )  # fmt: skip
    return program


def read(reader: Path, data: bytes, names: list[str], path: Path) -> Done:
    """Run the reader over a table; names go in by its standard input."""
    path.write_bytes(data)
    text = "".join(f"{name}\n" for name in names)
    return subprocess.run(
        [reader, path], input=text.encode(), capture_output=True, check=False, timeout=120
    )


def expected(table: Table, names: list[str]) -> list[str]:
    lines = []
    for name in names:
        found = table.find(name)
        for kind in ("struct", "union"):
            for record in found:
                if not isinstance(record, Record) or record.kind != kind:
                    continue
                lines.append(f"{name} {record.size}")
                lines += [
                    f"{flat.path} {flat.offset} {flat.bits or 0} {size_of(flat.type) or 0}"
                    for flat in flatten(record)
                    if "." not in flat.path
                ]
        for enum in found:
            if isinstance(enum, Enum):
                lines.append(f"{name} {enum.size}")
                lines += [f"{constant} = {value}" for constant, value in enum.constants]
        for typedef in found:
            if isinstance(typedef, Typedef):
                lines.append(f"{name}: {size_of(typedef.target) or 0}")
        declaration = table.declaration(name)
        if declaration is not None:
            lines.append(f"{name}: {size_of(declaration.type) or 0}")
    return lines


def test_it_reads_the_same(reader: Path, tmp_path: Path) -> None:
    source = tmp_path / "hard.c"
    source.write_text((HERE / "layout_hard.c").read_text())
    table = kit.table_of(source)
    names = [*table.type_names(), "no_such_name", "", "zzz"]
    done = read(reader, table._data, names, tmp_path / "table")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == expected(table, names)


def test_it_reads_the_kernels(reader: Path, tmp_path: Path) -> None:
    path = Path(kit.kernel()["folder"]) / "layout.table"
    if not path.exists():
        pytest.skip("no table was built: run make")
    table = Table(path.read_bytes())
    names = [*table.type_names(), *[decl.name for decl in table.declarations()]]
    lines = read(reader, table._data, names, tmp_path / "table").stdout.decode().splitlines()
    assert lines == expected(table, names)
    assert len(lines) > 100_000


@settings(max_examples=60, deadline=None)
@given(contents())
def test_they_agree_on_any_types(
    reader: Path, tmp_path_factory: pytest.TempPathFactory, given_contents: Contents
) -> None:
    """Names that fit on a line of text: the format itself takes any."""
    data = write_table(given_contents, IDENTITY)
    table = Table(data)
    names = [name for name in table.type_names() if name.isascii() and name.isprintable()]
    done = read(reader, data, names, tmp_path_factory.mktemp("any") / "table")
    if table.counts()["names"] == 0:
        assert done.returncode == 2
        return
    assert done.returncode == 0, done.stderr


def one(tmp_path: Path) -> bytearray:
    source = tmp_path / "one.c"
    source.write_text("struct one { int a; struct one *next; }; enum two { THREE, FOUR = 9 };\n")
    return bytearray(kit.table_of(source)._data)


def test_it_refuses_damage(reader: Path, tmp_path: Path) -> None:
    data = one(tmp_path)
    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        done = read(reader, bytes(damaged), ["one"], tmp_path / "table")
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        with pytest.raises(LayoutError):
            Table(bytes(damaged))


def test_nonsense_under_a_good_checksum_stays_inside(reader: Path, tmp_path: Path) -> None:
    """Under a sanitizer: nothing is read outside of the table, whatever is in it."""
    data = one(tmp_path)
    for at in range(HEADER_SIZE, len(data), 3):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(data)
            damaged[at] = value
            damaged[CRC_AT : CRC_AT + 4] = checksum(damaged).to_bytes(4, "little")
            done = read(reader, bytes(damaged), ["one", "two"], tmp_path / "table")
            assert done.returncode in (0, 2), done.stderr
