# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of values, as the interpreter's own repr() writes it, and what it would not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Callable

from gdb_kpy.core import c_values, py_text
from gdb_kpy.core.c_values import EnumValue, Symbol
from gdb_kpy.core.errors import CorruptError, FaultError, KpyError
from gdb_kpy.core.hooks import hook_of
from gdb_kpy.core.memory import u32, u64
from gdb_kpy.core.py_objects import Obj, Objects
from gdb_kpy.core.py_types import PyType

_NO_LIMIT = 1 << 60
_VIEWS = ("dict_items", "dict_keys", "dict_values")


@dataclass(frozen=True)
class Limits:
    """How much is shown; None: everything."""

    depth: int | None = 10
    items: int | None = 200


@dataclass(frozen=True)
class Names:
    """What the world outside of the interpreter knows about addresses."""

    is_exported: Callable[[Symbol], bool] = lambda symbol: False
    module_of: Callable[[int], str | None] = lambda address: None


@dataclass(frozen=True)
class BoundMethod:
    """A method of an object, as an attribute is one."""

    function: object
    owner: object


@dataclass
class _State:
    """What one text has used up."""

    left: int
    open: list[int] = field(default_factory=list)


class Repr:
    """Writes values; ``radix`` is 10 or 16, and 0 leaves each kind its own way."""

    def __init__(
        self, objects: Objects, names: Names, limits: Limits = Limits(), radix: int = 0
    ) -> None:
        self._objects = objects
        self._names = names
        self._radix = radix
        self._depth = _NO_LIMIT if limits.depth is None else limits.depth
        self._items = _NO_LIMIT if limits.items is None else limits.items
        # Items of items multiply: all of them together are limited, too.
        self._state = _State(self._items * 20)

    def text(self, value: object) -> str:
        """Return the repr; what is corrupt is shown as such."""
        self._state = _State(self._items * 20)
        return self._text(value, 0)

    def string(self, value: object) -> str:
        """Return what str() gives."""
        self._state = _State(self._items * 20)
        return self._string(value)

    def name_of_type(self, value: object) -> str:
        """Return the name of a value's type."""
        for kind, name in _HOST_NAMES:
            if isinstance(value, kind):
                return name
        return value.type.name if isinstance(value, Obj) else type(value).__name__

    def words(self, words: Sequence[int]) -> list[str]:
        """Return the texts of objects, which are read in bulk."""
        self._objects.warm(words, self._items)
        return [self._word(word, 1) for word in words]

    # ---- Dispatch ----------------------------------------------------------------------------

    def _word(self, word: int, depth: int) -> str:
        try:
            return self._text(self._objects.value(word), depth)
        except KpyError as error:
            return corrupt(error)

    def _text(self, value: object, depth: int) -> str:
        if value is None or isinstance(value, bool) or value is Ellipsis:
            return "Ellipsis" if value is Ellipsis else str(value)
        if isinstance(value, int):
            return py_text.integer(value, self._radix or 10)
        if isinstance(value, str):
            shown = value[: self._items]
            return py_text.string(shown) + _more(len(value) - len(shown))
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value))
        if isinstance(value, c_values.CValue):
            return self._c_value(value)
        if isinstance(value, Obj):
            return self._object(value, depth)
        if isinstance(value, BoundMethod):
            owner, function = self._text(value.owner, depth + 1), self._text(value.function, depth)
            return f"<bound_method {owner}.{function}>"
        return self._host(value, depth)

    def _host(self, value: object, depth: int) -> str:
        """Write a container that an expression made here."""
        if depth > self._depth:
            return "..."
        if isinstance(value, dict):
            pairs = [
                f"{self._text(key, depth + 1)}: {self._text(item, depth + 1)}"
                for key, item in list(value.items())[: self._items]
            ]
            return _joined("{", pairs, len(value) - len(pairs), "}")
        if isinstance(value, (list, tuple, set)):
            shown = list(value)[: self._items]
            texts = [self._text(each, depth + 1) for each in shown]
            more = len(value) - len(shown)
            if isinstance(value, list):
                return _joined("[", texts, more, "]")
            if isinstance(value, set):
                return _joined("{", texts, more, "}") if value else "set()"
            return _joined("(", texts, more, ",)" if len(value) == 1 else ")")
        if isinstance(value, range):
            return str(value)
        if isinstance(value, type):
            return f"<class '{value.__name__}'>"
        return f"<{type(value).__name__}>"

    def _c_value(self, value: object) -> str:
        address = c_values.address_of(value)
        if self._radix and address is not None:
            return py_text.integer(address, self._radix)
        if self._radix and isinstance(value, EnumValue):
            return py_text.integer(value.value, self._radix)
        if isinstance(value, Symbol):
            exported = self._names.is_exported(value)
            return c_values.described(value, exported, self._names.module_of(value.value))
        return c_values.described(value)

    def _bytes(self, value: bytes) -> str:
        shown = value[: self._items]
        return py_text.byte_string(shown) + _more(len(value) - len(shown))

    def _object(self, value: Obj, depth: int) -> str:
        writer = _WRITERS.get(value.kind)
        if writer is None or not value.type.prints:
            return f"<{value.type.name}>"
        if value.address in self._state.open or depth > self._depth:
            return _ELISIONS.get(value.kind, f"<{value.type.name} at {value.address:#x}>")
        self._state.open.append(value.address)
        try:
            return writer(self, value, depth)
        except KpyError as error:
            return corrupt(error, value)
        finally:
            self._state.open.pop()

    # ---- Containers --------------------------------------------------------------------------

    def _take(self, wanted: int) -> int:
        """Return how many items may still be shown."""
        taken = min(wanted, self._items, max(self._state.left, 0))
        self._state.left -= taken
        return taken

    def _members(self, value: Obj, depth: int) -> tuple[list[str], int, int]:
        """Return texts of items, how many more there are, and the whole number."""
        length = self._objects.length(value) or 0
        words = self._objects.items(value, 0, self._take(length))
        self._objects.warm(words, self._items)
        return [self._word(word, depth + 1) for word in words], length - len(words), length

    def _list(self, value: Obj, depth: int) -> str:
        texts, more, _length = self._members(value, depth)
        return _joined("[", texts, more, "]")

    def _tuple(self, value: Obj, depth: int) -> str:
        texts, more, length = self._members(value, depth)
        return _joined("(", texts, more, ",)" if length == 1 else ")")

    def _named(self, value: Obj, depth: int) -> str:
        texts, more, _length = self._members(value, depth)
        names = self._objects.field_names(value)
        name = value.type.name if value.kind == "namedtuple" else ""
        return _joined(f"{name}(", [f"{n}={text}" for n, text in zip(names, texts)], more, ")")

    def _set(self, value: Obj, depth: int) -> str:
        texts, more, length = self._members(value, depth)
        if not length:
            return f"{value.type.name}()"
        text = _joined("{", texts, more, "}")
        return f"frozenset({text})" if value.kind == "frozenset" else text

    def _pairs(self, pairs: Sequence[tuple[int, int]], depth: int) -> Iterator[tuple[str, str]]:
        shown = pairs[: self._take(len(pairs))]
        self._objects.warm((word for pair in shown for word in pair), self._items)
        for key, item in shown:
            yield self._word(key, depth + 1), self._word(item, depth + 1)

    def _dict(self, value: Obj, depth: int) -> str:
        pairs = self._objects.pairs(value)
        texts = [f"{key}: {item}" for key, item in self._pairs(pairs, depth)]
        text = _joined("{", texts, len(pairs) - len(texts), "}")
        return text if value.kind == "dict" else f"{value.type.name}({text})"

    def _dict_view(self, value: Obj, depth: int) -> str:
        view = u32(self._objects.read, value.address + self._objects.info["off.dict_view.kind"])
        if view >= len(_VIEWS):
            raise CorruptError(value.address, "dict view", f"below {len(_VIEWS)}", view)
        pairs = self._objects.pairs(self._inner(value, "dict_view.dict"))
        texts = []
        for key, item in self._pairs(pairs, depth):
            texts.append((f"({key}, {item})", key, item)[view])
        return _joined(f"{_VIEWS[view]}([", texts, len(pairs) - len(texts), "])")

    def _array(self, value: Obj, depth: int) -> str:
        code, items = array_items(self._objects, value)
        if not items:
            return f"array('{code}')"
        texts = [self._text(item, depth + 1) for item in items[: self._items]]
        return _joined(f"array('{code}', [", texts, len(items) - len(texts), "])")

    def _bytearray(self, value: Obj, depth: int) -> str:
        return f"bytearray({self._bytes(self._objects.raw_bytes(value.address))})"

    # ---- Code --------------------------------------------------------------------------------

    def _function(self, value: Obj, depth: int) -> str:
        return f"<function {self._objects.function_name(value.address)} at 0x{value.address:x}>"

    def _closure(self, value: Obj, depth: int) -> str:
        objects = self._objects
        count = objects.field(value, "closure.n_closed")
        if count > 255:
            raise CorruptError(value.address, "closure", "at most 255 variables", count)
        at = value.address + objects.info["off.closure.closed"]
        inner = [u64(objects.read, at + 8 * i) for i in range(count)]
        cells = "".join(
            "(nil) " if not word else self._word(word, depth + 1) + " " for word in inner
        )
        function = self._word(objects.field(value, "closure.fun"), depth + 1)
        return f"<closure {function} at {value.address:x}, n_closed={count} {cells}>"

    def _cell(self, value: Obj, depth: int) -> str:
        word = self._objects.field(value, "cell.obj")
        return f"<cell {word:x} {self._word(word, depth + 1) if word else '(nil)'}>"

    def _bound_method(self, value: Obj, depth: int) -> str:
        owner = self._word(self._objects.field(value, "bound_meth.self"), depth + 1)
        function = self._word(self._objects.field(value, "bound_meth.meth"), depth + 1)
        return f"<bound_method {value.address:x} {owner}.{function}>"

    def _generator(self, value: Obj, depth: int) -> str:
        info = self._objects.info
        state = value.address + info["off.gen_instance.code_state"]
        function = u64(self._objects.read, state + info["off.code_state.fun_bc"])
        name = self._objects.function_name(function)
        return f"<generator object '{name}' at {value.address:x}>"

    # ---- Classes and modules -----------------------------------------------------------------

    def _module(self, value: Obj, depth: int) -> str:
        found = self._inner(value, "module.globals")
        at = found.address + self._objects.info["off.dict.map"]
        name, file = (self._name_in(at, key) for key in ("__name__", "__file__"))
        return f"<module '{name or ''}' from '{file}'>" if file else f"<module '{name or ''}'>"

    def _name_in(self, at: int, key: str) -> str | None:
        word = self._objects.lookup(at, key, "module")
        value = None if word is None else self._objects.value(word)
        return value if isinstance(value, str) else None

    def _type(self, value: Obj, depth: int) -> str:
        return f"<class '{self._objects.types.get(value.address).name}'>"

    def _instance(self, value: Obj, depth: int) -> str:
        inner = self.native(value)
        if inner is None:
            return f"<{value.type.name} object at {value.address:x}>"
        if inner.kind == "exception":
            return value.type.name + self._arguments(inner, depth)
        return self._object(inner, depth + 1)

    def native(self, value: Obj) -> Obj | None:
        """Return the built-in object inside that prints an instance, None when there is none."""
        types = self._objects.types
        for each in types.lineage(value.type):
            if each.kind == "instance":
                if each.locals_dict and self._has(each, "__repr__"):
                    return None
            elif each.prints:
                return self._inner(value, "instance.subobj")
        return None

    def _has(self, type: PyType, name: str) -> bool:
        at = type.locals_dict + self._objects.info["off.dict.map"]
        return self._objects.lookup(at, name, "class") is not None

    def _exception(self, value: Obj, depth: int) -> str:
        return value.type.name + self._arguments(value, depth)

    def _arguments(self, value: Obj, depth: int) -> str:
        return self._tuple(self._inner(value, "exception.args"), depth)

    def _kernel_fault(self, value: Obj, depth: int) -> str:
        info = self._objects.info
        args = self._inner(value, "exception.args")
        if (self._objects.length(args) or 0) < info["fault.n_args"]:
            return self._exception(value, depth)
        at = info["fault.text"]
        (word,) = self._objects.items(args, at, at + 1)
        return f"KernelFault({self._word(word, depth + 1)})"

    def _inner(self, value: Obj, name: str) -> Obj:
        return self._objects.object(self._objects.field(value, name))

    # ---- The rest ----------------------------------------------------------------------------

    def _range(self, value: Obj, depth: int) -> str:
        found = self._objects.range(value)
        step = "" if found.step == 1 else f", {found.step}"
        return f"range({found.start}, {found.stop}{step})"

    def _slice(self, value: Obj, depth: int) -> str:
        names = ("start", "stop", "step")
        words = [self._objects.field(value, f"slice.{name}") for name in names]
        return f"slice({', '.join(self._word(word, depth + 1) for word in words)})"

    def _super(self, value: Obj, depth: int) -> str:
        words = [self._objects.field(value, f"super.{name}") for name in ("type", "obj")]
        return f"<super: {', '.join(self._word(word, depth + 1) for word in words)}>"

    def _singleton(self, value: Obj, depth: int) -> str:
        return self._objects.qstrs.text(self._objects.field(value, "singleton.name"))

    def _stringio(self, value: Obj, depth: int) -> str:
        return f"<io.{value.type.name} 0x{value.address & 0xFFFFFFFF:x}>"

    def _file(self, value: Obj, depth: int) -> str:
        name = self._word(self._objects.field(value, "file.name"), depth + 1)
        closed = "" if self._objects.field(value, "file.handle") else " closed"
        return f"<io.{value.type.name} {name}{closed}>"

    def _stdio(self, value: Obj, depth: int) -> str:
        fd = u32(self._objects.read, value.address + self._objects.info["off.stdio.fd"])
        return f"<io.{value.type.name} {fd}>"

    def _re(self, value: Obj, depth: int) -> str:
        return f"<re {value.address:x}>"

    def _match(self, value: Obj, depth: int) -> str:
        at = value.address + self._objects.info["off.match.num_matches"]
        return f"<match num={u32(self._objects.read, at)}>"

    def _uctypes(self, value: Obj, depth: int) -> str:
        descriptor = self._objects.value(self._objects.field(value, "uctypes.desc"))
        kind = getattr(descriptor, "kind", "")
        if kind not in ("dict", "ordereddict"):
            return f"<{value.type.name}>"
        return f"<struct STRUCT {self._objects.field(value, 'uctypes.addr'):x}>"

    def _mem(self, value: Obj, depth: int) -> str:
        return f"<{8 * self._objects.field(value, 'memory.size')}-bit memory>"

    def _hook(self, value: Obj, depth: int) -> str:
        hook = hook_of(self._objects, value)
        text = f"<{hook.kind} hook"
        if hook.target:
            text += f" on {hook.target}"
        if hook.handler:
            text += f": {self._word(hook.handler, depth + 1)}"
        end = ", removed" if hook.removed else "" if hook.enabled else ", disabled"
        return f"{text}, {hook.counter('hits')} hits{end}>"

    def _original(self, value: Obj, depth: int) -> str:
        at = value.address + self._objects.info["off.original.name"]
        return f"<original {self._objects.text_at(at)}>"

    def _registers(self, value: Obj, depth: int) -> str:
        return f"<pt_regs at {self._objects.field(value, 'registers.regs'):#x}>"

    def _buffer(self, value: Obj, depth: int) -> str:
        memory = self._objects.buffer(value)
        if memory is None:
            return "<buffer, freed>"
        return f"<buffer of {memory[1]} bytes at {memory[0]:#x}>"

    # ---- str() -------------------------------------------------------------------------------

    def _string(self, value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, c_values.ArrayPtr) and c_values.is_text(value):
            return c_values.text(self._objects.read, value)
        if isinstance(value, EnumValue):
            return str(value.value)
        if isinstance(value, Obj):
            inner = self.native(value) if value.kind == "instance" else value
            if inner is not None and inner.kind in ("exception", "KernelFault"):
                return self._message(inner)
        return self._text(value, 0)

    def _message(self, value: Obj) -> str:
        args = self._inner(value, "exception.args")
        length = self._objects.length(args) or 0
        if value.kind == "KernelFault" and length >= self._objects.info["fault.n_args"]:
            at = self._objects.info["fault.text"]
            return self._string(self._objects.value(self._objects.items(args, at, at + 1)[0]))
        if length == 1:
            return self._string(self._objects.value(self._objects.items(args, 0, 1)[0]))
        return self._tuple(args, 0) if length else ""


