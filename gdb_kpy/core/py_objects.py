# SPDX-License-Identifier: GPL-2.0-or-later
"""Python objects in memory: words to values, and what is inside of an object."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Callable

from gdb_kpy.core.btf import Btf
from gdb_kpy.core.bulk import warm
from gdb_kpy.core.c_values import ArrayPtr, EnumValue, Ptr, StructPtr, StructType, Symbol
from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import CorruptError, FaultError, NotReadyError
from gdb_kpy.core.memory import Read, cstring, u32, u64
from gdb_kpy.core.py_types import PyType, Types
from gdb_kpy.core.qstr import Qstrs
from struct_layout.model import Enum, LayoutError, Record, Type, strip
from struct_layout.table import Table

_REPRESENTATION = 0  # MICROPY_OBJ_REPR_A
_HEADER = 48  # bytes; most objects are no larger
_LONGEST = 1 << 32
#: Containers whose items lie one after the other: where length and items are.
_SEQUENCES = {"list": "list", "tuple": "tuple", "namedtuple": "tuple", "attrtuple": "tuple"}
_MAPS = {"dict": "dict.map", "ordereddict": "dict.map", "instance": "instance.members"}


@dataclass(frozen=True)
class Obj:
    """An object in the guest that has no plain value here."""

    address: int
    type: PyType

    @property
    def kind(self) -> str:
        """Return how it is to be read; empty for kinds that are nothing but their name."""
        return self.type.kind


class Objects:
    """Decodes objects; what it keeps is dropped by ``forget`` when the guest may have run."""

    def __init__(
        self, read: Read, info: DebugInfo, table: Callable[[], Table | None] = lambda: None
    ) -> None:
        if info["cfg.obj_repr"] != _REPRESENTATION:
            raise NotReadyError(
                f"the module has object representation {info['cfg.obj_repr']}", "this kpy reads 0"
            )
        self.read = read
        self.info = info
        self._load_table = table
        self.qstrs = Qstrs(read, info)
        self.types = Types(read, info, self.qstrs)
        self._constants = {
            info["obj.none"]: None,
            info["obj.false"]: False,
            info["obj.true"]: True,
        }
        self._btf: dict[int, Btf] = {}
        self._most = u64(read, info["addr.state"] + info["off.state.heap_size"])

    @cached_property
    def table(self) -> Table | None:
        """The layout table, a megabyte that most expressions do not need."""
        return self._load_table()

    def forget(self) -> None:
        """Drop what may have changed, as the guest ran."""
        self.qstrs.forget()
        self.types.forget()
        self._btf.clear()

    # ---- Words -------------------------------------------------------------------------------

    def value(self, word: int) -> object:
        """Decode a word: a plain value, a value of the kernel's, or an Obj."""
        if word & 1:
            return (word - (1 << 64) if word >> 63 else word) >> 1
        if word & 7 == 2:
            return self.qstrs.text(word >> 3)
        if word in self._constants:
            return self._constants[word]
        found = self.object(word)
        plain = _PLAIN.get(found.kind)
        return plain(self, found.address) if plain is not None else found

    def object(self, word: int) -> Obj:
        """Return the object that a word points to; raises CorruptError when there is none."""
        if word == 0:
            raise CorruptError(0, "object", "an object", "a null pointer")
        if word & 3:
            raise CorruptError(word, "object", "an aligned address", f"{word:#x}")
        try:
            (type,) = struct.unpack("<Q", self.read(word, 8))
        except FaultError:
            raise CorruptError(word, "object", "readable memory", "none") from None
        try:
            return Obj(word, self.types.get(type))
        except CorruptError:
            raise CorruptError(word, "object", "a type", f"{type:#x}") from None

    def field(self, obj: Obj, name: str) -> int:
        """Read a word of an object."""
        return u64(self.read, obj.address + self.info[f"off.{name}"])

    def warm(self, words: Iterable[int], most_bytes: int) -> None:
        """Read objects in bulk, and the bytes of those that are strings."""
        pointers = [word for word in words if word and not word & 3]
        warm(self.read, ((word, _HEADER) for word in pointers))
        spans = []
        for word in pointers:
            try:
                found = self.object(word)
                if found.kind in ("str", "bytes", "bytearray"):
                    size = min(self.field(found, "str.len"), most_bytes)
                    spans.append((self.field(found, "str.data"), size))
                elif found.kind == "int":
                    spans.append((self.field(found, "int.digits"), 16))
                elif found.kind in ("list", "dict", "set"):
                    spans.append((self.field(found, "list.items"), 64))
            except (CorruptError, FaultError):
                continue  # shown where it is used
        warm(self.read, spans)

    # ---- Plain values ------------------------------------------------------------------------

    def big_int(self, address: int) -> int:
        """Decode an int of many digits."""
        info, read = self.info, self.read
        count = self._checked(u64(read, address + info["off.int.len"]), address, "int", 4)
        size = info["size.mpz_digit"]
        raw = read(u64(read, address + info["off.int.digits"]), count * size) if count else b""
        bits = info["cfg.mpz_dig_size"]
        if bits == 8 * size:
            value = int.from_bytes(raw, "little")
        else:
            digits = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
            value = sum(digit << (bits * i) for i, digit in enumerate(digits))
        negative = u64(read, address + info["off.int.flags"]) >> info["bit.int.negative"] & 1
        return -value if negative else value

    def raw_bytes(self, address: int) -> bytes:
        """Return the bytes of a str, bytes, bytearray object."""
        size = self._checked(u64(self.read, address + self.info["off.str.len"]), address, "str", 1)
        at = u64(self.read, address + self.info["off.str.data"])
        if not size:
            return b""
        try:
            return self.read(at, size)
        except FaultError:
            raise CorruptError(address, "str", f"{size} readable bytes", f"{at:#x}") from None

    def _str(self, address: int) -> str:
        return self.raw_bytes(address).decode("utf-8", "surrogateescape")

    def _symbol(self, address: int) -> Symbol:
        name = self.value(u64(self.read, address + self.info["off.symbol.name"]))
        if not isinstance(name, str):
            raise CorruptError(address, "Symbol", "a name", repr(name))
        return Symbol(name, u64(self.read, address + self.info["off.symbol.value"]))

    def _struct(self, address: int) -> StructType:
        return StructType(self._record(address + self.info["off.struct.type"]))

    def _struct_ptr(self, address: int) -> StructPtr:
        record = self._record(address + self.info["off.ptr.type"])
        return StructPtr(record, u64(self.read, address + self.info["off.ptr.value"]))

    def _ptr(self, address: int) -> Ptr:
        type = self.ctype(address + self.info["off.ptr.type"])
        return Ptr(type, u64(self.read, address + self.info["off.ptr.value"]))

    def _array_ptr(self, address: int) -> ArrayPtr:
        info = self.info
        type = self.ctype(address + info["off.array_ptr.type"])
        count = u32(self.read, address + info["off.array_ptr.count"])
        value = u64(self.read, address + info["off.array_ptr.value"])
        return ArrayPtr(type, None if count == info["obj.flexible"] else count, value)

    def _enum_value(self, address: int) -> EnumValue:
        type = strip(self.ctype(address + self.info["off.enum_value.type"]))
        if not isinstance(type, Enum):
            raise CorruptError(address, "EnumValue", "an enum", type.__class__.__name__)
        word = u64(self.read, address + self.info["off.enum_value.value"])
        return EnumValue(type, word - (1 << 64) if type.signed and word >> 63 else word)

    def _record(self, address: int) -> Record:
        type = strip(self.ctype(address))
        if not isinstance(type, Record):
            raise CorruptError(address, "C type", "a struct", type.__class__.__name__)
        return type

    def ctype(self, address: int) -> Type:
        """Decode a struct kpy_ctype."""
        info = self.info
        source = u64(self.read, address + info["off.ctype.in"])
        number = u32(self.read, address + info["off.ctype.id"])
        if source == info["addr.layout_types"]:
            if self.table is None:
                raise NotReadyError("the module's layout table cannot be read", "see `kpy status`")
            try:
                return self.table.type(number)
            except LayoutError as error:
                raise CorruptError(address, "C type", "a type", f"{number} ({error})") from None
        if not source:
            raise CorruptError(address, "C type", "a source of types", "none")
        if source not in self._btf:
            try:
                self._btf[source] = Btf(self.read, info, source)
            except FaultError:
                raise CorruptError(address, "C type", "a source of types", hex(source)) from None
        return self._btf[source].type(number)

    # ---- Containers --------------------------------------------------------------------------

    def length(self, obj: Obj) -> int | None:
        """Return the number of items, None for what has none; raises CorruptError."""
        kind = obj.kind
        if kind in _SEQUENCES:
            return self._length(obj, f"{_SEQUENCES[kind]}.len", 8)
        if kind in ("dict", "ordereddict"):
            return self._used(obj.address + self.info["off.dict.map"], kind)
        if kind in ("set", "frozenset"):
            return self._length(obj, "set.used", 8)
        if kind in ("array", "bytearray", "memoryview"):
            return self._length(obj, "array.len", 1)
        if kind == "deque":
            alloc, get, put = self._deque(obj)
            return (put - get) % alloc
        if kind == "range":
            return len(self.range(obj))
        if kind == "buffer":
            memory = self._buffer(obj)
            return memory[1] if memory else None
        return None

    def items(self, obj: Obj, start: int, stop: int) -> list[int]:
        """Return words of a list, tuple, deque or set from ``start`` up to ``stop``."""
        length = self.length(obj) or 0
        start, stop = min(start, length), min(stop, length)
        kind = obj.kind
        if kind in _SEQUENCES:
            at = obj.address + self.info["off.tuple.items"]
            if kind == "list":
                at = self.field(obj, "list.items")
            return self._words(obj, at + 8 * start, stop - start)
        if kind == "deque":
            alloc, get, _put = self._deque(obj)
            at = self.field(obj, "deque.items")
            first = (get + start) % alloc
            one = min(stop - start, alloc - first)
            return self._words(obj, at + 8 * first, one) + self._words(obj, at, stop - start - one)
        alloc = self._length(obj, "set.alloc", 8)
        words = self._words(obj, self.field(obj, "set.table"), alloc)
        filled = [word for word in words if word and word != self.info["obj.sentinel"]]
        return filled[start:stop]

    def pairs(self, obj: Obj) -> list[tuple[int, int]]:
        """Return the (key, value) words of a dict, or of an instance's attributes."""
        return self.map_pairs(obj.address + self.info[f"off.{_MAPS[obj.kind]}"], obj.kind)

    def map_pairs(self, at: int, what: str) -> list[tuple[int, int]]:
        """Return the (key, value) words of a map."""
        alloc = u64(self.read, at + self.info["off.map.alloc"])
        self._checked(alloc, at, what, 16)
        table = u64(self.read, at + self.info["off.map.table"])
        try:
            raw = self.read(table, 16 * alloc) if alloc else b""
        except FaultError:
            raise CorruptError(at, what, f"{alloc} readable entries", f"{table:#x}") from None
        empty = (0, self.info["obj.sentinel"])
        return [(key, value) for key, value in struct.iter_unpack("<QQ", raw) if key not in empty]

    def lookup(self, at: int, name: str, what: str) -> int | None:
        """Return the word that a map has for a name."""
        number = self.qstrs.number(name)
        if number is None:
            return None
        key = number << 3 | 2
        return next((value for found, value in self.map_pairs(at, what) if found == key), None)

    def range(self, obj: Obj) -> range:
        """Decode a range."""
        start, stop, step = (
            _signed(self.field(obj, f"range.{name}")) for name in ("start", "stop", "step")
        )
        if not step:
            raise CorruptError(obj.address, "range", "a step", 0)
        return range(start, stop, step)

    def array(self, obj: Obj) -> tuple[str, int, bytes]:
        """Return type code, number of elements and bytes of an array or memoryview."""
        info = self.info
        word = self.field(obj, "array.typecode")
        bits = info["bits.array.typecode"]
        code = chr(word & (1 << bits) - 1 & ~info["flag.array.writable"])
        size = ARRAY_SIZES.get(code)
        if size is None:
            raise CorruptError(obj.address, obj.kind, "a type code", repr(code))
        count = self._length(obj, "array.len", size)
        at = self.field(obj, "array.items")
        if obj.kind == "memoryview":
            at += (word >> bits) * size
        try:
            return code, count, self.read(at, count * size) if count else b""
        except FaultError:
            raise CorruptError(obj.address, obj.kind, "readable items", f"{at:#x}") from None

    def buffer(self, obj: Obj) -> tuple[int, int] | None:
        """Return address and size of a buffer's memory, None when it was freed."""
        return self._buffer(obj)

    def _buffer(self, obj: Obj) -> tuple[int, int] | None:
        memory = self.field(obj, "buffer.memory")
        info = self.info
        if not memory or self.read(memory + info["off.kpy_buffer.freed"], 1) != b"\0":
            return None
        size = u64(self.read, memory + info["off.kpy_buffer.n"])
        return u64(self.read, memory + info["off.kpy_buffer.data"]), size

    # ---- Names -------------------------------------------------------------------------------

    def function_name(self, address: int) -> str:
        """Return the name of a function of bytecode, which stands in its prelude."""
        info = self.info
        code = u64(self.read, address + info["off.fun_bc.bytecode"])
        try:
            raw = self.read(code, 32)
        except FaultError:
            raise CorruptError(address, "function", "bytecode", f"{code:#x}") from None
        at = 0
        for _part in range(2):  # the signature, then sizes
            while at < len(raw) and raw[at] & 0x80:
                at += 1
            at += 1
        number = 0
        while at < len(raw):
            number = number << 7 | raw[at] & 0x7F
            if not raw[at] & 0x80:
                break
            at += 1
        else:
            raise CorruptError(address, "function", "a prelude", raw.hex())
        table_at = info.get("off.module_context.qstr_table")
        if table_at is not None:
            context = u64(self.read, address + info["off.fun_bc.context"])
            table = u64(self.read, context + table_at)
            size = info["size.qstr_short"]
            number = int.from_bytes(self.read(table + number * size, size), "little")
        return self.qstrs.text(number)

    def fields_of(self, type: PyType) -> list[str]:
        """Return the field names of a named tuple's type."""
        info = self.info
        count = u64(self.read, type.address + info["off.namedtuple_type.n_fields"])
        self._checked(count, type.address, "named tuple type", 8)
        return self._qstr_array(type.address + info["off.namedtuple_type.fields"], count)

    def field_names(self, obj: Obj) -> list[str]:
        """Return the field names of a tuple that has some."""
        if obj.kind == "namedtuple":
            return self.fields_of(obj.type)
        count = self.length(obj) or 0
        at = u64(self.read, obj.address + self.info["off.tuple.items"] + 8 * count)
        return self._qstr_array(at, count)

    def _qstr_array(self, at: int, count: int) -> list[str]:
        size = self.info["size.qstr"]
        raw = self.read(at, count * size) if count else b""
        numbers = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
        return [self.qstrs.text(number) for number in numbers]

    def text_at(self, address: int) -> str:
        """Read a C string."""
        return cstring(self.read, address)

    # ---- Checks ------------------------------------------------------------------------------

    def _words(self, obj: Obj, at: int, count: int) -> list[int]:
        if count <= 0:
            return []
        try:
            return list(struct.unpack(f"<{count}Q", self.read(at, 8 * count)))
        except FaultError:
            raise CorruptError(
                obj.address, obj.type.name, f"{count} readable items", f"{at:#x}"
            ) from None

    def _length(self, obj: Obj, name: str, size: int) -> int:
        return self._checked(self.field(obj, name), obj.address, obj.type.name, size)

    def _used(self, at: int, what: str) -> int:
        used = u64(self.read, at + self.info["off.map.used"]) >> self.info["shift.map.used"]
        return self._checked(used, at, what, 16)

    def _deque(self, obj: Obj) -> tuple[int, int, int]:
        alloc = self._length(obj, "deque.alloc", 8)
        get, put = self.field(obj, "deque.i_get"), self.field(obj, "deque.i_put")
        if not alloc or get >= alloc or put >= alloc:
            raise CorruptError(obj.address, "deque", f"places below {alloc}", f"{get}, {put}")
        return alloc, get, put

    def _checked(self, count: int, address: int, what: str, size: int) -> int:
        """Check a count of things of a size against the heap that they must lie in."""
        most = max(self._most, 1 << 20)
        if count * size > most and (size != 1 or count > _LONGEST):
            raise CorruptError(address, what, f"at most {most // size} items", count)
        return count


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


#: Bytes of an element by type code; 1 is how MicroPython marks a bytearray.
ARRAY_SIZES = {"\x01": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "L": 8}
ARRAY_SIZES |= {"q": 8, "Q": 8, "O": 8, "P": 8, "S": 8}

_PLAIN = {
    "int": Objects.big_int,
    "str": Objects._str,
    "bytes": Objects.raw_bytes,
    "symbol": Objects._symbol,
    "struct": Objects._struct,
    "struct_ptr": Objects._struct_ptr,
    "ptr": Objects._ptr,
    "array_ptr": Objects._array_ptr,
    "enum_value": Objects._enum_value,
}
