# SPDX-License-Identifier: GPL-2.0-or-later
"""Interned strings: numbers to text and back, from the interpreter's chain of pools."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from gdb_kpy.core.bulk import warm
from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.memory import Read, u32, u64

_MOST_POOLS = 100
_MOST_STRINGS = 1 << 20


@dataclass
class _Pool:
    """A pool; strings are only ever added to it."""

    address: int
    first: int  # number of its first string
    lengths: int
    texts: list[bytes] = field(default_factory=list)


class Qstrs:
    """All interned strings. What was read stays valid until the interpreter is restarted."""

    def __init__(self, read: Read, info: DebugInfo) -> None:
        self._read = read
        self._info = info
        self._pools: dict[int, _Pool] = {}
        self._chain: list[_Pool] = []
        self._numbers: dict[bytes, int] = {}
        self._epoch = -1
        self._fresh = False

    def forget(self) -> None:
        """Look again for new strings, as the guest ran."""
        self._fresh = False

    def text(self, number: int) -> str:
        """Return the text of a number; raises CorruptError when there is none."""
        return self.raw(number).decode("utf-8", "surrogateescape")

    def raw(self, number: int) -> bytes:
        """Return the bytes of a string."""
        self._refresh()
        for pool in self._chain:
            if number >= pool.first:
                if number - pool.first >= len(pool.texts):
                    break
                return pool.texts[number - pool.first]
        last = self._chain[0] if self._chain else None
        most = last.first + len(last.texts) if last else 0
        raise CorruptError(0 if last is None else last.address, "qstr", f"below {most}", number)

    def number(self, text: str) -> int | None:
        """Return the number of a text, None when no such string is interned."""
        self._refresh()
        return self._numbers.get(text.encode("utf-8", "surrogateescape"))

    def _refresh(self) -> None:
        if self._fresh:
            return
        info = self._info
        epoch = u32(self._read, info["addr.epoch"])
        if epoch != self._epoch:
            self._pools.clear()
            self._numbers.clear()
            self._epoch = epoch
        at = u64(self._read, info["addr.mp_state"] + info["off.mp_state.vm.last_pool"])
        if not at:
            raise NotReadyError(
                "the interpreter in the guest has not started yet", "`continue` and stop again"
            )
        chain: list[_Pool] = []
        while at:
            if len(chain) >= _MOST_POOLS:
                raise CorruptError(at, "chain of qstr pools", f"at most {_MOST_POOLS}", "more")
            chain.append(self._pool(at))
            at = u64(self._read, at + info["off.qstr_pool.prev"])
        self._chain = chain
        self._fresh = True

    def _pool(self, at: int) -> _Pool:
        info, read = self._info, self._read
        mask = (1 << info["bits.qstr_pool.prev_len"]) - 1
        first = u64(read, at + info["off.qstr_pool.prev_len"]) & mask
        count = u64(read, at + info["off.qstr_pool.len"])
        if count > _MOST_STRINGS or first > _MOST_STRINGS:
            raise CorruptError(at, "qstr pool", f"at most {_MOST_STRINGS} strings", count)
        lengths = u64(read, at + info["off.qstr_pool.lengths"])
        pool = self._pools.get(at)
        if pool is None or (pool.first, pool.lengths) != (first, lengths):
            pool = self._pools[at] = _Pool(at, first, lengths)
        if len(pool.texts) < count:
            self._add(pool, count)
        return pool

    def _add(self, pool: _Pool, count: int) -> None:
        info, read = self._info, self._read
        done = len(pool.texts)
        size = info["cfg.qstr_bytes_in_len"]
        raw = read(pool.lengths + done * size, (count - done) * size)
        sizes = [int.from_bytes(raw[at : at + size], "little") for at in range(0, len(raw), size)]
        words = read(pool.address + info["off.qstr_pool.qstrs"] + 8 * done, 8 * (count - done))
        places = struct.unpack(f"<{count - done}Q", words)
        warm(read, ((at, length) for at, length in zip(places, sizes) if length))
        for at, length in zip(places, sizes):
            text = read(at, length) if length else b""
            self._numbers.setdefault(text, pool.first + len(pool.texts))
            pool.texts.append(text)
