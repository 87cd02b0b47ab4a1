# SPDX-License-Identifier: GPL-2.0-or-later
"""`compare A B` and `check` of whatever describes types: every kind of file, and what is none."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout import open_dwarf
from struct_layout.__main__ import main
from struct_layout.beside import side_by_side
from struct_layout.btf import open_btf
from struct_layout.btf_writer import write_btf
from struct_layout.compare import compare
from struct_layout.differences import Comparer
from struct_layout.sources import load_table
from struct_layout.trust import trust

SOURCE = """
struct leaf { short a, b; };
enum shade { LIGHT, DARK = 9 };
typedef struct { int counter; } count_t;
struct sample {
	int id; unsigned flags : 3, mode : 5; struct leaf leaf; struct leaf *link;
	struct sample *next; enum shade shade; count_t count;
#ifdef MORE
	long more;
#endif
	struct { int x, y; } point;
} sample;
"""
EQUAL = "4 types: 4 equal, 0 differs; 16 members equal, 0 not"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same types in every kind of file, and "other" with one member more."""
    folder = tmp_path_factory.mktemp("sources")
    source = folder / "sample.c"
    source.write_text(SOURCE)
    found = {"table": folder / "sample.table", "other": folder / "other.table"}
    found["table"].write_bytes(kit.table_of(source).data)
    found["other"].write_bytes(kit.table_of(source, "-DMORE").data)
    for name, flags in (
        ("dwarf5.so", ("-gdwarf-5",)),
        ("dwarf4.so", ("-gdwarf-4",)),
        ("zipped.so", ("-gz",)),
        ("units.so", ("-gdwarf-5", "-fdebug-types-section")),
    ):
        found[name] = kit.debug_info(source, *flags).rename(folder / name)
    found["object.o"] = kit.debug_info(source, link=False).rename(folder / "object.o")
    found["zipped.o"] = kit.debug_info(source, "-gz", link=False).rename(folder / "zipped.o")
    kit.run("pahole", "-J", found["dwarf5.so"])
    found["raw.btf"] = folder / "raw.btf"
    kit.run("objcopy", "-O", "binary", "--only-section=.BTF", "--set-section-flags",
            ".BTF=alloc", found["dwarf5.so"], found["raw.btf"])  # fmt: skip
    return found


