# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of the table's format, which Python, the module and the plugin each write down."""

from __future__ import annotations

import re

import pytest

from guest.paths import REPO
from struct_layout import table_format as t


@pytest.mark.parametrize(
    "path", ["kmod/structs/layout_format.h", "struct_layout/plugin/recorder.cc"]
)
def test_they_are_the_same_everywhere(path: str) -> None:
    text = (REPO / path).read_text("utf-8")
    kinds = re.search(r"enum(?: kind)? \{\s*(T_VOID,.*?)\};", text, re.DOTALL)
    assert kinds is not None
    names = re.findall(r"\w+", kinds[1])
    assert [getattr(t, name) for name in names] == list(range(t.T_VARIABLE + 1))
    flags = re.findall(r"\b([REF]_[A-Z]+)(?: = | )\(?(1 << \d+|\d+)", text)
    assert {"R_INCOMPLETE", "E_SIGNED", "F_VARIADIC"} <= {name for name, _ in flags}
    for name, value in flags:
        one, _, shift = value.partition(" << ")
        assert getattr(t, name) == int(one) << int(shift or 0), name
