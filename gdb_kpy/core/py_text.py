# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain values in MicroPython's own spelling."""

from __future__ import annotations

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: Beyond that many bits the digits of an int are not worth the time: hexadecimal instead.
MOST_BITS = 1 << 16
_CHUNK = 10**4000  # Python itself refuses to convert more digits at once


def integer(value: int, radix: int = 10) -> str:
    """Return an int's digits; Python limits their number, MicroPython does not."""
    if radix == 16 or value.bit_length() > MOST_BITS:
        return f"{value:#x}"
    if value < 0:
        return "-" + integer(-value)
    parts = []
    while value >= _CHUNK:
        value, rest = divmod(value, _CHUNK)
        parts.append(f"{rest:04000d}")
    return str(value) + "".join(reversed(parts))


def _quote(text: str, codes: list[int]) -> str:
    """Choose the quotes as MicroPython does."""
    return '"' if ord("'") in codes and ord('"') not in codes else "'"


def string(value: str) -> str:
    """Return the repr of a str."""
    quote = _quote(value, [ord(char) for char in value if char in "'\""])
    out = []
    for char in value:
        code = ord(char)
        if char == quote:
            out.append("\\" + quote)
        elif char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif 32 <= code <= 126:
            out.append(char)
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x100:
            out.append(f"\\x{code:02x}")
        elif code < 0x10000:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    return quote + "".join(out) + quote


def byte_string(value: bytes) -> str:
    """Return the repr of bytes."""
    quote = _quote("", list(value))
    out = []
    for code in value:
        char = chr(code)
        if char == quote:
            out.append("\\" + quote)
        elif char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif 32 <= code < 127:
            out.append(char)
        else:
            out.append(f"\\x{code:02x}")
    return "b" + quote + "".join(out) + quote
