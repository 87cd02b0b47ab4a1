# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are not what they should be: one line and exit status 2, no traceback, no hang."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import layout_kit as kit
import pytest
from elftools.elf.elffile import ELFFile

from struct_layout.__main__ import main
from struct_layout.model import Contents, Identity, Record
from struct_layout.table_writer import write_table

SOURCE = """
struct leaf { short a, b; };
enum shade { LIGHT, DARK = 9 };
typedef struct { int counter; } count_t;
struct sample { int id; unsigned f:3; struct leaf leaf; struct sample *next; enum shade s;
	count_t c; int (*call)(struct leaf *, long); char name[4][2]; } sample;
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "sample.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def table(source: Path) -> Path:
    path = source.with_suffix(".table")
    path.write_bytes(kit.table_of(source).data)
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that must be refused in one line."""
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("struct_layout: "), error
    return error


@pytest.mark.parametrize("flags", [("-gdwarf-5",), ("-gdwarf-4",), ("-gdwarf-5", "-c")])
def test_five_hundred_mutated_files(
    source: Path, table: Path, tmp_path: Path, flags: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Most bytes are changed where types are described; each ends in 0, 1, or 2 and one line."""
    link = "-c" not in flags
    path = kit.debug_info(source, *(f for f in flags if f != "-c"), link=link)
    if link:
        kit.run("pahole", "-J", path)
    data = path.read_bytes()
    with path.open("rb") as file:
        elf = ELFFile(file)
        windows = [(0, len(data)), (0, 64), (elf["e_shoff"], len(data) - elf["e_shoff"])]
        for name in (".debug_info", ".debug_abbrev", ".debug_str", ".BTF", ".rela.debug_info"):
            section = elf.get_section_by_name(name)
            if section is not None:
                windows += [(section["sh_offset"], section["sh_size"])] * 3
    chance = random.Random(500)
    damaged = tmp_path / "damaged.so"
    statuses = set()
    for round in range(170):
        mutated = bytearray(data)
        at, size = chance.choice(windows)
        for _ in range(chance.choice((1, 1, 2, 8))):
            mutated[at + chance.randrange(size)] = chance.randrange(256)
        if round % 12 == 0:
            del mutated[chance.randrange(len(mutated)) :]
        damaged.write_bytes(mutated)
        source_kind = "btf" if link and round % 3 == 0 else "dwarf"
        status = main(
            ["check", "--table", str(table), "--vmlinux", str(damaged), "--source", source_kind]
        )
        error = capsys.readouterr().err
        assert status in (0, 1, 2)
        assert (status == 2) == bool(error) and error.count("\n") <= 1, error
        statuses.add(status)
    assert statuses >= {0, 2}


def test_mutated_tables(
    source: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from struct_layout.table_format import CRC_AT, checksum

    vmlinux = kit.debug_info(source)
    data = table.read_bytes()
    chance = random.Random(3)
    path = tmp_path / "mutated.table"
    for round in range(200):
        mutated = bytearray(data)
        for _ in range(chance.choice((1, 1, 4))):
            mutated[chance.randrange(8, len(mutated))] = chance.randrange(256)
        if round % 2:  # what only a wrong writer would write
            mutated[CRC_AT : CRC_AT + 4] = checksum(mutated).to_bytes(4, "little")
        path.write_bytes(mutated)
        status = main(["check", "--table", str(path), "--vmlinux", str(vmlinux)])
        error = capsys.readouterr().err
        assert (status == 2) == bool(error) and error.count("\n") <= 1, error


def test_a_table_of_another_machine(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of a 32-bit build, told at once and not by ten thousand differences."""
    narrow = tmp_path / "narrow.table"
    narrow.write_bytes(
        write_table(Contents([Record("struct", "s", 4, 4)], []), Identity("x", "gcc", bytes(32), 4))
    )
    error = refused(capsys, "check", "--table", narrow, "--vmlinux", kit.debug_info(source))
    assert "4-byte pointers" in error and "8-byte" in error


def test_a_million_names(table: Path, source: Path) -> None:
    """The first that is unknown ends it; a million that are known take their time, and end."""
    vmlinux = kit.debug_info(source)
    names = [f"no_such_{number}" for number in range(1_000_000)]
    code = (
        "import sys; from struct_layout.__main__ import main; "
        "sys.exit(main(sys.argv[1:] + ['sample'] + [n.strip() for n in sys.stdin]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "--table", table, "--vmlinux", vmlinux],
        input="\n".join(names), capture_output=True, text=True, cwd=kit.ROOT, timeout=100,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "struct_layout: unknown type 'no_such_0'\n"
    known = ["sample", "struct leaf", "enum *", "s*", "count_t"] * 200_000
    check = ["check", "--table", str(table), "--vmlinux", str(vmlinux)]
    assert main([*check, *known]) == 0


def test_types_nested_deep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """40 pointers and 40 structs in each other: said in one line, or compared."""
    source = tmp_path / "deep.c"
    inner = "int x;"
    for number in range(40):
        inner = f"struct {{ {inner} }} m{number};"
    source.write_text(f"struct deep {{ {inner} int {'*' * 40}p; }} deep;\n")
    vmlinux = kit.debug_info(source)
    table = tmp_path / "deep.table"
    table.write_bytes(kit.table_of(source).data)
    status = main(["check", "--table", str(table), "--vmlinux", str(vmlinux)])
    error = capsys.readouterr().err
    assert status == 0 or (status == 2 and error.count("\n") == 1)


def test_a_stripped_file_and_a_folder(
    source: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stripped = tmp_path / "stripped.so"
    kit.run("strip", "-s", kit.debug_info(source), "-o", stripped)
    assert "no debug information" in refused(
        capsys, "check", "--table", table, "--vmlinux", stripped
    )
    assert "Is a directory" in refused(capsys, "check", "--table", table, "--vmlinux", tmp_path)
    for bytes_kept in (0, 3, 63, 64, 500, 5000):
        cut = tmp_path / "cut.so"
        cut.write_bytes(kit.debug_info(source).read_bytes()[:bytes_kept])
        refused(capsys, "check", "--table", table, "--vmlinux", cut)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-gdwarf-4", "-fdebug-types-section"), "type units of DWARF 4"),
        (("-gdwarf-4", "-gsplit-dwarf"), "split DWARF"),
        (("-gdwarf-5", "-gsplit-dwarf"), "split DWARF"),
    ],
)
def test_kinds_that_are_refused(
    source: Path, table: Path, flags: tuple[str, ...], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for link in (True, False):
        path = kit.debug_info(source, *flags, link=link)
        assert said in refused(capsys, "check", "--table", table, "--vmlinux", path)


def test_type_units_of_an_object(
    source: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kit.debug_info(source, "-gdwarf-5", "-fdebug-types-section", link=False)
    assert "link it first" in refused(capsys, "check", "--table", table, "--vmlinux", path)
