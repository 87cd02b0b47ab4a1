# SPDX-License-Identifier: GPL-2.0-or-later
"""Members of all shapes, written and read by the module, against what GCC does with them.

The module's layout table is made of members.c, and so is a program that prints what it stored.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from test_repl import INSMOD

from guest import registry
from guest.agent import Agent
from guest.relink import relink
from struct_layout.build import build_files
from struct_layout.prints import write_prints

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

SOURCE = Path(__file__).parent / "members.c"


class Stored(NamedTuple):
    """A struct as the program left it: what it was filled with before, its members, its bytes."""

    name: str
    fill: int
    values: dict[str, int]
    data: str


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    program = tmp_path_factory.mktemp("members") / "members"
    subprocess.run(["gcc-12", "-w", SOURCE, "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    found: list[Stored] = []
    values: dict[str, int] = {}
    for line in lines.splitlines():
        name, path, value, *negative = line.split()
        if path == "=":
            fill = (0, 0xFF, 0x5A)[len([s for s in found if s.name == name])]
            found.append(Stored(name, fill, values, value))
            values = {}
        else:
            values[path] = int(value) - (1 << 64 if negative == ["1"] else 0)
    assert len(found) == 15 and all(len(s.values) > 3 for s in found)
    return found


@pytest.fixture(scope="module")
def module(guest: LiveGuest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGuest]:
    """Return the guest with a module whose layout table is of members.c alone."""
    folder = tmp_path_factory.mktemp("own")
    table = build_files([SOURCE], folder / "table").table
    relink(table.data, write_prints(table), folder / "kpy.ko")
    Agent.of(registry.running(guest.name)).push(folder / "kpy.ko", "/tmp/own.ko")
    insmod = INSMOD.replace("/lib/kpy/kpy.ko", "/tmp/own.ko")
    status, out = guest.sh(f"rmmod kpy && {insmod}")
    try:
        assert status == 0, out
        yield guest
    finally:
        status, out = guest.sh(f"rmmod kpy; {INSMOD}; rm /tmp/own.ko")
        assert status == 0, out


def lines(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(code)
    assert not err, err
    return out.splitlines()


def error(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


def fresh(name: str, fill: int = 0) -> str:
    """Python that makes p, memory of a struct, and s, the struct."""
    return (
        f"p = kmalloc(sizeof('{name}'))\n"
        f"memset(p, {fill}, sizeof('{name}'))\n"
        f"s = lookup_struct('{name}')(p)\n"
    )


BYTES = "print(''.join('%02x' % p8(p + i) for i in range(sizeof(s))))\nkfree(p)\n"


def test_written_as_gcc_writes(module: LiveGuest, stored: list[Stored]) -> None:
    for want in stored:
        sets = "".join(f"s.{path} = {value}\n" for path, value in want.values.items())
        (data,) = lines(module, fresh(want.name, want.fill) + sets + BYTES)
        assert data == want.data, (want.name, want.fill)


def test_read_as_gcc_stored(module: LiveGuest, stored: list[Stored]) -> None:
    for want in stored:
        code = fresh(want.name)
        code += f"d = bytes.fromhex('{want.data}')\nfor i in range(len(d)): p8(p + i, d[i])\n"
        code += "".join(f"print(int(s.{path}))\n" for path in want.values)
        assert lines(module, code + "kfree(p)\n") == [str(v) for v in want.values.values()]


def test_types_of_values(module: LiveGuest) -> None:
    code = fresh("kpy_scalars") + (
        "s.yes = True\ns.plain = 5\ns.tiny = 200\n"
        "print(s.yes, s.no, s.plain.name, s.tiny.name, s.negative.name, s.sc)\nkfree(p)\n"
    )
    assert lines(module, code) == ["True False PLAIN_B TINY_B None 0"]


@pytest.mark.parametrize(
    ("struct", "member", "low", "high"),
    [
        ("kpy_scalars", "sc", -128, 127),
        ("kpy_scalars", "uc", 0, 255),
        ("kpy_scalars", "us", 0, 65535),
        ("kpy_scalars", "si", -(1 << 31), (1 << 31) - 1),
        ("kpy_scalars", "sl", -(1 << 63), (1 << 63) - 1),
        ("kpy_scalars", "ul", 0, (1 << 64) - 1),
        ("kpy_scalars", "yes", 0, 1),
        ("kpy_bits", "a", 0, 7),
        ("kpy_bits", "tail", -2, 1),
        ("kpy_bits", "quad", 0, (1 << 64) - 1),
        ("kpy_bits", "wider", 0, (1 << 50) - 1),
        ("kpy_packed", "c64", -(1 << 60), (1 << 60) - 1),
        ("kpy_packed", "straddles", 0, (1 << 30) - 1),
    ],
)
def test_ranges_are_exact(module: LiveGuest, struct: str, member: str, low: int, high: int) -> None:
    code = fresh(struct) + (
        f"for v in ({low}, {high}):\n    s.{member} = v\n    print(int(s.{member}) == v)\n"
        f"for v in ({low - 1}, {high + 1}):\n"
        f"    try: s.{member} = v\n    except ValueError as e: print(e)\n"
        "kfree(p)\n"
    )
    found = lines(module, code)
    assert found[:2] == ["True", "True"]
    assert len(found) == 4
    for line in found[2:]:
        assert re.fullmatch(
            rf"{struct}.{member}: value does not fit in \d+ (un)?signed bits?", line
        )


def test_128_bits_are_bytes(module: LiveGuest) -> None:
    code = fresh("kpy_wide") + (
        "print(sizeof(s), offsetof(s, 'ubig'), offsetof(s, 'after'), sizeof(s, 'big'))\n"
        "s.ubig = bytes(range(16))\n"
        "print(s.big == bytes(16), s.ubig == bytes(range(16)), p8(p + 31), p8(p + 32))\n"
    )
    assert lines(module, code) == ["48 16 32 16", "True True 15 0"]
    wrong = "kpy_wide.ubig: the number of bytes is not that of the type"
    assert error(module, "s.ubig = bytes(15)") == f"ValueError: {wrong}"
    assert error(module, "s.ubig = 1") == "TypeError: kpy_wide.ubig: only bytes can be stored here"
    lines(module, "kfree(p)")


def test_const_members_are_not_written(module: LiveGuest) -> None:
    lines(module, fresh("kpy_const", 0x11))
    assert error(module, "s.fixed = 1") == "TypeError: kpy_const.fixed is const"
    assert error(module, "s.pointer = 0") == "TypeError: kpy_const.pointer is const"
    assert error(module, "lookup_struct('kpy_bits')(p).fixed = 1") == (
        "TypeError: kpy_bits.fixed is const"
    )
    assert lines(
        module, "s.free = 7\nprint(hex(s.fixed), s.free, hex(int(s.pointer)))\nkfree(p)"
    ) == ["0x11111111 7 0x1111111111111111"]


def test_flexible_arrays(module: LiveGuest) -> None:
    code = (
        "p = kmalloc(64, 0xdc0)\nf = lookup_struct('kpy_flexible')(p)\n"
        "for i in range(5): f.list[i] = i * 1000\n"
        "print(sizeof('kpy_flexible'), f.list[4], f.list.read(2), p16(p + 12))\n"
    )
    assert lines(module, code) == ["4 4000 b'\\x00\\x00\\xe8\\x03' 4000"]
    unknown = "TypeError: kpy_flexible.list: the length of this array is not known"
    assert error(module, "len(f.list)") == unknown
    assert error(module, "list(f.list)") == unknown
    assert error(module, "f.list[0:2]") == unknown
    assert error(module, "f.list.read()") == unknown + ": read(n)"
    assert error(module, "f.list[-1]") == "IndexError: kpy_flexible.list: negative index -1"
    assert error(module, "f.list[0] = 70000") == (
        "ValueError: kpy_flexible.list[0]: value does not fit in 16 unsigned bits"
    )
    lines(module, "kfree(p)")


def test_arrays(module: LiveGuest) -> None:
    code = fresh("kpy_arrays") + (
        "s.grid[1][2] = -7\n"
        "print(len(s.grid), len(s.grid[1]), list(s.grid[1]), p16(p + 10))\n"
        "print(offsetof(s, 'grid[1][2]'))\n"
        "s.text = 'hello'\n"
        "print(str(s.text), s.text == 'hello', s.text[1:3], s.text[::4], len(s.none))\n"
        "s.wide[1] = p\n"
        "print(s.wide[1] == p, s.wide[1].__struct__.name, s.wide[0] == 0, bool(s.wide[0]))\n"
        "s.loose[1].after = 5\n"
        "print(p32(p + offsetof(s, 'loose[1].after')), [x.after for x in s.loose])\n"
        "s.text = 'longer!!'\n"
        "print(str(s.text), sizeof(s.text), s.text.read(3))\n"
    )
    assert lines(module, code) == [
        "2 3 [0, 0, -7] 65529",
        "10",
        "hello True [101, 108] [104, 111] 0",
        "True kpy_wide True False",
        "5 [0, 5]",
        "longer!! 8 b'lon'",
    ]
    only = "only bytes or str can be stored in an array of bytes"
    for code, last in (
        ("s.text = 'too long!'", "ValueError: kpy_arrays.text: Buffer overflow!"),
        ("s.grid[2]", "IndexError: kpy_arrays.grid: index 2 of an array of 2"),
        ("s.grid[1][3]", "IndexError: index 3 of an array of 3"),
        ("s.grid[1][1] = 'x'", "TypeError: short int[1]: cannot store 'str'"),
        ("s.none[0]", "IndexError: kpy_arrays.none: index 0 of an array of 0"),
        ("s.text[0] = 128", "ValueError: kpy_arrays.text[0]: value does not fit in 8 signed bits"),
        ("s.grid = b'x'", f"TypeError: kpy_arrays.grid: {only}"),
        ("s.wide[0].after", "ValueError: NULL deref! kpy_wide.after"),
        ("s.loose = 0", f"TypeError: kpy_arrays.loose: {only}"),
        ("lookup_struct('kpy_arrays')(8).text[1]",
         "OSError: (14, 'bad address 0x15 (kpy_arrays.text[1])')"),
    ):  # fmt: skip
        assert error(module, code) == last
    lines(module, "kfree(p)")
