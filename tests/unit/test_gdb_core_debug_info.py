# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mock_memory import MockMemory

from gdb_kpy.core import debug_info
from gdb_kpy.core.debug_info import REQUIRED, DebugInfo
from gdb_kpy.core.errors import CorruptError, FaultError, KpyError, NotReadyError

AT = 0xFFFF_FFFF_C000_1000


def table(
    fields: dict[str, int] | None = None,
    *,
    magic: bytes = b"KPYDEBUG",
    abi: int = 1,
    count: int | None = None,
    field_size: int = 56,
    version: bytes = b"0.1.0",
    release: bytes = b"6.1.0-56-cloud-amd64",
) -> bytes:
    fields = required() if fields is None else fields
    count = len(fields) if count is None else count
    head = struct.pack("<8sIIII16s64s", magic, abi, count, field_size, 0, version, release)
    return head + b"".join(struct.pack("<48sQ", n.encode(), v) for n, v in fields.items())


def required() -> dict[str, int]:
    fields = {name: number for number, name in enumerate(REQUIRED)}
    return {**fields, "off.state.entries": 0, "off.state.gc_count": 8, "size.layout_table": 77}


def parse(raw: bytes) -> DebugInfo:
    memory = MockMemory()
    memory.put(AT, raw)
    return debug_info.parse(memory.read, AT)


def test_a_good_table() -> None:
    info = parse(table())
    assert info.version == "0.1.0"
    assert info.release == "6.1.0-56-cloud-amd64"
    assert info["addr.eval_start"] == REQUIRED.index("addr.eval_start")
    assert info.group("off.state") == {"entries": 0, "gc_count": 8}
    assert info.layout_size == 77
    assert info.get("addr.nothing") is None


def test_the_layout_tables_size_by_its_end() -> None:
    fields = required()
    del fields["size.layout_table"]
    fields["addr.layout_table"], fields["addr.layout_table_end"] = 0x1000, 0x1234
    assert parse(table(fields)).layout_size == 0x234


def test_another_abi_is_one_clear_line() -> None:
    with pytest.raises(NotReadyError) as caught:
        parse(table(abi=2))
    assert str(caught.value) == (
        "the module speaks debug ABI 2, this gdb_kpy knows 1: "
        "rebuild with make and reload the module"
    )


@pytest.mark.parametrize("name", REQUIRED)
def test_each_missing_field_is_named(name: str) -> None:
    fields = required()
    del fields[name]
    with pytest.raises(NotReadyError, match=name.replace(".", r"\.")):
        parse(table(fields))


def test_a_name_this_debugger_asks_for_later() -> None:
    with pytest.raises(NotReadyError, match=r"addr\.history.*rebuild with make"):
        parse(table())["addr.history"]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (table(magic=b"KPYDEBUX"), "KPYDEBUG"),
        (table(count=0), "n_fields"),
        (table(count=1 << 20), "n_fields"),
        (table(field_size=64), "field_size"),
        (table(version=b"\x01\x02"), "version"),
        (table({**required(), "na\x01me": 1}), "printable"),
        (table({**required(), "": 1}), "a new name"),
    ],
)
def test_corrupt_tables(raw: bytes, what: str) -> None:
    with pytest.raises(CorruptError, match=what):
        parse(raw)


def test_a_name_twice() -> None:
    raw = table() + struct.pack("<48sQ", b"addr.eval_start", 1)
    count = len(required()) + 1
    with pytest.raises(CorruptError, match="a new name"):
        parse(raw[:12] + struct.pack("<I", count) + raw[16:])


def test_a_table_cut_by_the_end_of_memory() -> None:
    with pytest.raises(FaultError):
        parse(table()[:-1])


@given(st.integers(0, len(table()) - 1), st.integers(0, 255))
def test_any_flipped_byte_gives_a_table_or_an_error_of_ours(at: int, value: int) -> None:
    raw = bytearray(table())
    raw[at] = value
    try:
        info = parse(bytes(raw))
    except KpyError:
        return
    assert set(REQUIRED) <= set(info.fields)
