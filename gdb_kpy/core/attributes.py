# SPDX-License-Identifier: GPL-2.0-or-later
"""Attributes of values, as loading them in the interpreter gives them without running anything."""

from __future__ import annotations

from typing import Callable

from gdb_kpy.core import c_values
from gdb_kpy.core.c_values import ArrayPtr, EnumValue, EvalError, Ptr, StructPtr, StructType, Symbol
from gdb_kpy.core.errors import KpyError
from gdb_kpy.core.hooks import hook_of
from gdb_kpy.core.memory import u32, u64
from gdb_kpy.core.names import Scope
from gdb_kpy.core.py_objects import Obj, Objects
from gdb_kpy.core.py_repr import BoundMethod, Names
from gdb_kpy.core.py_types import PyType

_MISSING = object()
_HOST_KINDS = {bool: "bool", int: "int", str: "str", bytes: "bytes", type(None): "NoneType"}
_HOST_KINDS |= {list: "list", tuple: "tuple", dict: "dict", set: "set", range: "range"}
_C_KINDS = {Symbol: "symbol", StructType: "struct", StructPtr: "struct_ptr", Ptr: "ptr"}
_C_KINDS |= {ArrayPtr: "array_ptr", EnumValue: "enum_value"}
_FAULT_ARGS = {"kind": 2, "address": 3, "ip": 4, "backtrace": 5, "call": 6}
_HOOK = (
    *("enabled", "handler", "hits", "kind", "last_error", "missed", "recursions", "target"),
    *("missed_by", "total_ns"),
)
_RUN = "`kpy eval` does"


