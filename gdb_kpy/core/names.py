# SPDX-License-Identifier: GPL-2.0-or-later
"""What a name means: globals, imported modules, builtins, the kernel's symbols and structs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from gdb_kpy.core.c_values import EvalError, StructType, Symbol
from gdb_kpy.core.errors import CorruptError, FaultError
from gdb_kpy.core.memory import u64
from gdb_kpy.core.py_objects import Objects
from struct_layout.model import Record, strip

_ALIAS = "_{}"  # what became a macro round _NAME, as printk did (commit 337015573718, v5.15)


class Scope:
    """Looks names up in the order in which the REPL does."""

    def __init__(self, objects: Objects, kernel_symbol: Callable[[str], int | None]) -> None:
        self._objects = objects
        self._kernel_symbol = kernel_symbol
        info = objects.info
        state = info["addr.mp_state"]
        self._main = state + info["off.mp_state.vm.dict_main"] + info["off.dict.map"]
        self._loaded = state + info["off.mp_state.vm.loaded_modules"] + info["off.dict.map"]
        self._override = state + info["off.mp_state.vm.builtins_override"]

    def find(self, name: str) -> object:
        """Return the value of a name; raises EvalError when it has none."""
        objects = self._objects
        for at in self._maps():
            word = objects.lookup(at, name, "globals")
            if word is not None:
                return objects.value(word)
        symbol = self.kernel_symbol(name)
        if symbol is not None:
            return symbol
        record = self.record(name)
        if record is not None:
            return StructType(record)
        raise EvalError("NameError", f"name '{name}' isn't defined")

    def kernel_symbol(self, name: str) -> Symbol | None:
        """Return the kernel's symbol of a name, None when there is none."""
        for each in (name, _ALIAS.format(name)):
            address = self._kernel_symbol(each)
            if address is not None:
                return Symbol(each, address)
        return None

    def is_global(self, name: str) -> bool:
        """Say whether the user's own code has given the name a value."""
        return self._objects.lookup(self._main, name, "globals") is not None

    def record(self, name: str) -> Record | None:
        """Find a struct or union by its name, or a typedef of one, in the layout table."""
        table = self._objects.table
        if table is None:
            return None
        kind, _, tag = name.rpartition(" ")
        for found in table.find(tag):
            plain = strip(found)
            if isinstance(plain, Record) and kind in ("", plain.kind):
                return plain
        return None

    def names(self) -> list[str]:
        """Return all names that Python knows."""
        found: set[str] = set()
        for at in self._maps():
            found.update(self.keys(at))
        return sorted(found)

    def keys(self, at: int) -> Iterator[str]:
        """Iterate over the names in a map."""
        try:
            pairs = self._objects.map_pairs(at, "globals")
        except (CorruptError, FaultError):
            return
        for key, _value in pairs:
            if key & 7 == 2:
                try:
                    yield self._objects.qstrs.text(key >> 3)
                except CorruptError:
                    continue

    def _maps(self) -> Iterator[int]:
        info = self._objects.info
        yield self._main
        yield self._loaded
        override = u64(self._objects.read, self._override)
        if override:
            yield override + info["off.dict.map"]
        yield info["addr.builtins"] + info["off.dict.map"]
        yield info["addr.builtin_modules"]
        yield info["addr.extensible_modules"]
