# SPDX-License-Identifier: GPL-2.0-or-later
"""``kpy_debug_info``: the one table of addresses and offsets that the module gives a debugger."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from gdb_kpy.core.errors import CorruptError, NotReadyError
from gdb_kpy.core.memory import Read

MAGIC = b"KPYDEBUG"
ABI = 1

_HEADER = struct.Struct("<8sIIII16s64s")
_FIELD = struct.Struct("<48sQ")
_MOST_FIELDS = 4096

#: Without these this debugger can do nothing useful with the module.
REQUIRED = (
    "addr.eval_return",
    "addr.eval_stack_top",
    "addr.eval_start",
    "addr.gil_cpu",
    "addr.gil_word",
    "addr.layout_table",
    "addr.mailbox",
    "addr.ready",
    "addr.state",
    "addr.run",
    "addr.run_done",
    "addr.run_interrupt",
    "addr.run_mailbox",
    "off.mailbox.flags",
    "off.mailbox.kept",
    "off.mailbox.kind",
    "off.mailbox.output",
    "off.mailbox.output_len",
    "off.mailbox.output_total",
    "off.mailbox.result",
    "off.mailbox.result_len",
    "off.mailbox.result_total",
    "off.mailbox.source",
    "off.mailbox.source_len",
    "off.mailbox.state",
    "off.mailbox.status",
    "off.mailbox.timeout_ms",
    "off.mailbox.value",
    "off.mailbox.value_kind",
    "off.mailbox.value_type",
    "size.mailbox.output",
    "size.mailbox.result",
    "size.mailbox.source",
    "size.mailbox.value_type",
)


@dataclass(frozen=True)
class DebugInfo:
    """The decoded table; index it by name."""

    address: int
    abi: int
    version: str
    release: str
    fields: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        try:
            return self.fields[name]
        except KeyError:
            raise _too_old(name) from None

    def get(self, name: str) -> int | None:
        """Look up a name that a module may lack."""
        return self.fields.get(name)

    @property
    def layout_size(self) -> int:
        """Return the size of the layout table, which only the linker of the module knows."""
        size = self.get("size.layout_table")
        if size is not None:
            return size
        return self["addr.layout_table_end"] - self["addr.layout_table"]

    def group(self, prefix: str) -> dict[str, int]:
        """Return the fields below ``prefix``, in the module's order, without the prefix."""
        start = prefix + "."
        return {n[len(start) :]: v for n, v in self.fields.items() if n.startswith(start)}


def _too_old(name: str) -> NotReadyError:
    return NotReadyError(
        f"the module's kpy_debug_info has no {name}, which this gdb_kpy needs",
        "rebuild with make and reload the module",
    )


def _text(raw: bytes, address: int, what: str) -> str:
    text = raw.split(b"\0", 1)[0]
    if not text.isascii() or not text.decode("ascii").isprintable():
        raise CorruptError(address, what, "printable text", repr(text))
    return text.decode("ascii")


def parse(read: Read, address: int) -> DebugInfo:
    """Decode the table at ``address``; every count is checked before it is used."""
    header = read(address, _HEADER.size)
    magic, abi, count, field_size, _reserved, version, release = _HEADER.unpack(header)
    if magic != MAGIC:
        raise CorruptError(address, "kpy_debug_info", MAGIC.decode(), repr(magic))
    if abi != ABI:
        raise NotReadyError(
            f"the module speaks debug ABI {abi}, this gdb_kpy knows {ABI}",
            "rebuild with make and reload the module",
        )
    if field_size != _FIELD.size:
        raise CorruptError(address, "kpy_debug_info.field_size", _FIELD.size, field_size)
    if not 0 < count <= _MOST_FIELDS:
        raise CorruptError(address, "kpy_debug_info.n_fields", f"1 to {_MOST_FIELDS}", count)
    first = address + _HEADER.size
    fields: dict[str, int] = {}
    for index, (raw, value) in enumerate(_FIELD.iter_unpack(read(first, count * field_size))):
        where = first + index * field_size
        name = _text(raw, where, "name in kpy_debug_info")
        if not name or name in fields:
            raise CorruptError(where, "name in kpy_debug_info", "a new name", repr(name))
        fields[name] = value
    for name in REQUIRED:
        if name not in fields:
            raise _too_old(name)
    return DebugInfo(
        address,
        abi,
        _text(version, address, "kpy_debug_info.version"),
        _text(release, address, "kpy_debug_info.release"),
        fields,
    )
