# SPDX-License-Identifier: GPL-2.0-or-later
"""Types of several units become one set."""

from __future__ import annotations

from pathlib import Path

import layout_kit as kit

from struct_layout.model import Pointer, Record, strip
from struct_layout.table import Table

COMMON = """
struct loop { struct loop *next; struct pair *pair; enum shade { LIGHT } shade; };
struct pair { struct loop a, b; struct hidden *hidden; };
typedef struct { int x; } point_t;
int shared(struct pair *);
"""


def merged(folder: Path, *texts: str) -> Table:
    units = []
    for number, text in enumerate(texts):
        source = folder / f"unit{number}.c"
        source.write_text(text)
        units.append(kit.records(source))
    return kit.table_from(*units)


def record(table: Table, name: str, number: int = 0) -> Record:
    found = strip(table.find(name)[number])
    assert isinstance(found, Record)
    return found


def test_what_is_shared_is_kept_once(tmp_path: Path) -> None:
    alone = merged(tmp_path, COMMON)
    both = merged(tmp_path, COMMON, COMMON + "struct more { struct pair p; point_t q; };")
    assert len(both.find("loop")) == len(both.find("pair")) == len(both.find("point_t")) == 1
    assert both.counts()["records"] == alone.counts()["records"] + 1
    assert both.counts()["declarations"] == 1
    more = {m.name: m.type for m in record(both, "more").members}
    assert more["p"] is both.find("pair")[0]


def test_one_tag_of_two_meanings_stays_two(tmp_path: Path) -> None:
    first = "struct private { int a; }; struct user_a { struct private *p; };"
    second = "struct private { long b[2]; }; struct user_b { struct private *p; };"
    table = merged(tmp_path, first, second)
    assert {type.size for type in table.find("private") if isinstance(type, Record)} == {4, 16}
    sizes = {}
    for user in ("user_a", "user_b"):
        pointer = record(table, user).members[0].type
        assert isinstance(pointer, Pointer) and isinstance(pointer.target, Record)
        sizes[user] = pointer.target.size
    assert sizes == {"user_a": 4, "user_b": 16}


def test_what_refers_to_different_things_is_different(tmp_path: Path) -> None:
    """The two `outer` look alike; only what their pointer leads to differs."""
    text = "struct outer {{ struct inner *p; }}; struct inner {{ {} }};"
    table = merged(tmp_path, text.format("int a;"), text.format("long a;"))
    assert len(table.find("outer")) == 2


def test_a_unit_completes_what_another_only_declares(tmp_path: Path) -> None:
    declared = "struct far; struct near { struct far *p; };"
    table = merged(tmp_path, declared, declared + "struct far { int a, b; };")
    assert len(table.find("near")) == 1
    pointer = record(table, "near").members[0].type
    assert isinstance(pointer, Pointer) and isinstance(pointer.target, Record)
    assert not pointer.target.incomplete and pointer.target.size == 8