class Attributes:
    """Loads attributes."""

    def __init__(self, objects: Objects, scope: Scope, names: Names) -> None:
        self._objects = objects
        self._scope = scope
        self._names = names

    def type_of(self, value: object) -> Obj:
        """Return the type of a value."""
        if isinstance(value, Obj):
            return self._objects.object(value.type.address)
        kind = _HOST_KINDS.get(type(value)) or _C_KINDS.get(type(value))
        if kind is None:
            raise EvalError("TypeError", "this has no type in the guest")
        return self._objects.object(self._objects.types.address_of(kind))

    def get(self, value: object, name: str) -> object:
        """Return an attribute; raises EvalError when there is none."""
        if name == "__class__":
            return self.type_of(value)
        special = self._special(value, name)
        if special is not _MISSING:
            return special
        found = _MISSING
        if isinstance(value, Obj) and value.kind == "instance":
            found = self._of_instance(value, name)
        elif isinstance(value, Obj) and value.kind == "module":
            found = self._of_map(self._globals(value), name)
        elif isinstance(value, Obj) and value.kind == "type":
            found = self._of_class(self._objects.types.get(value.address), name)
        else:
            type = self._objects.types.get(self.type_of(value).address)
            found = self._in_lineage(value, type, name)
        if found is _MISSING:
            shown = "type object" if isinstance(value, Obj) and value.kind == "type" else ""
            what = shown or f"'{self._type_name(value)}' object"
            raise EvalError("AttributeError", f"{what} has no attribute '{name}'")
        return found

    def names_of(self, value: object) -> list[str]:
        """Return the names of attributes, for completion."""
        found: set[str] = set()
        if isinstance(value, StructPtr):
            found.update(member.name or "" for member, _at in c_values.members(value.record))
        elif isinstance(value, Obj) and value.kind == "module":
            found.update(self._scope.keys(self._globals(value)))
        else:
            found.update(_SHOWN.get(type(value), ()))
            if isinstance(value, Obj):
                found.update(_OF_KIND.get(value.kind, ()))
                if value.kind in ("namedtuple", "attrtuple"):
                    found.update(self._objects.field_names(value))
                if value.kind == "instance":
                    at = value.address + self._objects.info["off.instance.members"]
                    found.update(self._scope.keys(at))
            found.update(self._class_names(value))
        return sorted(found - {""})

    def _class_names(self, value: object) -> set[str]:
        found: set[str] = set()
        try:
            address = self.type_of(value).address
            if isinstance(value, Obj) and value.kind == "type":
                address = value.address
            for each in self._objects.types.lineage(self._objects.types.get(address)):
                if each.locals_dict:
                    at = each.locals_dict + self._objects.info["off.dict.map"]
                    found.update(self._scope.keys(at))
        except KpyError:
            pass
        return found

    def _type_name(self, value: object) -> str:
        return self._objects.types.get(self.type_of(value).address).name

    # ---- Kinds -------------------------------------------------------------------------------

    def _special(self, value: object, name: str) -> object:
        if isinstance(value, Obj):
            loader = _OBJECTS.get(value.kind)
            return loader(self, value, name) if loader else _MISSING
        if isinstance(value, StructPtr):
            return self._struct_member(value, name)
        if isinstance(value, (StructType, Symbol, EnumValue, Ptr)):
            return self._described(value, name)
        return _MISSING

    def _struct_member(self, value: StructPtr, name: str) -> object:
        if name == "type":
            try:
                c_values.member(value.record, name)
            except EvalError:
                return c_values.spell(value.record)
        if name == "__struct__":
            return StructType(value.record)
        if value.record.incomplete or not value.record.members:
            found = self._scope.record(f"{value.record.kind} {value.record.name}")
            value = value if found is None else StructPtr(found, value.value)
        return c_values.field(self._objects.read, value, name)

    def _described(self, value: object, name: str) -> object:
        if isinstance(value, StructType):
            record = value.record
            plain = {"name": record.name or "", "kind": record.kind, "size": record.size}
            if name == "fields":
                return [member.name for member, _at in c_values.members(record)]
            return plain.get(name, _MISSING)
        if isinstance(value, EnumValue):
            return {"name": value.name, "value": value.value}.get(name, _MISSING)
        if isinstance(value, Ptr):
            return c_values.spell(value.target) if name == "type" else _MISSING
        assert isinstance(value, Symbol)
        if name == "value":
            return self._variable(value)
        if name == "exported":
            return self._names.is_exported(value)
        if name == "module":
            return self._names.module_of(value.value)
        return {"name": value.name, "address": value.value}.get(name, _MISSING)

    def _variable(self, symbol: Symbol) -> object:
        table = self._objects.table
        found = None if table is None else table.declaration(symbol.name)
        if found is None:
            raise EvalError(
                "TypeError",
                f"the type of '{symbol.name}' is not known: read it with p8() to p64()",
            )
        if found.function:
            raise EvalError("TypeError", f"'{symbol.name}' is a function")
        if found.percpu:
            raise EvalError("TypeError", f"each CPU has its own '{symbol.name}'")
        return c_values.load(self._objects.read, found.type, symbol.value)

    def _of_hook(self, value: Obj, name: str) -> object:
        hook = hook_of(self._objects, value)
        if name in ("handler", "last_error"):
            word = getattr(hook, name)
            return self._objects.value(word) if word else None
        if name in ("enabled", "kind", "target"):
            return getattr(hook, name)
        if name == "total_ns":
            khz = self._scope.kernel_symbol("tsc_khz")
            ticks = 0 if khz is None else u32(self._objects.read, khz.value)
            return hook.counter("total_tsc") * 1_000_000 // ticks if ticks else _MISSING
        if name == "missed":
            return sum(hook.missed().values())
        if name == "recursions":
            return hook.missed().get(name, _MISSING)
        if name == "missed_by":
            return {why: count for why, count in hook.missed().items() if count}
        return hook.counter(name) if name == "hits" else _MISSING

    def _of_exception(self, value: Obj, name: str) -> object:
        args = self._objects.object(self._objects.field(value, "exception.args"))
        if name == "args":
            return args
        if name in ("value", "errno"):
            words = self._objects.items(args, 0, 1)
            return self._objects.value(words[0]) if words else None
        at = _FAULT_ARGS.get(name, -1) if value.kind == "KernelFault" else -1
        words = self._objects.items(args, at, at + 1) if at >= 0 else []
        return self._objects.value(words[0]) if words else _MISSING

    def _of_function(self, value: Obj, name: str) -> object:
        if name == "__name__":
            return self._objects.function_name(value.address)
        if name == "__globals__":
            context = self._objects.field(value, "fun_bc.context")
            at = context + self._objects.info["off.module.globals"]
            return self._objects.value(u64(self._objects.read, at))
        return _MISSING

    def _of_closure(self, value: Obj, name: str) -> object:
        function = self._objects.object(self._objects.field(value, "closure.fun"))
        return self._of_function(function, name)

    def _of_range(self, value: Obj, name: str) -> object:
        found = self._objects.range(value)
        return getattr(found, name) if name in ("start", "stop", "step") else _MISSING

    def _of_slice(self, value: Obj, name: str) -> object:
        if name not in ("start", "stop", "step"):
            return _MISSING
        return self._objects.value(self._objects.field(value, f"slice.{name}"))

    def _of_named(self, value: Obj, name: str) -> object:
        names = self._objects.field_names(value)
        if name not in names:
            return _MISSING
        at = names.index(name)
        return self._objects.value(self._objects.items(value, at, at + 1)[0])

    # ---- Maps --------------------------------------------------------------------------------

    def _globals(self, module: Obj) -> int:
        at = self._objects.field(module, "module.globals")
        return at + self._objects.info["off.dict.map"]

    def _of_map(self, at: int, name: str) -> object:
        word = self._objects.lookup(at, name, "attributes")
        return _MISSING if word is None else self._objects.value(word)

    def _of_instance(self, value: Obj, name: str) -> object:
        at = value.address + self._objects.info["off.instance.members"]
        if name == "__dict__":
            pairs = self._objects.map_pairs(at, "instance")
            return {self._objects.value(key): self._objects.value(word) for key, word in pairs}
        found = self._of_map(at, name)
        if found is _MISSING:
            found = self._in_lineage(value, value.type, name)
        if found is _MISSING and self._in_lineage(value, value.type, "__getattr__") is not _MISSING:
            raise EvalError(
                "AttributeError",
                f"'{name}' may come from __getattr__, which is not run here: {_RUN}",
            )
        return found

    def _of_class(self, type: PyType, name: str) -> object:
        if name == "__name__":
            return type.name
        if name == "__bases__":
            bases = self._objects.types.bases(type)
            found = bases or [self._objects.types.address_of("object")]
            return tuple(self._objects.object(base) for base in found)
        if name == "__dict__":
            return self._objects.object(type.locals_dict) if type.locals_dict else {}
        for each in self._objects.types.lineage(type):
            word = self._local(each, name)
            if word is not None:
                return self._bind(None, type, word, name)
        return _MISSING

    def _local(self, type: PyType, name: str) -> int | None:
        if not type.locals_dict:
            return None
        at = type.locals_dict + self._objects.info["off.dict.map"]
        return self._objects.lookup(at, name, "class")

    def _in_lineage(self, owner: object, type: PyType, name: str) -> object:
        for each in self._objects.types.lineage(type):
            word = self._local(each, name)
            native = each.kind != "instance"
            inner = owner
            if native and isinstance(owner, Obj) and owner.kind == "instance":
                inner = self._objects.object(self._objects.field(owner, "instance.subobj"))
                special = self._special(inner, name)
                if word is None and special is not _MISSING:
                    return special
            if word is not None:
                return self._bind(inner, each, word, name)
        return _MISSING

    def _bind(self, owner: object | None, type: PyType, word: int, name: str) -> object:
        """Make a method of a function that was found in a class, as loading it does."""
        value = self._objects.value(word)
        if not isinstance(value, Obj):
            return value
        if value.kind == "property" and owner is not None:
            raise EvalError("AttributeError", f"'{name}' is a property, not run here: {_RUN}")
        if value.kind in ("staticmethod", "classmethod"):
            inner = self._objects.value(self._objects.field(value, "static_class_method.fun"))
            if value.kind == "staticmethod":
                return inner
            cls = self.type_of(owner) if owner is not None else self._objects.object(type.address)
            return BoundMethod(inner, cls)
        info = self._objects.info
        binds = value.type.flags & info["flag.type.binds_self"]
        builtin = value.type.flags & info["flag.type.builtin_fun"]
        if owner is None or not binds or (builtin and type.kind == "instance"):
            return value
        return BoundMethod(value, owner)


