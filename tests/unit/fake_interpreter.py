# SPDX-License-Identifier: GPL-2.0-or-later
"""An interpreter's memory made by hand, with offsets that no real one has."""

from __future__ import annotations

import struct

from mock_memory import MockMemory

from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.py_objects import Objects

HEAP = 0xFFFFA00000000000
TYPES = 0xFFFFFFFFC0001000
EXCEPTION_PRINT = 0xFFFFFFFFC0099000

NUMBERS = {
    "cfg.obj_repr": 0,
    "cfg.mpz_dig_size": 16,
    "cfg.qstr_bytes_in_len": 2,
    "obj.none": 0x66,
    "obj.false": 0x6E,
    "obj.true": 0x7E,
    "obj.sentinel": 4,
    "obj.flexible": 0xFFFFFFFF,
    "size.qstr": 8,
    "size.qstr_short": 2,
    "size.mpz_digit": 2,
    "bits.qstr_pool.prev_len": 60,
    "bits.array.typecode": 8,
    "bit.int.negative": 1,
    "shift.map.used": 5,
    "flag.type.instance": 0x1000,
    "flag.type.binds_self": 2,
    "flag.type.builtin_fun": 4,
    "flag.array.writable": 0x80,
    "fault.text": 1,
    "fault.n_args": 7,
    "addr.exception_print": EXCEPTION_PRINT,
    "addr.layout_types": 0xFFFFFFFFC0098000,
}
#: Object -> its fields, 8 bytes each from 16 on, backwards: not the order of the real ones.
FIELDS = {
    "list": "alloc items len",
    "tuple": "len items",
    "str": "data len",
    "int": "digits len flags",
    "array": "items len typecode",
    "set": "table used alloc",
    "deque": "i_put items i_get alloc",
    "range": "step stop start",
    "slice": "stop start step",
    "fun_bc": "bytecode context",
    "closure": "fun n_closed closed",
    "cell": "obj",
    "bound_meth": "self meth",
    "gen_instance": "pend_exc code_state",
    "static_class_method": "fun",
    "singleton": "name",
    "property": "getter",
    "super": "type obj",
    "module": "globals",
    "instance": "subobj members",
    "exception": "args traceback",
    "dict": "map",
    "dict_view": "kind dict",
    "namedtuple_type": "n_fields fields",
    "symbol": "value name",
    "ptr": "type value",
    "struct": "type",
    "array_ptr": "type value count",
    "enum_value": "type value",
    "hook_object": "hook",
    "buffer": "memory",
    "file": "name handle",
    "stdio": "fd",
    "kpy_buffer": "data n freed",
    "ctype": "id in",
    "hook": "kind handler last_error enabled removed target hits",
    "hook_kind": "name",
    "btf": "base type_data type_len strings strings_len first_id first_string n_types offsets",
}
TYPES_TEXT = """
object NoneType bool int str bytes bytearray array memoryview tuple attrtuple list
dict ordereddict set frozenset range slice deque fun_bc gen_wrap gen_instance closure
bound_meth module property staticmethod classmethod super singleton type symbol struct
struct_ptr ptr array_ptr enum_value hook buffer KernelFault OSError
"""
TYPE_NAMES = TYPES_TEXT.split()


class FakeInterpreter:
    """Memory with types, interned strings and whatever objects a test puts there."""

    def __init__(self) -> None:
        self.memory = MockMemory()
        self._next = HEAP
        self._strings: list[str] = [""]
        fields = dict(NUMBERS)
        for kind, names in FIELDS.items():
            for place, name in enumerate(names.split()):
                fields[f"off.{kind}.{name}"] = 16 + 8 * place
        fields |= {"off.type.flags": 10, "off.type.name": 12, "off.type.slots": 24}
        for place, name in enumerate(("print", "iter", "parent", "locals_dict")):
            fields[f"off.type.slot_{name}"] = 16 + place
        fields |= {"off.map.table": 0, "off.map.alloc": 8, "off.map.used": 16}
        for place, name in enumerate(("len", "prev_len", "prev", "alloc", "lengths", "qstrs")):
            fields[f"off.qstr_pool.{name}"] = 8 * place
        fields |= {"off.mp_state.vm.last_pool": 8, "off.state.heap_size": 0}
        fields |= {"off.code_state.fun_bc": 8, "off.mp_state.vm.dict_main": 64}
        fields |= {"off.mp_state.vm.loaded_modules": 128, "off.mp_state.vm.builtins_override": 16}
        for place, name in enumerate(("mp_state", "state", "epoch", "builtins")):
            fields[f"addr.{name}"] = 0xFFFFFFFFC0090000 + 0x1000 * place
        for place, name in enumerate(TYPE_NAMES):
            fields[f"type.{name}"] = TYPES + 0x80 * place
        self.fields = fields
        self.info = DebugInfo(0, 1, "0.1.0", "6.1.0", fields)
        for name in TYPE_NAMES:
            self.type_at(fields[f"type.{name}"], name)

    def type_at(
        self, at: int, name: str, flags: int = 0, print_slot: int = 0xFFFFFFFFC0099100
    ) -> int:
        """Put a type with a print slot."""
        raw = bytearray(24)
        struct.pack_into("<Q", raw, 0, self.fields["type.type"])
        struct.pack_into("<H", raw, 10, flags)
        struct.pack_into("<H", raw, 12, self.qstr(name) >> 3)
        raw[16] = 1
        self.memory.put(at, bytes(raw) + struct.pack("<QQQ", print_slot, 0, 0))
        return at

    def qstr(self, text: str) -> int:
        """Intern a string; return its word."""
        if text not in self._strings:
            self._strings.append(text)
        return self._strings.index(text) << 3 | 2

    def take(self, size: int) -> int:
        """Return room in the heap."""
        at = self._next
        self._next += (size + 31) // 16 * 16
        return at

    def put(self, data: bytes) -> int:
        """Put bytes into the heap."""
        return self.memory.put(self.take(len(data)), data)

    def object(self, of: str, kind: str, /, **values: int) -> int:
        """Put an object with these fields."""
        raw = bytearray(64)
        struct.pack_into("<Q", raw, 0, self.fields[f"type.{of}"])
        for name, value in values.items():
            struct.pack_into("<Q", raw, self.fields[f"off.{kind}.{name}"], value)
        return self.put(bytes(raw))

    def words(self, *words: int) -> int:
        """Put an array of words."""
        return self.put(struct.pack(f"<{len(words)}Q", *words))

    def list(self, *words: int, length: int | None = None) -> int:
        """Put a list."""
        count = len(words) if length is None else length
        return self.object("list", "list", len=count, items=self.words(*words) if words else 0)

    def text(self, data: bytes, type: str = "str") -> int:
        """Put a str or bytes object."""
        return self.object(type, "str", len=len(data), data=self.put(data + b"\0"))

    def objects(self) -> Objects:
        """Put the strings and the state, and return the decoder."""
        data = [text.encode() for text in self._strings]
        lengths = self.put(struct.pack(f"<{len(data)}H", *map(len, data)))
        places = [self.put(each + b"\0") for each in data]
        pool = self.words(len(data), 0, 0, len(data), lengths, *places)
        self.memory.put(self.fields["addr.mp_state"], struct.pack("<QQQ", 0, pool, 0))
        self.memory.put(self.fields["addr.state"], struct.pack("<Q", 8 << 20))
        self.memory.put(self.fields["addr.epoch"], struct.pack("<I", 1))
        return Objects(self.memory.read, self.info)


def small(value: int) -> int:
    """Return the word of a small int."""
    return (value << 1 | 1) & (1 << 64) - 1
