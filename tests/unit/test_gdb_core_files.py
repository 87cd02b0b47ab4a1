# SPDX-License-Identifier: GPL-2.0-or-later
"""Core files of QEMU's, and the tables of symbols of modules."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from mock_memory import MockMemory

from gdb_kpy.core import qemu_core
from gdb_kpy.core.errors import AbsentError, CorruptError, NotReadyError
from gdb_kpy.core.module_symbols import ModuleSymbols, Offsets

IDT = 0xFFFFFE0000000000


def core(virtual: int = 0xFFFFFFFF81000000, note: bytes | None = None) -> bytes:
    """A core file with one note and one segment."""
    state = bytearray(440)
    struct.pack_into("<II", state, 0, 1, 440)
    # Ten segments of {u32 selector, limit, flags, pad; u64 base} behind 18 registers: CS DS ES FS
    # GS SS LDT TR GDT IDT.
    struct.pack_into("<IIIIQ", state, 8 + 18 * 8 + 9 * 24, 0, 0xFFF, 0, 0, IDT)
    if note is None:
        note = struct.pack("<III", 5, len(state), 0) + b"QEMU\0\0\0\0" + bytes(state)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    at = 64 + 2 * 56
    segments = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(note), len(note), 0)
    segments += struct.pack("<IIQQQQQQ", 1, 0, at + len(note), virtual, 0x1000, 0, 0, 0)
    return head + segments + note


def test_the_interrupt_table_of_a_cpu(tmp_path: Path) -> None:
    path = tmp_path / "core"
    path.write_bytes(core())
    assert qemu_core.is_core(path)
    assert qemu_core.interrupt_tables(path) == [IDT]


def test_core_files_that_are_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "core"
    path.write_bytes(core(virtual=0))
    with pytest.raises(NotReadyError, match="dump-guest-memory -p"):
        qemu_core.interrupt_tables(path)
    path.write_bytes(core(note=struct.pack("<III", 5, 4, 1) + b"CORE\0\0\0\0" + bytes(4)))
    with pytest.raises(AbsentError, match="no notes of QEMU's"):
        qemu_core.interrupt_tables(path)


@pytest.mark.parametrize("length", range(0, 300, 7))
def test_core_files_that_are_cut(tmp_path: Path, length: int) -> None:
    path = tmp_path / "core"
    path.write_bytes(core()[:length])
    with pytest.raises((AbsentError, NotReadyError)):
        qemu_core.interrupt_tables(path)


def test_what_is_no_core_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert not qemu_core.is_core(path)
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<H", 2))
    assert not qemu_core.is_core(path)


OFFSETS = Offsets(kallsyms=0x40, symtab=8, num_symtab=0, strtab=24)


def module(names: list[bytes], count: int | None = None) -> MockMemory:
    memory = MockMemory()
    strings = b"\0"
    table = b""
    for number, name in enumerate(names):
        section = 0 if name == b"undefined" else 1
        table += struct.pack("<IBBHQQ", len(strings), 0, 0, section, 0x1000 + number, 0)
        strings += name + b"\0"
    memory.put(0x20000, bytes(0x40) + struct.pack("<Q", 0x30000))
    count = len(names) if count is None else count
    memory.put(0x30000, struct.pack("<QQQQ", count, 0x40000, 0, 0x50000))
    memory.put(0x40000, table)
    memory.put(0x50000, strings + bytes(4096 - len(strings)))
    return memory


def test_symbols_of_a_module() -> None:
    memory = module([b"one", b"undefined", b"two", b"one"])
    symbols = ModuleSymbols(memory.read, OFFSETS)
    assert symbols.find(0x20000, "one") == 0x1000
    assert symbols.find(0x20000, "two") == 0x1002
    assert symbols.find(0x20000, "undefined") is None
    reads = memory.reads
    assert symbols.find(0x20000, "three") is None
    assert memory.reads - reads == 2


def test_a_module_with_an_impossible_number_of_symbols() -> None:
    symbols = ModuleSymbols(module([b"one"], count=1 << 30).read, OFFSETS)
    with pytest.raises(CorruptError, match="symbols of a module"):
        symbols.find(0x20000, "one")