def array_items(objects: Objects, value: Obj) -> tuple[str, list[object]]:
    """Return type code and elements of an array, bytearray or memoryview."""
    code, count, raw = objects.array(value)
    if not count:
        return code, []
    size = len(raw) // count
    parts = [raw[at : at + size] for at in range(0, len(raw), size)]
    if code == "O":
        return code, [objects.value(int.from_bytes(part, "little")) for part in parts]
    return code, [int.from_bytes(part, "little", signed=code.islower()) for part in parts]


def corrupt(error: KpyError, value: Obj | None = None) -> str:
    """Return what is shown in place of something that cannot be what it should be."""
    if isinstance(error, CorruptError):
        return f"<corrupt {error.what} at {error.address:#x}: {error.found}>"
    what = f"{value.type.name} at {value.address:#x}" if value else "object"
    if isinstance(error, FaultError):
        return f"<corrupt {what}: {error.address:#x} cannot be read>"
    return f"<{what}: {error}>"


def _more(count: int) -> str:
    return f"... {count} more" if count > 0 else ""


def _joined(start: str, texts: Iterable[str], more: int, end: str) -> str:
    parts = list(texts)
    if more > 0:
        parts.append(_more(more))
    return start + ", ".join(parts) + end


_HOST_NAMES: tuple[tuple[type, str], ...] = (
    (type(None), "NoneType"),
    (Symbol, "Symbol"),
    (c_values.StructType, "Struct"),
    (c_values.StructPtr, "StructPtr"),
    (c_values.Ptr, "Ptr"),
    (c_values.ArrayPtr, "ArrayPtr"),
    (EnumValue, "EnumValue"),
    (BoundMethod, "bound_method"),
)

