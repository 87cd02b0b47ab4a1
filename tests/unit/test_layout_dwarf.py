# SPDX-License-Identifier: GPL-2.0-or-later
"""The DWARF reader: its index against pyelftools, its cache, and damaged files."""

from __future__ import annotations

import random
import time
from pathlib import Path

import layout_kit as kit
import pytest
from elftools.elf.elffile import ELFFile

from struct_layout import dwarf as dwarf_module
from struct_layout import elf_build_id, require_build_id
from struct_layout.dwarf import open_dwarf
from struct_layout.dwarf_index import KINDS
from struct_layout.dwarf_units import TAG
from struct_layout.model import Enum, LayoutError, Record
from struct_layout.view import flatten

HARD = Path(__file__).parent / "layout_hard.c"


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("dwarf") / "hard.c"
    source.write_text(HARD.read_text())
    return kit.debug_info(source, "-Wl,--build-id")


def expected(path: Path) -> dict[str, set[int]]:
    """Return "kind name" → offsets of the top-level definitions, as pyelftools sees them."""
    found: dict[str, set[int]] = {}
    with path.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info(relocate_dwarf_sections=False).iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                kind = KINDS.get(TAG.get(str(die.tag)[7:], 0))
                if kind and "DW_AT_name" in die.attributes:
                    if "DW_AT_declaration" in die.attributes:
                        continue
                    name = die.attributes["DW_AT_name"].value.decode()
                    found.setdefault(f"{kind} {name}", set()).add(die.offset)
    return found


@pytest.mark.parametrize("flags", [("-gdwarf-5",), ("-gdwarf-4",), ("-gdwarf-2",), ("-gdwarf64",)])
def test_the_index_is_what_pyelftools_sees(tmp_path: Path, flags: tuple[str, ...]) -> None:
    source = tmp_path / "hard.c"
    source.write_text(HARD.read_text())
    path = kit.debug_info(source, *flags)
    wanted = expected(path)
    assert len(wanted) >= 40
    found = {name: set(offsets) for name, offsets in open_dwarf(path)._index.names.items()}
    assert found == wanted


def test_members_are_what_pyelftools_sees(binary: Path) -> None:
    source = open_dwarf(binary)
    compared = 0
    with binary.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info(relocate_dwarf_sections=False).iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                if die.tag != "DW_TAG_structure_type" or "DW_AT_name" not in die.attributes:
                    continue
                if "DW_AT_declaration" in die.attributes:
                    continue
                (record,) = source.find(die.attributes["DW_AT_name"].value.decode())
                assert isinstance(record, Record)
                theirs = [child for child in die.iter_children() if child.tag == "DW_TAG_member"]
                assert len(theirs) == len(record.members)
                for member, child in zip(record.members, theirs):
                    attributes = child.attributes
                    name = attributes.get("DW_AT_name")
                    assert member.name == (name.value.decode() if name else None)
                    bit = attributes.get("DW_AT_data_bit_offset")
                    byte = attributes.get("DW_AT_data_member_location")
                    offset = bit.value if bit else byte.value * 8 if byte else 0
                    assert member.offset == offset
                    compared += 1
    assert compared > 90


def test_the_index_is_cached_by_build(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dwarf_module, "_SMALL", 0)
    cache = tmp_path / "cache"
    first = open_dwarf(binary, cache=cache)
    build_id = elf_build_id(binary)
    assert build_id is not None
    assert [path.name for path in cache.iterdir()] == [build_id]
    calls: list[int] = []
    monkeypatch.setattr(dwarf_module, "build_index", lambda *args: calls.append(1))
    again = open_dwarf(binary, cache=cache)
    assert not calls
    assert again._index == first._index
    monkeypatch.undo()
    monkeypatch.setattr(dwarf_module, "_SMALL", 0)
    for damaged in ("", "{}", "[]", "nonsense", '{"version":1,"size":1,"units":[],"names":{}}'):
        (cache / build_id).write_text(damaged)
        assert open_dwarf(binary, cache=cache)._index == first._index
    cache.chmod(0o500)
    open_dwarf(binary, cache=cache / "not" / "there")  # a cache that cannot be made is no error


def test_stopping_leaves_nothing(binary: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        open_dwarf(binary, cache=cache, progress=stop)
    assert not cache.exists()


def test_build_ids(binary: Path, tmp_path: Path) -> None:
    build_id = elf_build_id(binary)
    assert build_id is not None and len(build_id) == 40
    require_build_id(binary, build_id)
    with pytest.raises(LayoutError) as caught:
        require_build_id(binary, "0" * 40)
    assert build_id in str(caught.value) and "0" * 40 in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*: No such file"),
        (b"", "not a sound ELF file"),
        (b"not an ELF file at all", "not a sound ELF file"),
        (b"\x7fELF\x02\x01\x01" + bytes(9), "not a sound ELF file"),
    ],
)
def test_files_that_are_not_elf(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LayoutError, match=message):
        open_dwarf(path)
    with pytest.raises(LayoutError, match=message):
        elf_build_id(path)


def test_a_folder_and_a_stripped_file(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="Is a directory"):
        open_dwarf(tmp_path)
    stripped = tmp_path / "stripped.so"
    kit.run("strip", "--strip-debug", binary, "-o", stripped)
    with pytest.raises(LayoutError, match="no debug information"):
        open_dwarf(stripped)


def test_split_dwarf_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "split.c"
    source.write_text("struct s { int a; } s;\n")
    with pytest.raises(LayoutError, match="split DWARF"):
        open_dwarf(kit.debug_info(source, "-gsplit-dwarf"))


def read_everything(path: Path) -> None:
    source = open_dwarf(path)
    for name in source.type_names():
        for type in source.find(name):
            if isinstance(type, Record):
                list(flatten(type))
            elif isinstance(type, Enum):
                list(type.constants)


def test_damaged_files_end_in_one_line(binary: Path, tmp_path: Path) -> None:
    """Bytes changed at random, most of them where types are described."""
    data = binary.read_bytes()
    with binary.open("rb") as file:
        elf = ELFFile(file)
        windows = [(0, len(data))]
        for name in (".debug_info", ".debug_abbrev", ".debug_info", ".debug_abbrev"):
            section = elf.get_section_by_name(name)
            assert section is not None
            windows.append((section["sh_offset"], section["sh_size"]))
    chance = random.Random(7)
    path = tmp_path / "damaged.so"
    refused = 0
    start = time.monotonic()
    for _ in range(250):
        damaged = bytearray(data)
        at, size = chance.choice(windows)
        for _ in range(chance.choice((1, 1, 2, 8))):
            damaged[at + chance.randrange(size)] = chance.randrange(256)
        if chance.random() < 0.1:
            del damaged[chance.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            read_everything(path)
        except LayoutError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20
    assert time.monotonic() - start < 60
