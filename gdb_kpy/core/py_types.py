# SPDX-License-Identifier: GPL-2.0-or-later
"""Types of Python objects: which kind of object a type makes, its bases and its attributes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, FaultError
from gdb_kpy.core.memory import Read
from gdb_kpy.core.qstr import Qstrs

_MOST_BASES = 100
_SLOTS = ("print", "iter", "parent", "locals_dict")

#: Types that only their own file knows, by name: native ones whose name is not a user's.
_BY_NAME = {name: name for name in ("dict_view", "original", "re", "match", "Var", "mem")} | {
    "struct": "uctypes"
}


@dataclass(frozen=True)
class PyType:
    """A type; ``kind`` says how its objects are to be read."""

    address: int
    name: str
    kind: str
    flags: int
    parent: int  # a type or a tuple of them; 0: object alone
    locals_dict: int  # 0: none
    prints: bool  # its own way


class Types:
    """Decodes types, each once per stop."""

    def __init__(self, read: Read, info: DebugInfo, qstrs: Qstrs) -> None:
        self._read = read
        self._info = info
        self._qstrs = qstrs
        self._known: dict[int, PyType] = {}
        self._kinds = {address: name for name, address in info.group("type").items()}
        self._type_type = info["type.type"]
        offsets = {name: info[f"off.type.slot_{name}"] for name in _SLOTS}
        self._slot_at = offsets
        self._slots = info["off.type.slots"]

    def forget(self) -> None:
        """Drop what was read, as the guest ran; the built-in types are constant."""
        self._known = {at: type for at, type in self._known.items() if at in self._kinds}

    def address_of(self, kind: str) -> int:
        """Return the address of a built-in type."""
        return self._info[f"type.{kind}"]

    def get(self, address: int) -> PyType:
        """Decode the type at an address; raises CorruptError when there is none."""
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = self._decode(address)
        return found

    def is_type(self, address: int) -> bool:
        """Say whether a type is at an address."""
        try:
            self.get(address)
        except (CorruptError, FaultError):
            return False
        return True

    def _decode(self, address: int) -> PyType:
        try:
            raw = self._read(address, self._slots)
        except FaultError:
            raise CorruptError(address, "type", "readable memory", "none") from None
        (own,) = struct.unpack_from("<Q", raw)
        if own != self._type_type:
            raise CorruptError(address, "type", "a type object", f"type {own:#x}")
        flags, name = (
            int.from_bytes(raw[at : at + 2], "little")
            for at in (self._info["off.type.flags"], self._info["off.type.name"])
        )
        text = self._qstrs.text(name)
        slots = {which: self._slot(address, raw[at]) for which, at in self._slot_at.items()}
        kind = self._kind(address, text, flags, slots)
        return PyType(
            address,
            text,
            kind,
            flags,
            slots["parent"],
            slots["locals_dict"],
            bool(slots["print"]),
        )

    def _slot(self, address: int, index: int) -> int:
        if not index:
            return 0
        raw = self._read(address + self._slots + 8 * (index - 1), 8)
        return int.from_bytes(raw, "little")

    def _kind(self, address: int, name: str, flags: int, slots: dict[str, int]) -> str:
        if flags & self._info["flag.type.instance"]:
            return "instance"
        kind = self._kinds.get(address)
        if kind == "OSError":
            return "exception"
        if kind is not None:
            return kind
        if slots["print"] == self._info["addr.exception_print"]:
            return "exception"
        if slots["parent"] == self._info["type.tuple"]:
            return "namedtuple"
        if not name and slots["print"]:
            return "cell"
        return _BY_NAME.get(name, "")

    def bases(self, type: PyType) -> list[int]:
        """Return the addresses of a type's direct bases, without object."""
        if not type.parent:
            return []
        info = self._info
        (own,) = struct.unpack("<Q", self._read(type.parent, 8))
        if own != info["type.tuple"]:
            return [type.parent]
        (count,) = struct.unpack("<Q", self._read(type.parent + info["off.tuple.len"], 8))
        if count > _MOST_BASES:
            raise CorruptError(type.parent, "bases", f"at most {_MOST_BASES}", count)
        raw = self._read(type.parent + info["off.tuple.items"], 8 * count)
        return list(struct.unpack(f"<{count}Q", raw))

    def lineage(self, type: PyType) -> Iterator[PyType]:
        """Iterate over a type and its bases in the order in which attributes are looked up."""
        seen = 0
        pending = [type.address]
        object_type = self._info["type.object"]
        while pending:
            address = pending.pop(0)
            if address == object_type:
                continue
            seen += 1
            if seen > _MOST_BASES:
                raise CorruptError(address, "bases", f"at most {_MOST_BASES}", "more")
            here = self.get(address)
            yield here
            pending[:0] = self.bases(here)
