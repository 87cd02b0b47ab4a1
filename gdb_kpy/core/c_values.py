# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's variables and structs as values: typed addresses and what is read through them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from gdb_kpy.core.errors import AbsentError, FaultError, KpyError
from gdb_kpy.core.memory import MASK64, Read
from struct_layout import view
from struct_layout.model import (
    Array,
    Base,
    Enum,
    Function,
    Member,
    Pointer,
    Record,
    Type,
    Void,
    size_of,
    strip,
)

_MOST_ERRNO = 4095
_MAX_DEPTH = 60
#: Error codes that only the kernel's inside knows.
_INNER = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 517: "EPROBE_DEFER"}
_INNER |= {515: "ENOIOCTLCMD", 516: "ERESTART_RESTARTBLOCK", 524: "ENOTSUPP", 529: "EIOCBQUEUED"}


class EvalError(KpyError):
    """An expression that makes no sense; the text begins with Python's name for the error."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")


@dataclass(frozen=True)
class Symbol:
    """A name of the kernel and its address."""

    name: str
    value: int


@dataclass(frozen=True)
class StructType:
    """A struct or union."""

    record: Record


@dataclass(frozen=True)
class StructPtr:
    """The address of a struct or union."""

    record: Record
    value: int


@dataclass(frozen=True)
class Ptr:
    """The address of anything else."""

    target: Type
    value: int


@dataclass(frozen=True)
class ArrayPtr:
    """An array in kernel memory; the count of a flexible one is None."""

    element: Type
    count: int | None
    value: int


@dataclass(frozen=True)
class EnumValue:
    """A value of an enum."""

    enum: Enum
    value: int

    @property
    def name(self) -> str | None:
        """Return the name of the first constant of that value."""
        return next((name for name, value in self.enum.constants if value == self.value), None)


Address = (Symbol, StructPtr, Ptr, ArrayPtr)
CValue = (Symbol, StructType, StructPtr, Ptr, ArrayPtr, EnumValue)


def spell(type: Type) -> str:
    """Write a type the way the module does."""
    return view.spell(type).replace("{…}", "{...}")


def load(read: Read, type: Type, address: int, bits: int | None = None, shift: int = 0) -> object:
    """Read a value of a C type; ``bits`` and ``shift`` are those of a bitfield."""
    plain = strip(type)
    if isinstance(plain, Record):
        return StructPtr(plain, address)
    if isinstance(plain, Array):
        return ArrayPtr(plain.target, plain.count, address)
    if isinstance(plain, (Void, Function)):
        return Ptr(type, address)
    size = size_of(plain)
    if not size:
        raise EvalError("TypeError", f"{spell(type)} has no size")
    if isinstance(plain, Pointer):
        return pointer(plain, int.from_bytes(read(address, size), "little"))
    if not isinstance(plain, (Base, Enum)) or (size > 8 and bits is None):
        return read(address, size)
    if bits is None:
        word, width = int.from_bytes(read(address, size), "little"), size * 8
    else:
        raw = read(address, (shift + bits + 7) // 8)
        word, width = int.from_bytes(raw, "little") >> shift & (1 << bits) - 1, bits
    signed = plain.signed if isinstance(plain, Enum) else plain.encoding == "signed"
    if signed and word >> (width - 1):
        word -= 1 << width
    if isinstance(plain, Enum):
        return EnumValue(plain, word)
    return bool(word) if plain.encoding == "bool" else word


def pointer(type: Pointer, value: int) -> object:
    """Return the pointer object for a value of a pointer type."""
    target = strip(type.target)
    return StructPtr(target, value) if isinstance(target, Record) else Ptr(type.target, value)


def index(read: Read, value: object, at: int) -> object:
    """Read an element as C does."""
    if isinstance(value, StructPtr):
        return StructPtr(value.record, (value.value + at * value.record.size) & MASK64)
    if isinstance(value, ArrayPtr):
        if at < 0:
            raise EvalError("IndexError", f"negative index {at}")
        if value.count is not None and at >= value.count:
            raise EvalError("IndexError", f"index {at} of an array of {value.count}")
        target = value.element
    else:
        assert isinstance(value, Ptr)
        target = value.target
    size = size_of(target)
    if not size:
        raise EvalError("TypeError", "what this points to has no size")
    if not value.value:
        kind = "an array" if isinstance(value, ArrayPtr) else "a pointer"
        raise EvalError("ValueError", f"NULL deref! of {kind}")
    return load(read, target, (value.value + at * size) & MASK64)


def members(record: Record, base: int = 0, depth: int = 0) -> Iterator[tuple[Member, int]]:
    """Iterate over the named members with their bit offsets; those of anonymous ones, too."""
    if depth > _MAX_DEPTH:
        return
    for member in record.members:
        if member.name is not None:
            yield member, base + member.offset
            continue
        inner = strip(member.type)
        if isinstance(inner, Record):
            yield from members(inner, base + member.offset, depth + 1)


def member(record: Record, name: str) -> tuple[Member, int]:
    """Find a member and its bit offset."""
    for found, offset in members(record):
        if found.name == name:
            return found, offset
    what = f"{record.kind} {record.name or ''}".rstrip()
    if record.incomplete or not record.members:
        raise EvalError("AttributeError", f"the members of {what} are not known")
    raise EvalError("AttributeError", f"{what} has no member '{name}'")


def field(read: Read, value: StructPtr, name: str) -> object:
    """Read a member of a struct."""
    found, offset = member(value.record, name)
    place = f"{value.record.name or '?'}.{name}"
    if not value.value:
        raise EvalError("ValueError", f"NULL deref! {place}")
    address = (value.value + offset // 8) & MASK64
    try:
        return load(read, found.type, address, found.bits, offset % 8)
    except FaultError:
        raise EvalError("OSError", f"(14, 'bad address {address:#x} ({place})')") from None


def follow(record: Record, path: str) -> tuple[Type, int, int | None]:
    """Follow "a.b[2].c": the type there, the bit offset, the width of a bitfield."""
    type: Type = record
    offset, bits = 0, None
    for part in path.split("."):
        name, *indexes = part.split("[")
        plain = strip(type)
        if not isinstance(plain, Record):
            raise EvalError("AttributeError", f"'{path}': what is before '{name}' is no struct")
        found, at = member(plain, name)
        type, offset, bits = found.type, offset + at, found.bits
        for text in indexes:
            array = strip(type)
            number = text.rstrip("]")
            if not isinstance(array, Array) or not number.isdigit() or not text.endswith("]"):
                raise EvalError("ValueError", f"'{path}' is not a member path")
            if array.count is not None and int(number) >= array.count:
                raise EvalError("IndexError", f"'{path}': [{number}] is out of range")
            type = array.target
            offset += int(number) * (size_of(type) or 0) * 8
    return type, offset, bits


def is_text(value: ArrayPtr) -> bool:
    """Say whether an array is one of char."""
    plain = strip(value.element)
    return isinstance(plain, Base) and plain.name == "char"


def text(read: Read, value: ArrayPtr, limit: int = 4096) -> str:
    """Read the text in an array of char, up to its NUL."""
    found = b""
    most = limit if value.count is None else min(value.count, limit)
    while len(found) < most:
        at = value.value + len(found)
        piece = read(at, min(64 - at % 64, most - len(found)))
        end = piece.find(0)
        found += piece if end < 0 else piece[:end]
        if end >= 0:
            break
    return "".join(chr(byte) if byte < 0x80 else "?" for byte in found)


def error_name(value: int) -> str | None:
    """Name the error that a pointer of the kernel stands for, None when it is none."""
    code = -value & MASK64
    if not 0 < code <= _MOST_ERRNO:
        return None
    name = errno.errorcode.get(code) or _INNER.get(code)
    return f"-{name}" if name else f"{-code}"


def described(value: object, is_exported: bool = False, module: str | None = None) -> str:
    """Return the repr that the module's object of that value has."""
    if isinstance(value, Symbol):
        where = f", module '{module}'" if module else ""
        return f"Symbol('{value.name}', {value.value:#x}{where}" + (
            ", exported)" if is_exported else ")"
        )
    if isinstance(value, StructType):
        return f"Struct({value.record.size * 8}, '{value.record.name or ''}', ...)"
    if isinstance(value, StructPtr):
        return f"StructPtr({_place(value.value)}, {described(StructType(value.record))})"
    if isinstance(value, Ptr):
        return f"Ptr(<{spell(value.target)}>, {_place(value.value)})"
    if isinstance(value, ArrayPtr):
        count = "?" if value.count is None else value.count
        return f"ArrayPtr({value.value:#x}, {count}, <{spell(value.element)}>)"
    assert isinstance(value, EnumValue)
    return f"{value.value} ({value.name})" if value.name else str(value.value)


def _place(address: int) -> str:
    name = error_name(address)
    return f"{address:#x}" if name is None else f"ERR_PTR({name})"


def address_of(value: object) -> int | None:
    """Return the address that a value stands for, None for other values."""
    return value.value if isinstance(value, (Symbol, StructPtr, Ptr, ArrayPtr)) else None


def complete(value: StructPtr, found: object) -> StructPtr:
    """Return the pointer with the definition of a struct that was only declared."""
    if isinstance(found, Record):
        return StructPtr(found, value.value)
    raise AbsentError(f"the members of {value.record.kind} {value.record.name} are not known")
