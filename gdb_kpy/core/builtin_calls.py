# SPDX-License-Identifier: GPL-2.0-or-later
"""The functions that an expression may call, done here on what is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from gdb_kpy.core import c_values
from gdb_kpy.core.attributes import Attributes
from gdb_kpy.core.c_values import ArrayPtr, EvalError, StructPtr, StructType
from gdb_kpy.core.containers import Containers, number
from gdb_kpy.core.errors import FaultError
from gdb_kpy.core.memory import MASK64, u64
from gdb_kpy.core.names import Scope
from gdb_kpy.core.py_objects import Obj, Objects
from gdb_kpy.core.py_repr import Repr
from struct_layout.model import Record, size_of

_MOST_BYTES = 1 << 20
_RESULTS = "off.mp_state.vm.results"


class Caller:
    """Does the calls."""

    def __init__(
        self,
        objects: Objects,
        scope: Scope,
        attributes: Attributes,
        containers: Containers,
        repr: Repr,
    ) -> None:
        self._objects = objects
        self._scope = scope
        self._attributes = attributes
        self._containers = containers
        self._repr = repr

    def call(self, name: str, args: Sequence[object]) -> object:
        """Call a function of ``CALLS``."""
        function, least, most = CALLS[name]
        if not least <= len(args) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise EvalError("TypeError", f"{name}() takes {wanted} arguments, not {len(args)}")
        return function(self, *args)

    def _number(self, value: object) -> int:
        found = number(value)
        if found is None:
            name = self._repr.name_of_type(value)
            raise EvalError("TypeError", f"can't convert '{name}' to int")
        return found

    def _len(self, value: object) -> object:
        return self._containers.length(value)

    def _int(self, value: object = 0, base: object = 10) -> object:
        if isinstance(value, (str, bytes)):
            text = value if isinstance(value, str) else value.decode("latin-1")
            try:
                return int(text, self._number(base))
            except ValueError:
                shown = self._repr.text(value)
                raise EvalError("ValueError", f"invalid syntax for integer: {shown}") from None
        return self._number(value)

    def _str(self, value: object = "") -> object:
        return self._repr.string(value)

    def _repr_of(self, value: object) -> object:
        return self._repr.text(value)

    def _type(self, value: object) -> object:
        return self._attributes.type_of(value)

    def _hex(self, value: object) -> object:
        return hex(self._number(value))

    def _bin(self, value: object) -> object:
        return bin(self._number(value))

    def _oct(self, value: object) -> object:
        return oct(self._number(value))

    def _abs(self, value: object) -> object:
        return abs(self._number(value))

    def _ord(self, value: object) -> object:
        if not isinstance(value, (str, bytes)) or len(value) != 1:
            raise EvalError("TypeError", "ord() expects one character")
        return ord(value)

    def _chr(self, value: object) -> object:
        return chr(self._number(value))

    def _id(self, value: object) -> object:
        if isinstance(value, Obj):
            return value.address
        raise EvalError("TypeError", "this value has no address that is known here")

    def _list(self, value: object = ()) -> object:
        return list(self._containers.values(value))

    def _tuple(self, value: object = ()) -> object:
        return tuple(self._containers.values(value))

    def _range(self, *bounds: object) -> object:
        return range(*(self._number(bound) for bound in bounds))

    def _sum(self, value: object) -> object:
        return sum(self._number(item) for item in self._containers.values(value))

    def _min(self, value: object) -> object:
        return min(self._number(item) for item in self._containers.values(value))

    def _max(self, value: object) -> object:
        return max(self._number(item) for item in self._containers.values(value))

    def _result(self, wanted: object) -> object:
        """Return what `kpy eval` kept as $kpyN; 0 is the last one."""
        objects = self._objects
        at = self._number(wanted)
        word = u64(objects.read, objects.info["addr.mp_state"] + objects.info[_RESULTS])
        kept = objects.object(word) if word else None
        count = (objects.length(kept) or 0) if kept is not None else 0
        at = at or count
        if kept is None or not 0 < at <= count:
            what = f"no result $kpy{at}" if at else "no result yet"
            raise EvalError("NameError", f"there is {what}")
        (found,) = objects.items(kept, at - 1, at)
        if not found:
            raise EvalError("NameError", f"there is no result $kpy{at}")
        return objects.value(found)

    # ---- The kernel --------------------------------------------------------------------------

    def _record(self, value: object) -> Record:
        if isinstance(value, (StructType, StructPtr)):
            return value.record
        if isinstance(value, str):
            found = self._scope.record(value)
            if found is not None:
                return found
            raise EvalError("KeyError", f"no struct '{value}' in the layout table")
        name = self._repr.name_of_type(value)
        raise EvalError("TypeError", f"'{name}' is no struct, nor its name")

    def _path(self, record: Record, path: object) -> tuple[int, int]:
        """Return offset and size, in bytes, of a member."""
        if not isinstance(path, str):
            raise EvalError("TypeError", "a member is named by a str")
        type, offset, bits = c_values.follow(record, path)
        if bits is not None:
            raise EvalError("TypeError", f"'{path}' is a bitfield")
        return offset // 8, size_of(type) or 0

    def _sizeof(self, value: object, path: object = None) -> object:
        if isinstance(value, ArrayPtr) and path is None:
            return (value.count or 0) * (size_of(value.element) or 0)
        record = self._record(value)
        return record.size if path is None else self._path(record, path)[1]

    def _offsetof(self, value: object, path: object) -> object:
        return self._path(self._record(value), path)[0]

    def _container_of(self, value: object, record_of: object, path: object) -> object:
        record = self._record(record_of)
        return StructPtr(record, (self._number(value) - self._path(record, path)[0]) & MASK64)

    def _lookup_struct(self, name: object) -> object:
        return StructType(self._record(name))

    def _symbol(self, name: object) -> object:
        if not isinstance(name, str):
            raise EvalError("TypeError", "a symbol is named by a str")
        found = self._scope.kernel_symbol(name)
        if found is None:
            raise EvalError("NameError", f"kernel symbol '{name}' not found")
        return found

    def _read(self, value: object, size: int) -> bytes:
        address = self._number(value) & MASK64
        try:
            return self._objects.read(address, size)
        except FaultError:
            raise EvalError("OSError", f"(14, 'bad address {address:#x}')") from None

    def _p(self, value: object, size: int) -> int:
        return int.from_bytes(self._read(value, size), "little")

    def _bytes(self, value: object, size: object = None) -> object:
        if size is None:
            if isinstance(value, bytes):
                return value
            return bytes(self._number(item) & 0xFF for item in self._containers.values(value))
        count = self._number(size)
        if not 0 <= count <= _MOST_BYTES:
            raise EvalError("ValueError", f"between 0 and {_MOST_BYTES} bytes are read")
        return self._read(value, count)


_Function = Callable[..., object]

#: Name -> function, least and most arguments.
CALLS: dict[str, tuple[_Function, int, int]] = {
    "len": (Caller._len, 1, 1),
    "int": (Caller._int, 0, 2),
    "str": (Caller._str, 0, 1),
    "repr": (Caller._repr_of, 1, 1),
    "type": (Caller._type, 1, 1),
    "hex": (Caller._hex, 1, 1),
    "bin": (Caller._bin, 1, 1),
    "oct": (Caller._oct, 1, 1),
    "abs": (Caller._abs, 1, 1),
    "ord": (Caller._ord, 1, 1),
    "chr": (Caller._chr, 1, 1),
    "id": (Caller._id, 1, 1),
    "list": (Caller._list, 0, 1),
    "tuple": (Caller._tuple, 0, 1),
    "bytes": (Caller._bytes, 1, 2),
    "range": (Caller._range, 1, 3),
    "sum": (Caller._sum, 1, 1),
    "min": (Caller._min, 1, 1),
    "max": (Caller._max, 1, 1),
    "sizeof": (Caller._sizeof, 1, 2),
    "offsetof": (Caller._offsetof, 2, 2),
    "container_of": (Caller._container_of, 3, 3),
    "lookup_struct": (Caller._lookup_struct, 1, 1),
    "partial_struct": (Caller._lookup_struct, 1, 1),
    "__kpy__": (Caller._result, 1, 1),
    "symbol": (Caller._symbol, 1, 1),
    "p8": (lambda self, at: self._p(at, 1), 1, 1),
    "p16": (lambda self, at: self._p(at, 2), 1, 1),
    "p32": (lambda self, at: self._p(at, 4), 1, 1),
    "p64": (lambda self, at: self._p(at, 8), 1, 1),
}
