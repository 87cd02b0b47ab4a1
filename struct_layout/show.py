# SPDX-License-Identifier: GPL-2.0-or-later
"""A type as text: C with offsets and sizes, and what lies between the members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from struct_layout.model import Array, Enum, Qualified, Record, Type, Typedef, size_of, strip
from struct_layout.view import shape, spell

_CACHELINE = 64


_INDENT = " " * 8
_COMMENT_AT = 48  # the column where comments begin, when the code leaves room


def render(type: Type) -> str:
    """Return the C-like text of a named type."""
    text = []
    for line in _lines(type):
        code, tab, comment = line.lstrip("\t").partition("\t")
        depth = len(line) - len(line.lstrip("\t"))
        if tab:
            # Comments stand in a column, two spaces away from longer lines.
            code = f"{_INDENT * depth}{code}"
            text.append(f"{code:<{_COMMENT_AT}}  {comment}")
        else:
            text.append(f"{_INDENT * depth}{code}")
    return "\n".join(text)


def _lines(type: Type) -> Iterator[str]:
    if isinstance(type, Typedef):
        behind = strip(type)
        if isinstance(behind, (Record, Enum)) and behind.name is None:
            lines = list(_lines(behind))
            yield f"typedef {lines[0]}"
            yield from lines[1:-1]
            head, _, comment = lines[-1].partition(";")
            yield f"{head} {type.name};{comment}"
        else:
            yield f"typedef {spell(type.target, type.name)};"
    elif isinstance(type, Enum):
        yield f"enum {type.name} {{" if type.name else "enum {"
        for name, value in type.constants:
            yield f"\t{name} = {value},"
        sign = "signed" if type.signed else "unsigned"
        yield f"}};\t/* {_bytes(type.size)}, {sign} */"
    elif isinstance(type, Record):
        yield from _record(type, 0, 0, "")


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"


def _record(record: Record, base: int, depth: int, name: str) -> Iterator[str]:
    tabs = "\t" * depth
    tag = f" {record.name}" if record.name else ""
    yield f"{tabs}{record.kind}{tag} {{"
    position, shown = base, 0  # bits; the last cacheline told
    for member in record.members:
        at = base + member.offset
        if record.kind == "struct":
            if at > position:
                yield f"{tabs}\t/* hole of {_distance(at - position)} */"
            line, into = divmod(at // 8, _CACHELINE)
            if depth == 0 and line > shown:
                shown = line
                behind = f" began {_bytes(into)} ago" if into else ""
                yield f"{tabs}\t/* ---- cacheline {line}{behind} ---- */"
        yield from _member(member.name or "", at, member.bits, member.type, depth + 1)
        width = member.bits if member.bits is not None else (size_of(member.type) or 0) * 8
        position = max(position, at + width)
    if record.opaque:
        yield f"{tabs}\t/* members that cannot be described */"
    padding = base + record.size * 8 - position
    if record.kind == "struct" and padding > 0 and record.members:
        yield f"{tabs}\t/* padding of {_distance(padding)} */"
    packed = ", packed" if record.packed else ""
    align = f", aligned to {record.align}" if record.align else ""
    if depth:
        end = f" {name}" if name else ""
        yield f"{tabs}}}{end};\t/* {base // 8:#x} {record.size} */"
    else:
        yield f"}};\t/* {_bytes(record.size)}{align}{packed} */"


def _distance(bits: int) -> str:
    return _bytes(bits // 8) if bits % 8 == 0 else f"{bits} bits"


def _member(name: str, at: int, bits: int | None, type: Type, depth: int) -> Iterator[str]:
    inner, dims = type, ""
    while isinstance(inner, (Qualified, Array)):
        if isinstance(inner, Array):
            dims += f"[{'' if inner.count is None else inner.count}]"
        inner = inner.target
    if isinstance(inner, Record) and inner.name is None and not isinstance(type, Typedef):
        yield from _record(inner, at, depth, name + dims)
        return
    tabs = "\t" * depth
    if bits is None:
        size = size_of(type)
        yield f"{tabs}{spell(type, name)};\t/* {at // 8:#x} {'?' if size is None else size} */"
    else:
        yield f"{tabs}{spell(type, name)}:{bits};\t/* {at // 8:#x}:{at % 8} */"


def as_data(type: Type) -> dict[str, Any]:
    """Return a named type as plain data, for JSON."""
    if isinstance(type, Typedef):
        behind = strip(type)
        data: dict[str, Any] = {"kind": "typedef", "name": type.name, "type": spell(type.target)}
        if isinstance(behind, (Record, Enum)) and behind.name is None:
            data["definition"] = as_data(behind)
        return data
    if isinstance(type, Enum):
        return {
            "kind": "enum",
            "name": type.name,
            "size": type.size,
            "signed": type.signed,
            "constants": [{"name": name, "value": value} for name, value in type.constants],
        }
    assert isinstance(type, Record)
    return {
        "kind": type.kind,
        "name": type.name,
        "size": type.size,
        "align": type.align,
        "packed": type.packed,
        "members": [_member_data(*member) for member in type.members],
    }


def _member_data(name: str | None, offset: int, bits: int | None, type: Type) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": name,
        "offset": offset // 8,
        "size": size_of(type),
        "type": spell(type),
    }
    if bits is not None:
        data["bit"], data["bits"] = offset % 8, bits
    signed = shape(type)
    if signed[0] == "int":
        data["signed"] = signed[2]
    inner = type
    while isinstance(inner, (Qualified, Array)):
        inner = inner.target
    if isinstance(inner, Record) and inner.name is None:
        data["definition"] = as_data(inner)
    return data
