# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from gdb_kpy.core import elf
from gdb_kpy.core.errors import AbsentError

ID = bytes(range(20))


def note(name: bytes, kind: int, data: bytes) -> bytes:
    def pad(raw: bytes) -> bytes:
        return raw + bytes(-len(raw) % 4)

    head = struct.pack("<III", len(name) + 1, len(data), kind)
    return head + pad(name + b"\0") + pad(data)


def test_the_build_id_among_other_notes() -> None:
    raw = note(b"Xen", 6, b"linux") + note(b"GNU", 5, b"\1") + note(b"GNU", 3, ID)
    assert elf.build_id(raw) == ID.hex()
    assert elf.build_id(note(b"Linux", 3, ID)) == ""
    assert elf.build_id(raw[:-1] + b"") == ""
    assert elf.build_id(b"") == ""


@given(st.binary(max_size=200))
def test_any_bytes_can_be_notes(raw: bytes) -> None:
    assert isinstance(elf.build_id(raw), str)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elf")
    source = folder / "a.c"
    source.write_text(
        "int wanted = 3; int un_wanted = 4; static int hidden = 5;\n"
        "extern int absent; int main(void) { return wanted + un_wanted + hidden; }\n"
    )
    out = folder / "a.out"
    gcc = shutil.which("gcc") or shutil.which("gcc-12")
    assert gcc, "no gcc"
    words = [gcc, "-no-pie", "-Wl,--build-id", "-o", str(out), str(source)]
    subprocess.run(words, check=True)
    return out


def test_against_pyelftools(compiled: Path) -> None:
    file = elf.ElfFile(compiled)
    with compiled.open("rb") as stream:
        other: Any = ELFFile(stream)
        table = other.get_section_by_name(".symtab")
        names = ("main", "wanted", "un_wanted", "hidden")
        expected = {name: table.get_symbol_by_name(name)[0]["st_value"] for name in names}
        notes = other.get_section_by_name(".note.gnu.build-id").iter_notes()
        build_id = next(iter(notes))["n_desc"]
        text = other.get_section_by_name(".text")
        section = file.section(".text")
        assert section is not None
        assert (section.address, section.size) == (text["sh_addr"], text["sh_size"])
        assert file.content(section) == text.data()
    assert file.build_id() == build_id
    # "wanted" is the tail of "un_wanted", and linkers share such strings.
    assert file.symbols([*names, "absent", "want"]) == expected


def test_a_stripped_file(compiled: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", str(stripped), str(compiled)], check=True)
    with pytest.raises(AbsentError, match="no symbol table: use the unstripped file"):
        elf.ElfFile(stripped).symbols(["main"])


@pytest.mark.parametrize("raw", [b"x", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(100)])
def test_what_is_no_elf_file(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(raw)
    with pytest.raises(AbsentError, match=r"file is not an x86-64 ELF file"):
        elf.ElfFile(path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match=r"cannot open .*none: No such file"):
        elf.ElfFile(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(AbsentError, match="the file is empty"):
        elf.ElfFile(tmp_path / "empty")
