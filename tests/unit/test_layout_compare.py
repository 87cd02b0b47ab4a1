# SPDX-License-Identifier: GPL-2.0-or-later
"""The cross-check finds every seeded fault, names it, and raises no false alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.compare import CheckResult, SelectionError, compare
from struct_layout.dwarf import DwarfSource, open_dwarf
from struct_layout.model import (
    Array,
    Base,
    Contents,
    Enum,
    Function,
    Identity,
    Member,
    Pointer,
    Record,
    Type,
    Typedef,
    Void,
    strip,
)
from struct_layout.table import Table
from struct_layout.table_writer import write_table

SOURCE = """
typedef unsigned int u32;
struct leaf { short a, b; };
struct other { short a, b; };
enum shade { LIGHT, DARK = 9, DARKER };
typedef struct { int counter; } count_t;
struct sample {
	int id;
	u32 flags : 3, mode : 5, rest : 24;
	long value;
	struct leaf leaf;
	struct leaf *link;
	char name[16];
	int grid[2][3];
	enum shade shade;
	count_t count;
	union {
		unsigned long raw;
		struct { u32 low, high; };
	};
	int (*call)(struct leaf *, long);
	struct { int x; int y; } point;
	_Bool ready;
	int swap_a;
	int swap_b;
	int last;
};
union either { int a; long b; };
struct flexible { int count; struct leaf leaves[]; };
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "sample.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def dwarf(source: Path) -> DwarfSource:
    return open_dwarf(kit.debug_info(source))


@pytest.fixture(scope="module")
def records(source: Path) -> Path:
    return kit.records(source)


def table(contents: Contents) -> Table:
    return Table(write_table(contents, Identity("test", "gcc")))


def named(contents: Contents, name: str) -> Type:
    for type in contents.types:
        if getattr(type, "name", None) == name:
            return strip(type)
    raise AssertionError(name)


def record(contents: Contents, name: str) -> Record:
    found = named(contents, name)
    assert isinstance(found, Record)
    return found


def change(name: str, member: str, **values: object) -> Callable[[Contents], None]:
    """Return a fault: another value for a fact of a member."""

    def apply(contents: Contents) -> None:
        target = record(contents, name)
        hits = [m for m in target.members if m.name == member]
        assert len(hits) == 1
        target.set_members(
            m._replace(**values) if m.name == member else m  # type: ignore[arg-type]
            for m in target.members
        )

    return apply


def drop(name: str, member: str) -> Callable[[Contents], None]:
    def apply(contents: Contents) -> None:
        target = record(contents, name)
        target.set_members(m for m in target.members if m.name != member)

    return apply


def extra(contents: Contents) -> None:
    target = record(contents, "sample")
    target.set_members([*target.members, Member("extra", 0, None, INT)])


def resize(contents: Contents) -> None:
    record(contents, "sample").size += 8


def shift(contents: Contents) -> None:
    """Everything behind `value` moves, as when a configuration adds a member."""
    target = record(contents, "sample")
    target.size += 8
    target.set_members(
        m._replace(offset=m.offset + 64) if m.offset > 64 else m for m in target.members
    )


def swap(contents: Contents) -> None:
    target = record(contents, "sample")
    names = {"swap_a": "swap_b", "swap_b": "swap_a"}
    target.set_members(m._replace(name=names.get(m.name or "", m.name)) for m in target.members)


def nested(contents: Contents) -> None:
    target = record(contents, "sample")
    point = next(m for m in target.members if m.name == "point").type
    assert isinstance(point, Record)
    point.set_members(m._replace(offset=m.offset ^ 32) for m in point.members)


def anonymous(contents: Contents) -> None:
    target = record(contents, "sample")
    union = next(m for m in target.members if m.name is None).type
    assert isinstance(union, Record)
    union.set_members(m if m.name else m._replace(offset=16) for m in union.members)


