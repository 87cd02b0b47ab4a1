# SPDX-License-Identifier: GPL-2.0-or-later
"""The BTF reader and writer: pahole writes BTF of what GCC compiled, and reads what we write."""

from __future__ import annotations

import random
import re
import shutil
import struct
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.btf import BtfSource, open_btf, read_btf
from struct_layout.btf_writer import write_btf
from struct_layout.compare import CheckResult, compare
from struct_layout.dwarf import DwarfSource, open_dwarf
from struct_layout.model import Array, Base, Enum, LayoutError, Record, size_of, strip
from struct_layout.view import flatten

HARD = Path(__file__).parent / "layout_hard.c"


def hard() -> str:
    """Return the C source without what pahole cannot write."""
    text = re.sub(r"_Atomic\(([^)]*)\)", r"\1", HARD.read_text())
    return re.sub(r"\b_(Atomic|Complex)\b", "", text)


def with_btf(path: Path, *flags: str) -> Path:
    """Let pahole add BTF to a copy of a file."""
    copy = path.with_suffix(".btf.so")
    shutil.copy(path, copy)
    kit.run("pahole", "-J", "--btf_gen_floats", *flags, copy)
    return copy


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("btf") / "hard.c"
    source.write_text(hard())
    return with_btf(kit.debug_info(source, "-Wl,--build-id"))


@pytest.fixture(scope="module")
def dwarf(binary: Path) -> DwarfSource:
    return open_dwarf(binary)


def differing(result: CheckResult) -> set[str]:
    return {each.name for each in result.types if each.verdict == "differs"}


def test_btf_equals_dwarf(binary: Path, dwarf: DwarfSource) -> None:
    result = compare(dwarf, open_btf(binary), labels=("dwarf", "btf"))
    assert result.ok, result.render_text()
    assert result.counts()["equal"] > 30
    assert result.member_counts()["equal"] > 90


def test_btf_equals_the_plugin(binary: Path, tmp_path: Path) -> None:
    source = tmp_path / "hard.c"
    source.write_text(hard())
    result = compare(kit.table_of(source), open_btf(binary), labels=("plugin", "btf"))
    assert result.ok, result.render_text()
    assert result.counts()["equal"] > 30


def test_every_kind(tmp_path: Path) -> None:
    source = tmp_path / "kinds.c"
    source.write_text(
        "enum wide { FAR = 0x123456789, NEAR = 1 };\n"
        "enum below { MINUS = -5, PLUS = 7 };\n"
        "enum mask { TOP = 0x80000000 };\n"
        "struct all { enum wide w; enum below b; enum mask m; float f; double d; _Bool t;\n"
        "  const volatile int *restrict p; int (*call)(int, ...); char grid[2][3]; void *v;\n"
        "  struct later *l; unsigned char u; signed char s; int bits:5; unsigned more:27;\n"
        "  int flexible[]; };\n"
        "struct all all;\n"
    )
    binary = with_btf(kit.debug_info(source))
    btf, dwarf = open_btf(binary), open_dwarf(binary)
    assert compare(dwarf, btf, labels=("dwarf", "btf")).ok
    (wide,), (below,), (mask,) = btf.find("wide"), btf.find("below"), btf.find("mask")
    assert isinstance(wide, Enum) and isinstance(below, Enum) and isinstance(mask, Enum)
    assert dict(wide.constants)["FAR"] == 0x123456789 and wide.size == 8
    assert dict(below.constants) == {"MINUS": -5, "PLUS": 7} and below.signed
    assert dict(mask.constants) == {"TOP": 0x80000000} and not mask.signed
    (record,) = btf.find("all")
    assert isinstance(record, Record)
    members = {flat.path: flat for flat in flatten(record)}
    assert (members["bits"].bits, members["more"].bits) == (5, 27)
    grid = strip(members["grid"].type)
    assert isinstance(grid, Array) and grid.count == 6  # BTF has no arrays of arrays
    ready = strip(members["t"].type)
    assert isinstance(ready, Base) and ready.encoding == "bool"


def test_signs_that_old_btf_does_not_tell(tmp_path: Path) -> None:
    """Without any flag for the sign of enums, 0x80000000 may be negative or not: no alarm."""
    source = tmp_path / "signs.c"
    source.write_text("enum mask { TOP = 0x80000000 } mask;\nenum down { BELOW = -1 } down;\n")
    binary = with_btf(kit.debug_info(source))
    raw = bytearray(read_btf(binary))
    head = struct.Struct("<HBBIIIII").unpack_from(raw)
    old = BtfSource(bytes(raw))
    for number, each in enumerate(old.heads()):
        if each.flag:
            at = head[3] + head[4] + 4 * each.at - 8
            (info,) = struct.unpack_from("<I", raw, at)
            struct.pack_into("<I", raw, at, info & 0x7FFFFFFF)
            assert number >= 0
    assert compare(open_dwarf(binary), BtfSource(bytes(raw)), labels=("dwarf", "btf")).ok