_ELISIONS = dict.fromkeys(("list", "array", "deque"), "[...]")
_ELISIONS |= dict.fromkeys(("tuple", "namedtuple", "attrtuple"), "(...)")
_ELISIONS |= dict.fromkeys(("dict", "ordereddict", "set", "frozenset"), "{...}")

_WRITERS: dict[str, Callable[[Repr, Obj, int], str]] = {
    "list": Repr._list,
    "tuple": Repr._tuple,
    "namedtuple": Repr._named,
    "attrtuple": Repr._named,
    "set": Repr._set,
    "frozenset": Repr._set,
    "dict": Repr._dict,
    "ordereddict": Repr._dict,
    "dict_view": Repr._dict_view,
    "array": Repr._array,
    "bytearray": Repr._bytearray,
    "fun_bc": Repr._function,
    "gen_wrap": Repr._function,
    "closure": Repr._closure,
    "cell": Repr._cell,
    "bound_meth": Repr._bound_method,
    "gen_instance": Repr._generator,
    "module": Repr._module,
    "type": Repr._type,
    "instance": Repr._instance,
    "exception": Repr._exception,
    "KernelFault": Repr._kernel_fault,
    "range": Repr._range,
    "slice": Repr._slice,
    "super": Repr._super,
    "singleton": Repr._singleton,
    "stringio": Repr._stringio,
    "bytesio": Repr._stringio,
    "file": Repr._file,
    "text_file": Repr._file,
    "stdio": Repr._stdio,
    "text_stdio": Repr._stdio,
    "re": Repr._re,
    "match": Repr._match,
    "uctypes": Repr._uctypes,
    "mem": Repr._mem,
    "hook": Repr._hook,
    "original": Repr._original,
    "registers": Repr._registers,
    "buffer": Repr._buffer,
}
