# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading many small things with few reads, through a ``read`` that keeps what it read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from gdb_kpy.core.errors import FaultError
from gdb_kpy.core.memory import Read

#: A round trip costs as much as reading about that many bytes more.
_GAP = 4096
_LONGEST = 1 << 16


def warm(read: Read, spans: Iterable[tuple[int, int]]) -> None:
    """Read the spans (address, size), neighbours together, so that they are in the cache."""
    start = end = 0
    for address, size in sorted(spans):
        if end and address <= end + _GAP and address + size - start <= _LONGEST:
            end = max(end, address + size)
            continue
        _try(read, start, end)
        start, end = address, address + size
    _try(read, start, end)


def _try(read: Read, start: int, end: int) -> None:
    if end > start:
        with contextlib.suppress(FaultError):  # whoever needs it will see
            read(start, end - start)
