# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ast

import pytest

from gdb_kpy.core.results import decimal, expand, hexadecimal


@pytest.mark.parametrize(
    ("typed", "python"),
    [
        ("$kpy", "__kpy__(0)"),
        ("$kpy12[0] + $kpy", "__kpy__(12)[0] + __kpy__(0)"),
        ("'$kpy' + \"$kpy1\"", "'$kpy' + \"$kpy1\""),
        (r"'it\'s $kpy1' % $kpy2", r"'it\'s $kpy1' % __kpy__(2)"),
        ("'''a' $kpy1 ''' + $kpy1", "'''a' $kpy1 ''' + __kpy__(1)"),
        ("x = 1 # $kpy1\n$kpy1", "x = 1 # $kpy1\n__kpy__(1)"),
        ("$kpyx $kpy_eval", "$kpyx $kpy_eval"),
        ("'unfinished $kpy1", "'unfinished __kpy__(1)"),
    ],
)
def test_names_of_results(typed: str, python: str) -> None:
    assert expand(typed) == python


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        2**70,
        [1, -255, "12 0x10", b"34", {7: (8, [9])}, None, True],
        {"a1": 1, 2: "b'3'", (4, -5): {6}},
        "it's 5 \\ \n 6",
    ],
)
def test_formats_keep_the_value(value: object) -> None:
    text = hexadecimal(repr(value))
    assert ast.literal_eval(text) == value
    assert decimal(text) == repr(value)


def test_hexadecimal() -> None:
    assert hexadecimal("[10, -16, 'a 10', f2, 3.5, Ptr(<u8>, 0x10)]") == (
        "[0xa, -0x10, 'a 10', f2, 3.5, Ptr(<u8>, 0x10)]"
    )
