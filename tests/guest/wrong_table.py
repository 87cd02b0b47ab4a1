# SPDX-License-Identifier: GPL-2.0-or-later
"""A module whose layout table is wrong: kpy.ko with a member of some structs moved."""

from __future__ import annotations

import struct
from pathlib import Path

from struct_layout.model import Record
from struct_layout.prints import write_prints
from struct_layout.sources import load_table
from struct_layout.table import Table
from struct_layout.table_format import (
    BODIES,
    CRC_AT,
    M_BITS,
    M_NAME,
    M_STEP_SHIFT,
    M_TYPE,
    STEPS,
    checksum,
    read_number,
)


def _second_member(table: Table, record: Record) -> int:
    """Return where the second member of a record begins, counted from the first body."""
    (entry,) = (
        entry
        for entry in table._all()
        if entry.kind in (2, 3) and table.text(entry.numbers[0]) == record.name
    )
    at = table._at[BODIES] + entry.body
    head = table.data[at]
    at += 1
    follow = [not head >> M_STEP_SHIFT, *(head & flag for flag in (M_NAME, M_TYPE, M_BITS))]
    for _ in filter(None, follow):
        _, at = read_number(table.data, at)
    return at


def move_members(ko: Path, names: list[str]) -> bytes:
    """Return a kpy.ko in whose table the second members of these structs are 8 bytes further.

    The table's checksum and fingerprints are right: it is as if made for another kernel.
    """
    table = load_table(ko)
    data = bytearray(table.data)
    for name in names:
        (record,) = table.find(name)
        assert isinstance(record, Record)
        at = _second_member(table, record)
        step, flags = data[at] >> M_STEP_SHIFT, data[at] & (1 << M_STEP_SHIFT) - 1
        moved = (STEPS[step] or 0) + 64
        data[at] = STEPS.index(moved) << M_STEP_SHIFT | flags
    data[CRC_AT : CRC_AT + 4] = struct.pack("<I", checksum(data))
    wrong, module = Table(data), ko.read_bytes()
    old, new = write_prints(table), write_prints(wrong)
    assert len(old) == len(new)
    for before, after in ((table.data, wrong.data), (old, new)):
        assert module.count(before) == 1
        module = module.replace(before, after)
    return module