@pytest.mark.parametrize(
    "name",
    ["table", "dwarf5.so", "dwarf4.so", "zipped.so", "units.so", "object.o", "zipped.o", "raw.btf"],
)
def test_every_kind_of_file(
    files: dict[str, Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for first, second in ((files["table"], files[name]), (files[name], files["dwarf5.so"])):
        assert main(["compare", str(first), str(second)]) == 0
        assert EQUAL in capsys.readouterr().out
    assert main(["compare", str(files[name]), str(files["other"])]) == 1
    out = capsys.readouterr().out
    assert "  more: presence: " in out and "struct sample: differs" in out
    assert "point … point.y: 3 members moved by +8 bytes" in out


def test_what_of_a_file(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = files["dwarf5.so"]
    assert main(["compare", f"dwarf:{path}", f"btf:{path}"]) == 0
    assert capsys.readouterr().out == f"layouts, dwarf and btf: {EQUAL}\n"
    assert main(["compare", f"table:{path}", f"btf:{path}"]) == 2
    assert "carries no layout table" in capsys.readouterr().err
    assert main(["compare", f"btf:{files['dwarf4.so']}", str(path)]) == 2
    assert "has no BTF" in capsys.readouterr().err


def test_a_folder_of_tables(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for age, name in enumerate(("other", "table")):
        folder = tmp_path / "kept" / name
        folder.mkdir(parents=True)
        copy = folder / "layout.table"
        copy.write_bytes(files[name].read_bytes())
        os.utime(copy, (age, age))
    assert main(["compare", str(tmp_path / "kept"), str(files["table"])]) == 1
    first, second = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("layouts, ")
    ]
    assert "other/layout.table" in first.replace("layouts, ", "") or "layout.table" in first
    assert "1 differs" in first and "0 differs" in second
    assert main(["compare", "--json", str(tmp_path / "kept"), str(files["table"])]) == 1
    assert [each["ok"] for each in json.loads(capsys.readouterr().out)] == [False, True]
    (tmp_path / "empty").mkdir()
    assert main(["compare", str(tmp_path / "empty"), str(files["table"])]) == 2
    assert "has no layout table in it" in capsys.readouterr().err


def test_what_only_one_has(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (leaf,) = open_dwarf(files["dwarf5.so"]).find("leaf")
    alone = files["table"].with_name("leaf.btf")
    alone.write_bytes(write_btf([leaf]))
    assert main(["compare", str(alone), str(files["table"])]) == 0
    out = capsys.readouterr().out
    assert out.startswith("layouts, leaf.btf and sample.table: 4 types: 1 equal, 0 differs")
    assert "3 only in sample.table" in out
    assert main(["compare", str(alone), str(files["table"]), "sample", "leaf"]) == 0
    assert "struct sample: only in sample.table" in capsys.readouterr().out


def test_check_of_both(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = str(files["dwarf5.so"])
    check = ["check", "--table", str(files["table"])]
    assert main([*check, "--vmlinux", path, "--btf", path]) == 0
    first, second = capsys.readouterr().out.strip().split("\n\n")
    assert first == f"layouts: {EQUAL}" and second == f"layouts, plugin and btf: {EQUAL}"
    assert main([*check, "--vmlinux", path, "--source", "btf", "leaf"]) == 0
    assert capsys.readouterr().out.startswith("layouts, plugin and btf: 1 types: 1 equal")
    assert main(["check", "--table", str(files["other"]), "--btf", path]) == 1
    assert "more: presence: plugin at 40, btf absent" in capsys.readouterr().out
    assert main(check) == 2
    assert "check against what?" in capsys.readouterr().err
    assert main(["check", "--vmlinux", path]) == 2
    assert "check which table?" in capsys.readouterr().err


# ---- Cores ---------------------------------------------------------------------------------------


def core(path: Path, parts: list[tuple[int, bytes]]) -> Path:
    """Write an ELF core with memory at these addresses."""
    head = struct.Struct("<16sHHIQQQIHHHHHH")
    segment = struct.Struct("<IIQQQQQQ")
    at = head.size + segment.size * len(parts)
    segments, body = b"", b""
    for address, data in parts:
        segments += segment.pack(1, 6, at + len(body), address, 0, len(data), len(data), 1)
        body += data
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    path.write_bytes(
        head.pack(ident, 4, 62, 1, 0, head.size, 0, 0, head.size, segment.size, len(parts), 0, 0, 0)
        + segments + body
    )  # fmt: skip
    return path


def test_a_core(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table and BTF are found wherever they lie, the table in two pieces and after a wrong one."""
    table, btf = files["table"].read_bytes(), files["raw.btf"].read_bytes()
    cut = len(table) // 16 * 8
    parts = [
        (0xFFFFFFFFC0010000 + cut, table[cut:]),
        (0xFFFFFFFF80000000, b"KPYLAYT2" + bytes(56) + btf + bytes(64)),
        (0xFFFFFFFFC0010000, table[:cut]),
    ]
    path = core(tmp_path / "core", parts)
    assert main(["check", "--core", str(path)]) == 0
    assert capsys.readouterr().out == f"layouts, plugin and btf: {EQUAL}\n"
    assert main(["check", "--core", str(path), "--table", str(files["other"])]) == 1
    capsys.readouterr()
    empty = core(tmp_path / "empty", [(0xFFFFFFFF80000000, bytes(4096))])
    assert main(["check", "--core", str(empty)]) == 2
    assert "has no layout table in it" in capsys.readouterr().err
    assert main(["check", "--core", str(files["raw.btf"])]) == 2
    assert "not a sound ELF file" in capsys.readouterr().err


def test_a_core_of_another_kernel(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "with_id.c"
    source.write_text(SOURCE)
    linked = kit.debug_info(source, "-Wl,--build-id=0x" + "ab" * 20)
    note = struct.pack("<III4s", 4, 20, 3, b"GNU\0")
    table = files["table"].read_bytes()
    right = core(tmp_path / "right", [(0x1000, table), (0x800000, note + b"\xab" * 20)])
    wrong = core(tmp_path / "wrong", [(0x1000, table), (0x800000, note + b"\xcd" * 20)])
    assert main(["check", "--core", str(right), "--vmlinux", str(linked)]) == 0
    capsys.readouterr()
    assert main(["check", "--core", str(wrong), "--vmlinux", str(linked)]) == 2
    assert "is of another kernel than" in capsys.readouterr().err


# ---- Trust ---------------------------------------------------------------------------------------


def test_trust(files: dict[str, Path]) -> None:
    table, other = load_table(files["table"]), load_table(files["other"])
    dwarf, btf = open_dwarf(files["dwarf5.so"]), open_btf(files["raw.btf"])
    for source, label in ((dwarf, "dwarf"), (btf, "btf")):
        good = trust(table, source, "sample", ("plugin", label))
        assert good and good.why == f"plugin and {label} agree"
        bad = trust(other, source, "struct sample", ("plugin", label))
        assert bad.ok is False and not bad
        assert bad.why.startswith("struct sample: size is ")
        assert trust(other, source, "leaf").ok is True
        assert trust(table, source, "nothing").ok is None


@pytest.mark.parametrize("words", [["no_such_file"], ["."], ["/dev/null"], [__file__]])
def test_what_is_no_source(
    files: dict[str, Path], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for order in ((words[0], str(files["table"])), (str(files["table"]), words[0])):
        status = main(["compare", *order])
        error = capsys.readouterr().err
        if words[0] != ".":
            assert status == 2 and error.startswith("struct_layout: ") and error.count("\n") == 1


def test_compare_is_a_library_call(files: dict[str, Path]) -> None:
    result = compare(open_btf(files["raw.btf"]), open_dwarf(files["dwarf4.so"]), both_ways=True)
    assert result.ok and result.labels == ("plugin", "dwarf")


def test_side_by_side(files: dict[str, Path]) -> None:
    """Each member on one line, in its place on both sides; a star where they differ."""
    other, dwarf = load_table(files["other"]), open_dwarf(files["dwarf5.so"])
    (mine,), (theirs,) = other.find("sample"), dwarf.find("sample")
    differing = [each.path for each in Comparer().types(mine, theirs)[1]]
    text = side_by_side(mine, theirs, ("plugin", "dwarf"), differing)
    lines = text.splitlines()
    assert lines[0].split() == ["struct", "sample", "plugin", "dwarf"]
    assert lines[1].split() == ["*", "56", "bytes", "48", "bytes"]
    (more,) = [line for line in lines if line.startswith("*   more")]
    assert more.split()[2:] == ["0x28", "8", "long", "int", "-"]
    (mode,) = [line for line in lines if line.startswith("    mode")]
    assert mode.count("0x4:3 :5 unsigned int") == 2
    back = side_by_side(theirs, mine, ("dwarf", "plugin"), differing).splitlines()
    names = [line[2:].split()[0] for line in lines[2:]]
    assert [line[2:].split()[0] for line in back[2:]] == names
    assert names.index("more") == names.index("point") - 1
