# SPDX-License-Identifier: GPL-2.0-or-later
"""Items of values: indexes, slices, keys, lengths, and values as plain ones of the host."""

from __future__ import annotations

from collections.abc import Iterator

from gdb_kpy.core import c_values
from gdb_kpy.core.c_values import ArrayPtr, EvalError, Ptr, StructPtr
from gdb_kpy.core.py_objects import Obj, Objects
from gdb_kpy.core.py_repr import Repr, array_items

_MOST = 100_000  # items that an expression may look at
_DEPTH = 20
_LISTS = ("list", "tuple", "namedtuple", "attrtuple", "deque")
_SETS = ("set", "frozenset")
_DICTS = ("dict", "ordereddict")
_ARRAYS = ("array", "bytearray", "memoryview")
_HOST = (list, tuple, dict, set, str, bytes, range)


class Containers:
    """Looks into containers, of the guest and of the host."""

    def __init__(self, objects: Objects, repr: Repr) -> None:
        self._objects = objects
        self._repr = repr

    def inner(self, value: object) -> object:
        """Return the built-in object inside an instance of a class that extends its type."""
        if isinstance(value, Obj) and value.kind == "instance":
            native = self._repr.native(value)
            return value if native is None else native
        return value

    def length(self, value: object) -> int:
        """Return len(value)."""
        if isinstance(value, _HOST):
            return len(value)
        if isinstance(value, ArrayPtr):
            if value.count is None:
                raise EvalError("TypeError", "the length of this array is not known")
            return value.count
        found = self.inner(value)
        if isinstance(found, _HOST):
            return len(found)
        length = self._objects.length(found) if isinstance(found, Obj) else None
        if length is None:
            name = self._repr.name_of_type(value)
            raise EvalError("TypeError", f"object of type '{name}' has no len()")
        return length

    def item(self, value: object, key: object) -> object:
        """Return value[key]."""
        if isinstance(key, slice):
            return self._slice(value, key)
        if isinstance(value, (StructPtr, Ptr, ArrayPtr)):
            return c_values.index(self._objects.read, value, self._number(key))
        value = self.inner(value)
        if isinstance(value, dict):
            return self._host_key(value, key)
        if isinstance(value, Obj) and value.kind in _DICTS:
            return self._key(value, key)
        length = self.length(value)
        at = self._number(key)
        if at < 0:
            at += length
        if not 0 <= at < length:
            name = self._repr.name_of_type(value)
            raise EvalError("IndexError", f"{name} index out of range")
        if isinstance(value, Obj):
            return self._at(value, at, at + 1)[0]
        if isinstance(value, set):
            raise self._refuse(value)
        return value[at]  # type: ignore[index]

    def values(self, value: object) -> Iterator[object]:
        """Iterate over the items, a dict's keys."""
        if isinstance(value, ArrayPtr):
            count = self._bounded(self.length(value))
            yield from (c_values.index(self._objects.read, value, i) for i in range(count))
            return
        value = self.inner(value)
        if isinstance(value, _HOST):
            yield from value
        elif isinstance(value, Obj) and value.kind in _DICTS:
            for key, _value in self._objects.pairs(value):
                yield self._objects.value(key)
        elif isinstance(value, Obj) and value.kind in (*_LISTS, *_SETS, *_ARRAYS, "range"):
            yield from self._at(value, 0, self._bounded(self.length(value)))
        else:
            name = self._repr.name_of_type(value)
            raise EvalError("TypeError", f"'{name}' object isn't iterable here")

    def plain(self, value: object, depth: int = 0) -> object:
        """Return a value as one of the host's, as far as it has one; used to compare."""
        value = self.inner(value)
        if depth > _DEPTH:
            raise EvalError("RuntimeError", "maximum recursion depth exceeded")
        address = c_values.address_of(value)
        if address is not None:
            return address
        if isinstance(value, c_values.EnumValue):
            return value.value
        if not isinstance(value, Obj):
            return value
        if value.kind in _DICTS:
            return {
                self._hashable(self.plain(self._objects.value(key), depth + 1)): self.plain(
                    self._objects.value(item), depth + 1
                )
                for key, item in self._objects.pairs(value)
            }
        if value.kind == "bytearray":
            return self._objects.raw_bytes(value.address)
        if value.kind == "range":
            return self._objects.range(value)
        if value.kind not in (*_LISTS, *_SETS, *_ARRAYS):
            return value
        items = [self.plain(item, depth + 1) for item in self.values(value)]
        if value.kind in _SETS:
            return {self._hashable(item) for item in items}
        return items if value.kind in ("list", "array", "deque") else tuple(items)

    # ---- Inside ------------------------------------------------------------------------------

    def _at(self, value: Obj, start: int, stop: int) -> list[object]:
        if value.kind in _LISTS or value.kind in _SETS:
            if value.kind in _SETS and stop - start < (self._objects.length(value) or 0):
                raise self._refuse(value)
            words = self._objects.items(value, start, stop)
            self._objects.warm(words, 64)
            return [self._objects.value(word) for word in words]
        if value.kind == "range":
            return list(self._objects.range(value)[start:stop])
        if value.kind in _ARRAYS:
            return array_items(self._objects, value)[1][start:stop]
        raise self._refuse(value)

    def _slice(self, value: object, key: slice) -> object:
        if isinstance(value, (StructPtr, Ptr)):
            raise self._refuse(value)
        value = self.inner(value)
        places = range(*key.indices(self.length(value)))
        if isinstance(value, (str, bytes, list, tuple, range)):
            return value[key]
        self._bounded(len(places))
        if isinstance(value, ArrayPtr):
            return [c_values.index(self._objects.read, value, i) for i in places]
        if not isinstance(value, Obj) or value.kind in _SETS or not len(places):
            if isinstance(value, Obj) and value.kind in (*_LISTS, *_ARRAYS, "range"):
                return () if value.kind.endswith("tuple") else []
            raise self._refuse(value)
        first, last = min(places[0], places[-1]), max(places[0], places[-1])
        items = self._at(value, first, self._bounded(last + 1 - first) + first)
        picked = [items[i - first] for i in places]
        if value.kind == "bytearray":
            return bytes(item for item in picked if isinstance(item, int))
        return tuple(picked) if value.kind.endswith("tuple") else picked

    def _key(self, value: Obj, key: object) -> object:
        wanted = self.plain(key)
        for found, item in self._objects.pairs(value):
            known = self._objects.value(found)
            if same(known, wanted) or (isinstance(known, Obj) and same(self.plain(known), wanted)):
                return self._objects.value(item)
        raise EvalError("KeyError", self._repr.text(key))

    def _host_key(self, value: dict[object, object], key: object) -> object:
        try:
            return value[key]
        except (KeyError, TypeError):
            raise EvalError("KeyError", self._repr.text(key)) from None

    def _number(self, key: object) -> int:
        found = number(key)
        if found is None:
            name = self._repr.name_of_type(key)
            raise EvalError("TypeError", f"an index must be an int, not '{name}'")
        return found

    def _bounded(self, count: int) -> int:
        if count > _MOST:
            raise EvalError("ValueError", f"{count} items are too many; {_MOST} may be looked at")
        return count

    @staticmethod
    def _hashable(value: object) -> object:
        if isinstance(value, (list, set, dict)):
            return tuple(value)
        return value

    def _refuse(self, value: object) -> EvalError:
        name = self._repr.name_of_type(value)
        return EvalError("TypeError", f"'{name}' object isn't subscriptable")


def number(value: object) -> int | None:
    """Return the int that a value is or stands for."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, c_values.EnumValue):
        return value.value
    return c_values.address_of(value)


def same(one: object, other: object) -> bool:
    """Say whether two plain values are equal, where str and bytes never are."""
    if isinstance(one, (str, bytes)) or isinstance(other, (str, bytes)):
        return type(one) is type(other) and one == other
    return bool(one == other)
