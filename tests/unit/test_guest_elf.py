# SPDX-License-Identifier: GPL-2.0-or-later
"""Build-ids out of ELF files and compressed kernels; what modules depend on."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest import elf

ID = bytes(range(20))
NOTES = struct.pack("<III", 4, 4, 0x101) + b"Xen\0abcd"
NOTES += struct.pack("<III", 4, 20, 3) + b"GNU\0" + ID


def elf_file(notes: bytes = NOTES, pad: int = 0) -> bytes:
    """An ELF file with one note section, one note segment, and a section-name table."""
    names = b"\0.notes\0.shstrtab\0"
    at = 64 + 56 + pad
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    table = at + len(notes) + len(names)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, table, 0, 64, 56, 1, 64, 3, 2)
    segment = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), len(notes), 4)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 7, 0, 0, at, len(notes), 0, 0, 4, 0)
    sections += struct.pack("<IIQQQQIIQQ", 8, 3, 0, 0, at + len(notes), len(names), 0, 0, 1, 0)
    return header + segment + bytes(pad) + notes + names + sections


def lz4_literals(data: bytes) -> bytes:
    """A legacy LZ4 stream of nothing but literals, in blocks of 8 MiB."""
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        part = data[at : at + (8 << 20)]
        rest = len(part) - 15
        block = b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + part
        out += struct.pack("<I", len(block)) + block
    return out


def bzimage(payload: bytes) -> bytes:
    head = bytearray(1024 + 64)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 64, len(payload))
    return bytes(head) + payload + bytes(100)


def test_build_id_of_an_elf_file(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(elf_file())
    assert elf.build_id(path) == ID.hex()
    assert elf.has_section(path, ".notes")
    assert not elf.has_section(path, ".debug_info")


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"not an ELF file" * 20, elf_file(b"")])
def test_no_build_id(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert elf.build_id(path) is None


@given(st.binary(max_size=200))
def test_notes_of_any_bytes(notes: bytes) -> None:
    elf.build_id_in_notes(notes)


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, lz4_literals],
    ids=["gzip", "bzip2", "xz", "lz4"],
)
@pytest.mark.parametrize("pad", [0, 9 << 20])
def test_build_id_of_a_bzimage(tmp_path: Path, pack: object, pad: int) -> None:
    assert callable(pack)
    path = tmp_path / "bzImage"
    path.write_bytes(bzimage(pack(elf_file(pad=pad))))
    assert elf.bzimage_build_id(path) == ID.hex()


@pytest.mark.parametrize(
    "data",
    [b"", bytes(2000), bzimage(b"\x28\xb5\x2f\xfd" + bytes(50)), bzimage(b"\xfd7zXZ\0junk")],
    ids=["empty", "zeros", "zstd", "damaged"],
)
def test_bzimage_without_a_readable_build_id(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bzImage"
    path.write_bytes(data)
    assert elf.bzimage_build_id(path) is None


def test_lz4_matches_and_overlaps() -> None:
    # "abcd", a match of 4 at distance 4, one of 25 at distance 1, then the literals "end".
    block = b"\x40abcd\x04\x00" + b"\x1fX\x01\x00\x06" + b"\x30end"
    assert bytes(elf._lz4_block(block, 1000)) == b"abcdabcd" + b"X" * 26 + b"end"


def test_module_depends() -> None:
    assert elf.module_depends(b"x\0license=GPL\0depends=virtio_ring,virtio\0retpoline=Y\0") == [
        "virtio_ring",
        "virtio",
    ]
    assert elf.module_depends(b"\0depends=\0") == []
    assert elf.module_depends(b"") == []


def test_packed_modules(tmp_path: Path) -> None:
    for name, data in (
        ("a.ko", b"module"),
        ("a.ko.xz", lzma.compress(b"module")),
        ("a.ko.gz", gzip.compress(b"module")),
    ):
        (tmp_path / name).write_bytes(data)
        assert elf.read_module(tmp_path / name) == b"module"
