# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's list of modules, and reading in general."""

from __future__ import annotations

import struct

import pytest
from mock_memory import MockMemory

from gdb_kpy.core import linux_module, memory
from gdb_kpy.core.errors import AbsentError, CorruptError, FaultError

BASE = 0xFFFF_FFFF_C000_0000
HEAD = 0xFFFF_FFFF_82B2_7160
OFF = linux_module.Offsets(
    list=8, name=24, state=0, syms=96, num_syms=104, gpl_syms=112, num_gpl_syms=120,
    extable=128, num_exentries=136, sect_attrs=144, nsections=0, attrs=8, attr_size=32,
    attr_name=0, attr_address=24, ksym_size=12,
)  # fmt: skip
SIZE = 160


def module_at(number: int) -> int:
    return BASE + number * 0x10000


def guest(*names: str) -> MockMemory:
    """A kernel with these modules, newest first."""
    mock = MockMemory()
    nodes = [module_at(i) + OFF.list for i in range(len(names))]
    ring = [HEAD, *nodes, HEAD]
    mock.put_u64(HEAD, ring[1], ring[-2])
    for i, name in enumerate(names):
        raw = bytearray(SIZE)
        struct.pack_into("<QQ", raw, OFF.list, ring[i + 2], ring[i])
        raw[OFF.name : OFF.name + len(name)] = name.encode()
        mock.put(module_at(i), bytes(raw))
    return mock


def test_walking_and_finding() -> None:
    mock = guest("kpy", "virtio_net")
    assert [m.name for m in linux_module.walk(mock.read, HEAD, OFF)] == ["kpy", "virtio_net"]
    found = linux_module.find(mock.read, HEAD, OFF, "virtio_net")
    assert found is not None
    assert (found.address, found.state) == (module_at(1), linux_module.STATE_LIVE)
    assert linux_module.find(mock.read, HEAD, OFF, "kp") is None
    assert linux_module.find(guest().read, HEAD, OFF, "kpy") is None


def test_a_list_that_does_not_close() -> None:
    mock = guest("a", "b")
    mock.poke(module_at(1) + OFF.list, struct.pack("<Q", module_at(0) + OFF.list))
    with pytest.raises(CorruptError, match="list of modules"):
        list(linux_module.walk(mock.read, HEAD, OFF))


@pytest.mark.parametrize("where", [0, 0x1000])
def test_a_list_that_leads_nowhere(where: int) -> None:
    mock = guest("a")
    mock.poke(module_at(0) + OFF.list, struct.pack("<Q", where))
    with pytest.raises(CorruptError, match="list of modules"):
        list(linux_module.walk(mock.read, HEAD, OFF))


def with_sections(mock: MockMemory, sections: dict[str, int], count: int | None = None) -> None:
    attrs = 0xFFFF_8880_0000_0000
    raw = bytearray(struct.pack("<Q", len(sections) if count is None else count))
    for i, (name, address) in enumerate(sections.items()):
        label = mock.put(attrs + 0x10000 + i * 64, name.encode() + bytes(64 - len(name)))
        raw += struct.pack("<QQQQ", label, 0, 0, address)
    mock.put(attrs, bytes(raw))
    mock.poke(module_at(0) + OFF.sect_attrs, struct.pack("<Q", attrs))


def test_sections() -> None:
    mock = guest("kpy")
    kpy = linux_module.Module(module_at(0), "kpy", 0)
    with pytest.raises(AbsentError, match="no section addresses of module kpy"):
        linux_module.sections(mock.read, kpy, OFF)
    wanted = {".text": BASE, ".note.gnu.build-id": BASE + 0x5000}
    with_sections(mock, wanted)
    assert linux_module.sections(mock.read, kpy, OFF) == wanted
    with_sections(mock, wanted, count=1 << 30)
    with pytest.raises(CorruptError, match="number of sections"):
        linux_module.sections(mock.read, kpy, OFF)


def test_exported_symbols() -> None:
    mock = guest("kpy")
    kpy = linux_module.Module(module_at(0), "kpy", 0)
    table, names = BASE + 0x6000, BASE + 0x7000
    mock.put(names, b"kpy_other\0kpy_debug_info\0" + bytes(64))
    symbols = {"kpy_other": (BASE + 0x10, names), "kpy_debug_info": (BASE - 0x2000, names + 10)}
    raw = b""
    for value, label in symbols.values():
        at = table + len(raw)
        raw += struct.pack("<iii", value - at, label - (at + 4), 0)
    mock.put(table, raw)
    mock.poke(module_at(0) + OFF.gpl_syms, struct.pack("<QI", table, 2))
    for name, (value, _) in symbols.items():
        assert linux_module.exported(mock.read, kpy, OFF, name) == value
    with pytest.raises(AbsentError, match="does not export kpy"):
        linux_module.exported(mock.read, kpy, OFF, "kpy")
    mock.poke(module_at(0) + OFF.num_gpl_syms, struct.pack("<I", 1 << 31))
    with pytest.raises(CorruptError, match="exported symbols"):
        linux_module.exported(mock.read, kpy, OFF, "kpy_debug_info")


def test_strings_stop_at_their_end_and_at_the_limit() -> None:
    mock = MockMemory()
    at = mock.put(0x1FF0, b"0123456789abcde\0")  # mapped memory ends with the string
    assert memory.cstring(mock.read, at) == "0123456789abcde"
    with pytest.raises(FaultError):
        memory.cstring(mock.read, mock.put(0x3FF8, b"no end__"))
    with pytest.raises(CorruptError, match="a NUL within 8 bytes"):
        memory.cstring(mock.read, mock.put(0x5000, b"x" * 64), 8)
    assert memory.readable(mock.read, 0x5000)
    assert not memory.readable(mock.read, 0x9000)
    assert memory.s32(mock.read, mock.put(0x6000, b"\xff\xff\xff\xff")) == -1
