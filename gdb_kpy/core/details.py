# SPDX-License-Identifier: GPL-2.0-or-later
"""What is inside of objects whose repr() does not tell: attributes, items, fields in memory."""

from __future__ import annotations

from gdb_kpy.core import c_values
from gdb_kpy.core.c_values import ArrayPtr, EvalError
from gdb_kpy.core.errors import CorruptError, FaultError, KpyError
from gdb_kpy.core.memory import u64
from gdb_kpy.core.py_objects import Obj, Objects
from gdb_kpy.core.py_repr import Repr, array_items, corrupt
from struct_layout.model import Record, strip

_SHOWN = 200
#: Groups of fields in kpy_debug_info whose name is not that of the kind.
_GROUPS = {"bytes": "str", "bytearray": "array", "memoryview": "array", "namedtuple": "tuple"}
_GROUPS |= {"attrtuple": "tuple", "ordereddict": "dict", "frozenset": "set", "gen_wrap": "fun_bc"}
_GROUPS |= {"struct_ptr": "ptr", "hook": "hook_object", "type": "type", "KernelFault": "exception"}


def details(objects: Objects, repr: Repr, value: object) -> list[str]:
    """Return the lines to show below the repr of a value."""
    try:
        return _details(objects, repr, value)
    except (CorruptError, FaultError) as error:
        return [corrupt(error)]


def _details(objects: Objects, repr: Repr, value: object) -> list[str]:
    if isinstance(value, ArrayPtr) and value.value and value.count is not None:
        return [_array(objects, repr, value)]
    if not isinstance(value, Obj):
        return []
    if value.kind == "instance":
        pairs = objects.pairs(value)[:_SHOWN]
        texts = repr.words([word for pair in pairs for word in pair])
        lines = [f".{key.strip(chr(39))} = {text}" for key, text in zip(texts[::2], texts[1::2])]
        native = repr.native(value)
        if native is not None and native.kind == "deque":
            lines.append(_deque(objects, repr, native))
        return lines
    if value.kind == "deque":
        return [_deque(objects, repr, value)]
    if value.kind == "memoryview":
        return [repr.text(array_items(objects, value)[1])]
    return []


def _deque(objects: Objects, repr: Repr, value: Obj) -> str:
    length = objects.length(value) or 0
    shown = objects.items(value, 0, min(length, _SHOWN))
    more = f", ... {length - len(shown)} more" if length > len(shown) else ""
    return f"[{', '.join(repr.words(shown))}{more}]"


def _array(objects: Objects, repr: Repr, value: ArrayPtr) -> str:
    if c_values.is_text(value):
        return repr.text(c_values.text(objects.read, value))
    shown = min(value.count or 0, _SHOWN)
    texts = [repr.text(c_values.index(objects.read, value, at)) for at in range(shown)]
    more = f", ... {(value.count or 0) - shown} more" if (value.count or 0) > shown else ""
    return f"[{', '.join(texts)}{more}]"


def members(objects: Objects, repr: Repr, value: c_values.StructPtr) -> list[str]:
    """Return the members of a struct, one line each."""
    lines = []
    for member, _offset in c_values.members(value.record):
        name = member.name or ""
        try:
            found = c_values.field(objects.read, value, name)
            text = repr.text(found)
            if isinstance(found, ArrayPtr) and c_values.is_text(found):
                text = repr.text(c_values.text(objects.read, found))
            elif isinstance(strip(member.type), Record):
                text = "{...}"
        except EvalError as error:
            text = f"<{error}>"
        except KpyError as error:
            text = f"<{error}>"
        lines.append(f".{name} = {text}")
    return lines


def raw(objects: Objects, word: int) -> list[str]:
    """Return a word and the fields of the object that it is, as they are in memory."""
    lines = [f"word {word:#x}"]
    if word & 1:
        return [f"{lines[0]}: small int"]
    if word & 7 == 2:
        return [f"{lines[0]}: qstr {word >> 3}"]
    try:
        found = objects.object(word)
    except CorruptError as error:
        return [f"{lines[0]}: {corrupt(error)}"]
    lines = [f"{lines[0]}: {found.type.name} object, type at {found.type.address:#x}"]
    group = _GROUPS.get(found.kind, found.kind)
    for name, offset in objects.info.group(f"off.{group}").items() if group else ():
        try:
            lines.append(f"  +{offset:<3} {name} = {u64(objects.read, word + offset):#x}")
        except FaultError:
            lines.append(f"  +{offset:<3} {name} cannot be read")
    return lines