def enumerator(contents: Contents) -> None:
    shade = named(contents, "shade")
    assert isinstance(shade, Enum)
    shade.set_constants((n, 10 if n == "DARK" else v) for n, v in shade.constants)


def lost_enumerator(contents: Contents) -> None:
    shade = named(contents, "shade")
    assert isinstance(shade, Enum)
    shade.set_constants(shade.constants[:-1])


def more_enumerator(contents: Contents) -> None:
    shade = named(contents, "shade")
    assert isinstance(shade, Enum)
    shade.set_constants([*shade.constants, ("DARKEST", 99)])


def enum_size(contents: Contents) -> None:
    shade = named(contents, "shade")
    assert isinstance(shade, Enum)
    shade.size = 8


def reverse(contents: Contents) -> None:
    """The members of leaf in the other order, as when a plugin shuffles structs."""
    leaf = record(contents, "leaf")
    first, second = leaf.members
    leaf.set_members([second._replace(offset=0), first._replace(offset=16)])


def rename(contents: Contents) -> None:
    target = record(contents, "sample")
    target.set_members(m._replace(name="final") if m.name == "last" else m for m in target.members)


def enum_sign(contents: Contents) -> None:
    shade = named(contents, "shade")
    assert isinstance(shade, Enum)
    shade.signed = True


def kind(contents: Contents) -> None:
    record(contents, "leaf").kind = "union"


def typedef_target(contents: Contents) -> None:
    for type in contents.types:
        if isinstance(type, Typedef) and type.name == "u32":
            type.target = INT


INT = Base("int", 4, "signed")
UNSIGNED = Base("unsigned int", 4, "unsigned")
LONG = Base("long int", 8, "signed")
CHAR = Base("char", 1, "signed")
LEAF = Record("struct", "leaf", 4, 2)
OTHER = Record("struct", "other", 4, 2)

FAULTS: dict[str, tuple[Callable[[Contents], None], str, str]] = {
    "offset": (change("sample", "last", offset=8), "last", "offset"),
    "offset of a bitfield": (change("sample", "mode", offset=36), "mode", "bit position"),
    "width of a bitfield": (change("sample", "mode", bits=4), "mode", "bit width"),
    "bitfield to plain": (change("sample", "rest", bits=None), "rest", "bit width"),
    "plain to bitfield": (change("sample", "id", bits=31), "id", "bit width"),
    "size of a member": (change("sample", "id", type=LONG), "id", "size"),
    "sign": (change("sample", "id", type=UNSIGNED), "id", "signedness"),
    "bool": (change("sample", "ready", type=CHAR), "ready", "kind"),
    "array length": (change("sample", "name", type=Array(CHAR, 15)), "name", "array length"),
    "inner array length": (
        change("sample", "grid", type=Array(Array(INT, 4), 2)), "grid", "array length",
    ),
    "array to plain": (change("sample", "name", type=CHAR), "name", "kind"),
    "element type": (
        change("sample", "grid", type=Array(Array(UNSIGNED, 3), 2)), "grid", "signedness",
    ),
    "pointee": (change("sample", "link", type=Pointer(OTHER)), "link", "pointee"),
    "pointer depth": (change("sample", "link", type=Pointer(Pointer(LEAF))), "link", "pointee"),
    "pointer to plain": (change("sample", "link", type=LONG), "link", "kind"),
    "parameter": (
        change("sample", "call", type=Pointer(Function(INT, (Pointer(LEAF), INT), False))),
        "call", "pointee",
    ),
    "number of parameters": (
        change("sample", "call", type=Pointer(Function(INT, (Pointer(LEAF),), False))),
        "call", "pointee",
    ),
    "result": (
        change("sample", "call", type=Pointer(Function(LONG, (Pointer(LEAF), LONG), False))),
        "call", "pointee",
    ),
    "embedded struct": (change("sample", "leaf", type=OTHER), "leaf", "type"),
    "missing member": (drop("sample", "value"), "value", "presence"),
    "missing bitfield": (drop("sample", "flags"), "flags", "presence"),
    "extra member": (extra, "extra", "presence"),
    "size of the struct": (resize, "", "size"),
    "shifted by a new member": (shift, "leaf", "offset"),
    "swapped members of one size": (swap, "swap_a", "offset"),
    "inside a named unnamed struct": (nested, "point.x", "offset"),
    "inside an anonymous union": (anonymous, "low", "offset"),
    "enumerator": (enumerator, "DARK", "enumerator value"),
    "missing enumerator": (lost_enumerator, "DARKER", "presence"),
    "sign of an enum": (enum_sign, "", "signedness"),
    "struct to union": (kind, "leaf", "kind"),
    "typedef": (typedef_target, "", "signedness"),
    "order of two dimensions": (
        change("sample", "grid", type=Array(Array(INT, 2), 3)), "grid", "array length",
    ),
    "sign of a bitfield": (change("sample", "flags", type=INT), "flags", "signedness"),
    "float": (change("sample", "id", type=Base("float", 4, "float")), "id", "kind"),
    "void pointer": (change("sample", "link", type=Pointer(Void())), "link", "pointee"),
    "pointer to a union": (
        change("sample", "link", type=Pointer(Record("union", "leaf", 4))), "link", "pointee",
    ),
    "variadic": (
        change("sample", "call", type=Pointer(Function(INT, (Pointer(LEAF), LONG), True))),
        "call", "pointee",
    ),
    "offset in a union": (change("either", "b", offset=64), "b", "offset"),
    "flexible array with a length": (
        change("flexible", "leaves", type=Array(LEAF, 2)), "leaves", "array length",
    ),
    "renamed member": (rename, "last", "presence"),
    "one more enumerator": (more_enumerator, "DARKEST", "presence"),
    "size of an enum": (enum_size, "", "size"),
    "order of members": (reverse, "a", "offset"),
}  # fmt: skip


