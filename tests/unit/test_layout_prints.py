# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of structs: what changes them, what does not, and which structs have one."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.prints import write_prints
from struct_layout.table import Table


def table_of(tmp_path: Path, text: str) -> Table:
    source = tmp_path / "prints.c"
    source.write_text(text)
    return kit.table_of(source)


def print_of(tmp_path: Path, text: str) -> int:
    (found,) = prints_in(write_prints(table_of(tmp_path, text)))
    return found


def prints_in(data: bytes) -> tuple[int, ...]:
    (count,) = struct.unpack_from("<I", data, 8)
    return struct.unpack_from(f"<{count}I", data, 12 + (1 << 14))


def test_a_fingerprint_by_hand(tmp_path: Path) -> None:
    """As docs/layout-prints.md says."""
    text = b"s\0" + struct.pack("<3I", 0, 16, 3)
    text += b"c\0" + struct.pack("<3I", 0, 0, 3)
    text += b"n\0" + struct.pack("<3I", 32, 5, 0)
    text += b"\0" + struct.pack("<3I", 64, 0, 8)
    text += struct.pack("<3I", 1, 8, 1) + b"p\0" + struct.pack("<3I", 0, 0, 8)
    ours = print_of(
        tmp_path,
        "struct s { char c[3]; int : 0; int n : 5; int : 7; union { void *p; }; };",
    )
    assert ours == zlib.crc32(text)


@pytest.mark.parametrize(
    "other",
    [
        "struct s { int a; long b; char c; };",  # one more
        "struct s { int a; long c; };",  # another name
        "struct s { int x, a; long b; };",  # not at the same place
        "struct s { short a; long b; };",  # another size
        "struct s { int a : 31; long b; };",
        "struct s { int a; long b; } __attribute__((packed));",
        "struct s { int a; struct { long b; }; };",
        "union s { int a; long b; };",
    ],
)
def test_every_difference_counts(tmp_path: Path, other: str) -> None:
    assert print_of(tmp_path, other) != print_of(tmp_path, "struct s { int a; long b; };")


def test_types_of_one_size_do_not_count(tmp_path: Path) -> None:
    """BTF and the plugin may call them differently."""
    ours = print_of(tmp_path, "struct s { const unsigned int a; void *b; };")
    assert ours == print_of(tmp_path, "struct s { int a; long b; };")


def test_the_file(tmp_path: Path) -> None:
    table = table_of(
        tmp_path,
        "struct s { int a; }; union u { char c; }; struct only_declared;\n"
        "typedef struct { int n; } nameless; enum e { E };\n"
        "struct only_declared *p; void f(void) { struct local { int a; } l; }\n",
    )
    data = write_prints(table)
    crc, count = struct.unpack_from("<2I", data, 4)
    assert data[:4] == b"KPYF" and crc == table.crc
    assert len(data) == 12 + (1 << 14) + 4 * count
    one = struct.pack("<3I", 0, 4, 1) + b"a\0" + struct.pack("<3I", 0, 0, 4)
    other = struct.pack("<3I", 1, 1, 1) + b"c\0" + struct.pack("<3I", 0, 0, 1)
    assert sorted(prints_in(data)) == sorted({zlib.crc32(b"s\0" + one), zlib.crc32(b"u\0" + other)})
    assert list(prints_in(data)) == sorted(prints_in(data))
    names = data[12 : 12 + (1 << 14)]
    bits = {bit for bit in range(1 << 17) if names[bit >> 3] >> (bit & 7) & 1}
    assert bits == {zlib.crc32(name + b"\0") & 0x1FFFF for name in (b"s", b"u")}