_OBJECTS: dict[str, Callable[[Attributes, Obj, str], object]] = {
    "hook": Attributes._of_hook,
    "exception": Attributes._of_exception,
    "KernelFault": Attributes._of_exception,
    "fun_bc": Attributes._of_function,
    "gen_wrap": Attributes._of_function,
    "closure": Attributes._of_closure,
    "range": Attributes._of_range,
    "slice": Attributes._of_slice,
    "namedtuple": Attributes._of_named,
    "attrtuple": Attributes._of_named,
}

_SHOWN: dict[type, tuple[str, ...]] = {
    Symbol: ("address", "exported", "module", "name", "value"),
    StructType: ("fields", "kind", "name", "size"),
    EnumValue: ("name", "value"),
    Ptr: ("type",),
}
_OF_KIND: dict[str, tuple[str, ...]] = {
    "hook": _HOOK,
    "exception": ("args", "errno", "value"),
    "KernelFault": ("args", *_FAULT_ARGS),
    "fun_bc": ("__globals__", "__name__"),
    "gen_wrap": ("__globals__", "__name__"),
    "closure": ("__globals__", "__name__"),
    "range": ("start", "step", "stop"),
    "slice": ("start", "step", "stop"),
    "type": ("__bases__", "__dict__", "__name__"),
}
