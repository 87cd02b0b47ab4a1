# SPDX-License-Identifier: GPL-2.0-or-later
"""Core files of QEMU's ``dump-guest-memory -p``: where each CPU's interrupt table was."""

from __future__ import annotations

import struct
from pathlib import Path

from gdb_kpy.core import elf
from gdb_kpy.core.errors import AbsentError, NotReadyError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_CORE, _X86_64 = 4, 62
_LOAD, _NOTE = 1, 4
_LONGEST_NOTES = 1 << 20
#: In QEMU's note: version and size, 18 registers, then segments of 24 bytes, the tenth is IDTR.
_IDT_BASE = 8 + 18 * 8 + 9 * 24 + 16


def is_core(path: Path) -> bool:
    """Say whether a file is a core file."""
    try:
        with path.open("rb") as file:
            head = file.read(18)
    except OSError:
        return False
    return head[:5] == b"\x7fELF\x02" and head[16:18] == struct.pack("<H", _CORE)


def interrupt_tables(path: Path) -> list[int]:
    """Return the address of each CPU's interrupt table."""
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
        head = _HEADER.unpack(start.ljust(_HEADER.size, b"\0"))
        if head[1] != _CORE or head[2] != _X86_64 or head[9] != _SEGMENT.size:
            raise AbsentError(f"{path} is no core file of an x86-64 machine")
        file.seek(head[5])
        raw = file.read(_SEGMENT.size * head[10])
        segments = list(_SEGMENT.iter_unpack(raw[: len(raw) - len(raw) % _SEGMENT.size]))
        if not any(kind == _LOAD and virtual >> 63 for kind, _f, _o, virtual, *_ in segments):
            raise NotReadyError(
                f"{path} has no addresses of the kernel's",
                "dump with paging: `dump-guest-memory -p FILE` in QEMU's monitor",
            )
        found = []
        for kind, _flags, offset, _virtual, _physical, size, *_ in segments:
            if kind != _NOTE:
                continue
            file.seek(offset)
            for name, _type, data in elf.notes(file.read(min(size, _LONGEST_NOTES))):
                if name == b"QEMU" and len(data) >= _IDT_BASE + 8:
                    found.append(struct.unpack_from("<Q", data, _IDT_BASE)[0])
    if not found:
        raise AbsentError(f"{path} has no notes of QEMU's, which tell where the kernel is")
    return found
