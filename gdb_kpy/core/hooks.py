# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's hooks."""

from __future__ import annotations

from collections.abc import Iterator

from gdb_kpy.core.errors import CorruptError
from gdb_kpy.core.memory import u64
from gdb_kpy.core.py_objects import Obj, Objects

_MOST = 1 << 16


class Hook:
    """A hook at its address."""

    def __init__(self, objects: Objects, address: int) -> None:
        self._objects = objects
        self._address = address
        read, info = objects.read, objects.info
        kind = u64(read, self.at("kind"))
        self.kind = objects.text_at(u64(read, kind + info["off.hook_kind.name"]))
        self.target = objects.text_at(self.at("target"))
        self.handler = u64(read, self.at("handler"))
        self.last_error = u64(read, self.at("last_error"))
        self.enabled = read(self.at("enabled"), 1) != b"\0"
        self.removed = read(self.at("removed"), 1) != b"\0"

    def at(self, name: str) -> int:
        """Return the address of a field."""
        return self._address + self._objects.info[f"off.hook.{name}"]

    def counter(self, name: str) -> int:
        """Return a count."""
        return u64(self._objects.read, self.at(name))

    def missed(self) -> dict[str, int]:
        """Return how many calls could not enter Python, by the reason."""
        return {
            name: u64(self._objects.read, self._address + offset)
            for name, offset in self._objects.info.group("off.hook.missed").items()
        }


def hook_of(objects: Objects, value: Obj) -> Hook:
    """Return the hook that a Python object shows."""
    return Hook(objects, objects.field(value, "hook_object.hook"))


def walk(objects: Objects) -> Iterator[Hook]:
    """Iterate over all hooks and callbacks, the oldest first.

    Raises CorruptError where the list does not end.
    """
    read, info = objects.read, objects.info
    head = info["addr.hooks"]
    at = u64(read, head)
    for _ in range(_MOST):
        if at == head:
            return
        yield Hook(objects, at - info["off.hook.list"])
        at = u64(read, at)
    raise CorruptError(head, "list of hooks", f"at most {_MOST}", "more")