def test_split_btf_of_a_module(tmp_path: Path) -> None:
    kernel = kit.kernel()
    vmlinux = Path(kernel["vmlinux"])
    modules = Path(kernel["modules_dir"])
    path = next(modules.rglob("virtio_net.ko"))
    with pytest.raises(LayoutError, match="give that too"):
        open_btf(path)
    base = open_btf(vmlinux)
    btf = open_btf(path, base)
    assert btf.first_id == base.end_id
    theirs = kit.pahole(path, "-F", "btf", f"--btf_base={vmlinux}")
    compared = 0
    for name in btf.type_names():
        for type in btf.own(name):
            if isinstance(type, Record) and f"{type.kind} {name}" in theirs:
                size, members = theirs[f"{type.kind} {name}"]
                assert type.size == size, name
                flat = {f.path: f for f in flatten(type) if "." not in f.path}
                assert set(flat) == set(members), name
                for member, place in members.items():
                    mine = flat[member]
                    assert (mine.offset, mine.bits) == (place.offset, place.bits)
                    if mine.bits is None:
                        assert (size_of(mine.type) or 0) == place.size
                    compared += 1
    assert compared > 50
    (sk_buff,) = btf.find("sk_buff")  # of the base
    assert isinstance(sk_buff, Record) and sk_buff.size > 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no BTF: 0 bytes"),
        (bytes(64), "is no BTF"),
        (struct.pack("<HBBIIIII", 0xEB9F, 9, 0, 24, 0, 0, 0, 1) + b"\0", "version 9"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 99, 0, 1) + b"\0", "is cut"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 1) + b"x", "do not end"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1) + bytes(13), "kind 0"),
        (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1)
            + struct.pack("<III", 0, 4 << 24 | 9, 8) + b"\0",
            "type that is cut",
        ),
    ],
)  # fmt: skip
def test_what_is_no_btf(data: bytes, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        BtfSource(data)


def test_damaged_btf_ends_in_one_line(binary: Path) -> None:
    data = read_btf(binary)
    chance = random.Random(11)
    refused = 0
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 1, 3, 9))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.1:
            del damaged[chance.randrange(len(damaged)) :]
        try:
            source = BtfSource(bytes(damaged))
            for name in source.type_names():
                for type in source.find(name):
                    if isinstance(type, Record):
                        list(flatten(type))
        except LayoutError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


# ---- Writing -------------------------------------------------------------------------------------


def test_what_is_written_is_what_was_there(binary: Path, dwarf: DwarfSource) -> None:
    compared = 0
    for name in dwarf.type_names():
        for type in dwarf.find(name):
            if getattr(type, "incomplete", False):
                continue
            written = BtfSource(write_btf([type]))
            result = compare(written, dwarf, [name], labels=("written", "dwarf"))
            assert result.ok, result.render_text()
            compared += 1
    assert compared >= 40


def test_pahole_reads_what_is_written(dwarf: DwarfSource, binary: Path, tmp_path: Path) -> None:
    types = [
        type
        for name in dwarf.type_names()
        for type in dwarf.find(name)
        if isinstance(type, Record) and not type.incomplete
    ]
    path = tmp_path / "written.btf"
    path.write_bytes(write_btf(list(types)))
    # pahole takes BTF from a section of an ELF file.
    shell = tmp_path / "written.o"
    (tmp_path / "empty.c").write_text("")
    kit.run(kit.GCC, "-c", tmp_path / "empty.c", "-o", shell)
    kit.run("objcopy", "--add-section", f".BTF={path}", shell)
    ours, theirs = kit.pahole(shell, "-F", "btf"), kit.pahole(binary, "-F", "btf")
    same = set(ours) & set(theirs)  # two of a name are in neither
    assert len(same) >= 20
    for name in same:
        assert theirs[name] == ours[name], name


def test_on_a_base(binary: Path, dwarf: DwarfSource, tmp_path: Path) -> None:
    """What the base has is referred to, not written again."""
    source = tmp_path / "more.c"
    source.write_text(hard() + "\nstruct kpy_more { struct kpy_more *next; int n; } kpy_more;\n")
    more = open_dwarf(kit.debug_info(source))
    base = open_btf(binary)
    (type,) = more.find("kpy_more")
    raw = write_btf([type], base)
    split = BtfSource(raw, base)
    assert split.is_split() and len(raw) < 200
    assert compare(split, more, ["kpy_more"], labels=("written", "dwarf")).ok
