# SPDX-License-Identifier: GPL-2.0-or-later
"""First causes: GCC compiles the same headers for two configurations; what is told of it."""

from __future__ import annotations

from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.causes import explain
from struct_layout.compare import CheckResult, compare
from struct_layout.dwarf import open_dwarf

SOURCE = """
typedef unsigned int u32;
#ifdef WIDE
typedef unsigned long word;
#else
typedef unsigned int word;
#endif
enum level {
	LOW,
#ifdef EXTRA_LEVEL
	EXTRA,
#endif
	MIDDLE, HIGH
};
struct lock {
	u32 value;
#ifdef DEBUG_LOCK
	void *owner; u32 magic;
#endif
};
#ifdef SWAP
struct pair { int second; int first; };
#else
struct pair { int first; int second; };
#endif
struct list { struct list *next, *prev; };
struct inner { struct lock lock; struct list list; int count; };
struct outer { int id; struct inner inner; struct lock own; char name[NAMELEN]; long tail, more; };
struct far { struct outer *outer; struct inner inners[2]; word size; };
struct plain { int a; struct list list; struct pair *pair; };
struct flags { u32 a : 3, b : 5; enum level level; };
"""


def check(folder: Path, *flags: str, names: tuple[str, ...] = ()) -> CheckResult:
    """Compare the table of one configuration with the DWARF of the plain one."""
    source = folder / "config.c"
    source.write_text(SOURCE)
    plain = open_dwarf(kit.debug_info(source, "-DNAMELEN=16"))
    name = () if any(flag.startswith("-DNAMELEN") for flag in flags) else ("-DNAMELEN=16",)
    return compare(kit.table_of(source, *flags, *name), plain, names)


def differing(result: CheckResult) -> set[str]:
    return {each.name for each in result.types if each.verdict == "differs"}


def test_the_same_configuration(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.ok and result.counts()["equal"] >= 11


@pytest.mark.parametrize(
    ("flag", "types", "roots", "said"),
    [
        (
            "-DDEBUG_LOCK",
            {"struct lock", "struct inner", "struct outer", "struct far"},
            {"struct lock"},
            ["owner: presence: plugin at 8, dwarf absent",
             "magic: presence: plugin at 16, dwarf absent",
             "and so differ 3 types that contain it: struct far, struct inner, struct outer"],
        ),
        ("-DWIDE", {"word"}, {"word"}, ["size: plugin 8, dwarf 4"]),
        (
            "-DNAMELEN=32", {"struct outer"}, {"struct outer"},
            ["name: array length: plugin 32, dwarf 16",
             "tail … more: 2 members moved by +16 bytes"],
        ),
        (
            "-DEXTRA_LEVEL", {"enum level"}, {"enum level"},
            ["EXTRA: presence: plugin 1, dwarf absent",
             "MIDDLE … HIGH: 2 constants moved by +1"],
        ),
        (
            "-DSWAP", {"struct pair"}, {"struct pair"},
            ["second: offset: plugin 0, dwarf 4", "first: offset: plugin 4, dwarf 0"],
        ),
    ],
)  # fmt: skip
def test_another_configuration(
    tmp_path: Path, flag: str, types: set[str], roots: set[str], said: list[str]
) -> None:
    result = check(tmp_path, flag)
    found = differing(result)
    if flag == "-DWIDE":
        found -= {"struct far"}  # its last member is a word: it follows
    assert found == types
    why = explain(result.types)
    assert {root for each in why.values() for root in each.roots} == roots
    text = result.render_text()
    for line in said:
        assert line in text, text


def test_one_cause_is_told_once(tmp_path: Path) -> None:
    """Of 4 differing types one is the cause, and it alone is told in full."""
    lines = check(tmp_path, "-DDEBUG_LOCK").render_text().splitlines()
    assert [line for line in lines if line.endswith(": differs")] == ["struct lock: differs"]
    assert len(lines) < 8
    # What was asked for is told too, with its cause.
    text = check(tmp_path, "-DDEBUG_LOCK", names=("outer",)).render_text()
    assert text.splitlines()[1] == "struct outer: differs"
    assert "because of struct inner in inner" in text
    assert "because of struct lock in own" in text


def test_everything_one_by_one(tmp_path: Path) -> None:
    result = check(tmp_path, "-DDEBUG_LOCK")
    lines = result.render_text(None).splitlines()
    told = [line for line in lines if line.startswith("  ") and ": plugin " in line]
    assert len(told) == sum(len(each.differences) for each in result.types)


def test_several_causes(tmp_path: Path) -> None:
    result = check(tmp_path, "-DDEBUG_LOCK", "-DSWAP", "-DNAMELEN=24", "-DEXTRA_LEVEL")
    why = explain(result.types)
    assert why["struct outer"].roots == ("struct outer", "struct lock")
    assert why["struct inner"].roots == ("struct lock",)
    assert set(why) == differing(result)
    data = result.as_data()
    because = {each["name"]: each["because_of"] for each in data["results"]}
    assert because["struct far"] == ["struct lock"]
    assert because["struct list"] == []


def test_ten_thousand_differences(tmp_path: Path) -> None:
    """2,000 structs that contain one that grew: one cause, one screen."""
    body = "".join(
        f"struct user{n} {{ int a; struct lock lock; int b, c, d; }} user{n};\n"
        for n in range(2000)
    )
    source = tmp_path / "many.c"
    source.write_text(SOURCE + body)
    plain = open_dwarf(kit.debug_info(source, "-DNAMELEN=16"))
    result = compare(kit.table_of(source, "-DNAMELEN=16", "-DDEBUG_LOCK"), plain)
    assert sum(len(each.differences) for each in result.types) > 10000
    lines = result.render_text().splitlines()
    assert len(lines) < 8
    assert lines[1] == "struct lock: differs"
    assert "and so differ 2003 types that contain it" in lines[-1]
