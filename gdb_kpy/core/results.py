# SPDX-License-Identifier: GPL-2.0-or-later
"""Python source as it is typed at GDB, and values as they are shown there."""

from __future__ import annotations

import re

_STRING = (
    r"(?:'{3}(?:\\.|[^\\])*?'{3}"
    r'|"{3}(?:\\.|[^\\])*?"{3}'
    r"|'(?:\\.|[^'\\\n])*'"
    r'|"(?:\\.|[^"\\\n])*")'
)
_RESULT = re.compile(rf"{_STRING}|#[^\n]*|\$kpy(\d*)\b", re.S)
_INTEGER = re.compile(rf"{_STRING}|(?<![\w.])-?\d+(?![\w.])|-?\b0x[0-9a-f]+\b", re.S)


def expand(source: str) -> str:
    """Replace `$kpy` and `$kpyN`, outside strings and comments, by calls that give the results."""
    return _RESULT.sub(
        lambda m: m.group() if m.group(1) is None else f"__kpy__({m.group(1) or 0})", source
    )


def hexadecimal(text: str) -> str:
    """Write the integers of a repr, outside strings, in hexadecimal."""

    def one(match: re.Match[str]) -> str:
        word = match.group()
        return f"{int(word):#x}" if word.lstrip("-").isdecimal() else word

    return _INTEGER.sub(one, text)


def decimal(text: str) -> str:
    """Write the integers of a repr, outside strings, in decimal."""

    def one(match: re.Match[str]) -> str:
        word = match.group()
        return str(int(word, 16)) if "0x" in word[:3] else word

    return _INTEGER.sub(one, text)