def test_no_false_alarm(records: Path, dwarf: DwarfSource) -> None:
    result = compare(table(kit.contents_of(records)), dwarf)
    assert result.ok, result.render_text()
    counts = result.counts()
    assert counts == {"equal": 8, "differs": 0, "only in plugin": 0, "only in dwarf": 0}
    assert result.member_counts()["equal"] == 34
    assert result.render_text() == "layouts: 8 types: 8 equal, 0 differs; 34 members equal, 0 not"


@pytest.mark.parametrize("fault", FAULTS)
def test_seeded_fault(fault: str, records: Path, dwarf: DwarfSource) -> None:
    apply, member, what = FAULTS[fault]
    contents = kit.contents_of(records)
    apply(contents)
    result = compare(table(contents), dwarf)
    assert not result.ok
    found = [(d.path, d.what) for t in result.types for d in t.differences]
    assert (member, what) in found, result.render_text()
    text = result.render_text()
    assert what in text and (member or "differs") in text


def test_a_shift_is_told_in_one_line(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    shift(contents)
    lines = compare(table(contents), dwarf, ["sample"]).render_text().splitlines()
    moved = [line for line in lines if "moved by" in line]
    assert len(moved) == 1, lines
    assert "leaf … last: " in moved[0] and "moved by +8 bytes" in moved[0]
    assert len(lines) < 10


def test_shifted_constants_are_told_in_one_line(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    shade = named(contents, "shade")
    assert isinstance(shade, Enum)
    shade.set_constants((name, value + 1) for name, value in shade.constants)
    lines = compare(table(contents), dwarf, ["shade"]).render_text().splitlines()
    assert len(lines) == 3
    assert "LIGHT … DARKER: 3 constants moved by +1" in lines[2]


def test_what_was_asked_for_comes_first(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    enumerator(contents)
    shift(contents)
    for selection in ([], ["sample"]):
        lines = compare(table(contents), dwarf, selection).render_text().splitlines()
        assert lines[1] == "struct sample: differs"
    lines = compare(table(contents), dwarf, ["sh*", "sample"]).render_text().splitlines()
    assert lines[1] == "struct sample: differs"


def check(records: Path, dwarf: DwarfSource, *names: str) -> CheckResult:
    return compare(table(kit.contents_of(records)), dwarf, names)


def names(result: CheckResult) -> list[str]:
    return [type.name for type in result.types]


def test_selecting(records: Path, dwarf: DwarfSource) -> None:
    everything = ["count_t", "enum shade", "struct leaf", "struct sample"]
    assert names(check(records, dwarf, "sample")) == [*everything]  # with what lies inside
    assert names(check(records, dwarf, "struct leaf")) == ["struct leaf"]
    assert names(check(records, dwarf, "union either", "leaf")) == ["struct leaf", "union either"]
    assert names(check(records, dwarf, "count*")) == ["count_t"]
    assert names(check(records, dwarf, "struct *l*")) == [
        "count_t", "enum shade", "struct flexible", "struct leaf", "struct sample",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("sampel", "unknown type 'sampel'; did you mean sample?"),
        ("struct either", "unknown type 'struct either'; did you mean union either?"),
        ("zzz*", "no type in the layout table matches 'zzz*'"),
        ("", "unknown type ''"),
    ],
)
def test_unknown_names(records: Path, dwarf: DwarfSource, wanted: str, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        check(records, dwarf, wanted)
    assert str(caught.value) == message


def test_an_empty_comparison_is_an_error(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    record(contents, "other").name = "renamed"
    with pytest.raises(SelectionError, match="nothing to compare: struct renamed not in dwarf"):
        compare(table(contents), dwarf, ["renamed"])
    with pytest.raises(SelectionError, match="the layout table has no types"):
        compare(table(Contents([], [])), dwarf)


def test_one_sided_types(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    record(contents, "other").name = "renamed"
    result = compare(table(contents), dwarf, ["renamed", "other", "leaf"])
    verdicts = {type.name: result.word(type.verdict) for type in result.types}
    assert verdicts == {
        "struct leaf": "equal",
        "struct other": "only in dwarf",
        "struct renamed": "only in plugin",
    }
    assert result.ok
    assert "struct renamed: only in plugin" in result.render_text()


def test_json(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    swap(contents)
    data = json.loads(compare(table(contents), dwarf, ["sample"]).to_json())
    assert data["ok"] is False
    assert data["types"]["differs"] == 1
    sample = next(r for r in data["results"] if r["name"] == "struct sample")
    assert {d["member"] for d in sample["differences"]} == {"swap_a", "swap_b"}


def test_many_differences_stay_readable(records: Path, dwarf: DwarfSource) -> None:
    contents = kit.contents_of(records)
    sample = record(contents, "sample")
    sample.set_members(
        m._replace(offset=m.offset ^ (8 << n % 3)) for n, m in enumerate(sample.members)
    )
    lines = compare(table(contents), dwarf).render_text().splitlines()
    assert len(lines) <= 20
    assert lines[-1].endswith("differences in all (-all shows them)")


def test_two_definitions_of_one_name(tmp_path: Path) -> None:
    """Two units, two private structs of one tag: the table's is one of them."""
    units = []
    for number, body in enumerate(("int a; char b;", "long a[4];")):
        unit = tmp_path / f"u{number}.c"
        unit.write_text(f"struct private {{ {body} }};\nstruct private p{number};\n")
        kit.run(kit.GCC, "-g", "-fPIC", "-c", unit, "-o", unit.with_suffix(".o"))
        units.append(unit.with_suffix(".o"))
    kit.run(kit.GCC, "-shared", "-nostdlib", *units, "-o", tmp_path / "both.so")
    both = open_dwarf(tmp_path / "both.so")
    for number in range(2):
        result = compare(kit.table_of(tmp_path / f"u{number}.c"), both, ["private"])
        assert result.ok
        assert result.types[0].definitions == 2
        assert "dwarf has 2 different types of it" in result.render_text()
