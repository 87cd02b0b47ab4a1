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
