# SPDX-License-Identifier: GPL-2.0-or-later
"""What a C function receives when Python calls it: tests/guest/modules/recorder.c writes it down.

The module has BTF of its own, written by pahole; the expected values are what the C standard's
conversions give, computed here.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from conftest import build_module

from guest import registry
from guest.agent import Agent

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

UNTOUCHED = 0xEEEEEEEEEEEEEEEE
LONG_TEXT = "x" * 40 + "\u20ac"
EDGES = {
    "s8": (-128, 127),
    "u8": (0, 255),
    "s16": (-(1 << 15), (1 << 15) - 1),
    "u16": (0, 65535),
    "s32": (-(1 << 31), (1 << 31) - 1),
    "u32": (0, (1 << 32) - 1),
    "s64": (-(1 << 63), (1 << 63) - 1),
    "u64": (0, (1 << 64) - 1),
}


def u64(value: int) -> int:
    return value % (1 << 64)


@pytest.fixture(scope="module")
def recorder(guest: LiveGuest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGuest]:
    """Return the guest with the recorder in it."""
    ko = build_module("recorder", tmp_path_factory.mktemp("recorder"), btf=True)
    Agent.of(registry.running(guest.name)).push(ko, "/tmp/recorder.ko")
    status, out = guest.sh("insmod /tmp/recorder.ko")
    assert status == 0, out
    guest.py("def seen(n):\n    return [p64(recorder_seen + 8 * i) for i in range(n)]\n")
    yield guest
    status, out = guest.sh("rmmod recorder")
    assert status == 0, out


def values(guest: LiveGuest, code: str) -> list[object]:
    """Run code that must succeed; return the values it printed as literals, line by line."""
    out, err = guest.py(code)
    assert not err, err
    return [eval(line, {"__builtins__": {}}) for line in out.splitlines()]


def last(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


@pytest.mark.parametrize("raw", ["", ".raw"])
def test_twelve_arguments(recorder: LiveGuest, raw: str) -> None:
    """The first six in registers, six on the stack."""
    sent = [(-1) ** i * ((i + 1) << 56 | i) for i in range(12)]
    arguments = ", ".join(map(str, sent))
    code = f"recorder_twelve{raw}({arguments})\nprint(seen(13))"
    assert values(recorder, code) == [[*map(u64, sent), UNTOUCHED]]


@pytest.mark.parametrize("n", range(12))
def test_untyped_counts(recorder: LiveGuest, n: int) -> None:
    """By address no prototype is known."""
    sent = [0x1111111111111111 * (i + 1) for i in range(n)]
    code = f"recorder_twelve.raw({', '.join(map(str, sent))})\nprint(seen({n or 1}))"
    expected = sent if n else values(recorder, "print(seen(1))")[0]
    assert isinstance(expected, list)
    assert values(recorder, code)[0][: n or 0] == expected[:n]  # type: ignore[index]


@pytest.mark.parametrize("side", [0, 1])
def test_widths(recorder: LiveGuest, side: int) -> None:
    edges = [pair[side] for pair in EDGES.values()]
    char = (-128, 127)[side]
    arguments = ", ".join(map(str, [*edges, bool(side), char]))
    code = (
        "before = p32(recorder_calls)\n"
        f"print(recorder_widths({arguments}) - before)\nprint(seen(11))"
    )
    assert values(recorder, code) == [1, [*map(u64, [*edges, side, char]), UNTOUCHED]]


@pytest.mark.parametrize("side", [0, 1])
def test_widths_on_the_stack(recorder: LiveGuest, side: int) -> None:
    edges = [EDGES[name][side] for name in ("s8", "u8", "s16", "u16", "s32", "u32")]
    arguments = ", ".join(map(str, [1, 2, 3, 4, 5, 6, *edges]))
    code = f"recorder_stack({arguments})\nprint(seen(13))"
    assert values(recorder, code) == [[1, 2, 3, 4, 5, 6, *map(u64, edges), UNTOUCHED]]


@pytest.mark.parametrize(("position", "name"), list(enumerate(EDGES)))
def test_one_too_far(recorder: LiveGuest, position: int, name: str) -> None:
    """Both representations of a value of the width are taken, nothing beyond; and no call made."""
    low, high = EDGES[name]
    bits = int(name[1:])
    for value in (-(1 << (bits - 1)) - 1, 1 << bits):
        arguments = [0] * 10
        arguments[position] = value
        before = values(recorder, "print(p32(recorder_calls))")
        error = last(recorder, f"recorder_widths({', '.join(map(str, arguments))})")
        if bits == 64:
            assert error.startswith(("OverflowError", "ValueError")), error
        else:
            assert error.startswith(f"ValueError: argument {position + 1}: {value} does not fit")
        assert values(recorder, "print(p32(recorder_calls))") == before
    assert low < high


def test_enums_unions_structs_pointers_functions(recorder: LiveGuest) -> None:
    code = (
        "import kernel_ffi\n"
        "p = kmalloc(8)\n"
        "f = kernel_ffi.callback(lambda v: v * 3)\n"
        f"pair = {ctypes.c_uint32(-5).value} | 7 << 32\n"
        "print(recorder_kinds(-3, 0x1122334455667788, pair, p, jiffies_64, f))\n"
        "print(seen(7) == [(1 << 64) - 3, 0x1122334455667788, (1 << 64) - 5, 7, int(p),\n"
        "                  int(jiffies_64), int(f.ptr())])\n"
        "print(recorder_kinds(7, 0, 0, None, 'text', None))\n"
        "print(seen(1)[0], seen(7)[4], seen(7)[6])\n"
        "f.rm()\n"
        "kfree(p)\n"
    )
    out, err = recorder.py(code)
    assert not err, err
    assert out.splitlines() == ["21", "True", "0", "7 0 0"]


def test_variadic(recorder: LiveGuest) -> None:
    sent = [5, -1, 1 << 63, -(1 << 63), (1 << 64) - 1, 0, 77, 8, 9, 10, 11]
    code = f"print(recorder_variadic(11, {', '.join(map(str, sent))}))\nprint(seen(13))"
    assert values(recorder, code) == [-11, [11, *map(u64, sent), UNTOUCHED]]


@pytest.mark.parametrize("text", ["", "a", "with spaces", "\u20ac\u00e4", LONG_TEXT])
@pytest.mark.parametrize("kind", ["str", "bytes", "bytearray"])
def test_strings(recorder: LiveGuest, text: str, kind: str) -> None:
    data = text.encode()
    literal = repr(text) if kind == "str" else f"{kind}({data!r})"
    code = (
        f"recorder_string({literal}, {len(data) + 1})\n"
        f"print(seen(2), kbytes(recorder_text, {len(data) + 1}))"
    )
    out, err = recorder.py("from kernel_ffi import bytes as kbytes\n" + code)
    assert not err, err
    assert out.strip() == f"[{len(data)}, {UNTOUCHED}] {data + bytes(1)!r}"


@pytest.mark.parametrize("name", EDGES)
def test_results(recorder: LiveGuest, name: str) -> None:
    bits, signed = int(name[1:]), name[0] == "s"
    kind = getattr(ctypes, f"c_{'' if signed else 'u'}int{bits}")
    sent = [0, 1, 0x7F, 0x80, 0xFF, 0x8000, 0xFFFF8001, 0x80000000, 1 << 63, (1 << 64) - 1]
    code = f"print([recorder_{name}(v) for v in {sent}])"
    assert values(recorder, code) == [[kind(v).value for v in sent]]


def test_results_of_other_kinds(recorder: LiveGuest) -> None:
    out, err = recorder.py(
        "print(recorder_bool(0), recorder_bool(2), recorder_bool(256))\n"
        "print(recorder_char(0x1ff), recorder_color((1 << 64) - 3), recorder_void())\n"
        "p = recorder_pointer(0)\n"
        "print(bool(p), p.__struct__.name)\n"
        "print(recorder_pointer((1 << 64) - 2), is_err(recorder_any((1 << 64) - 2)))\n"
        "print(int(recorder_any(4096)), is_err(recorder_any(4096)))\n"
        "print(int(recorder_text) and recorder_s64.raw(-1))\n"
    )
    assert not err, err
    got = out.splitlines()
    assert got[0] in ("0 1 1", "False True True")
    assert got[1:3] == ["-1 -3 None", "False list_head"]
    assert "ERR_PTR(-ENOENT)" in got[3] and got[3].endswith(" True")
    assert got[4:] == ["4096 False", str((1 << 64) - 1)]


def test_prototypes_come_from_the_modules_btf(recorder: LiveGuest) -> None:
    out, err = recorder.py(
        "print(recorder_kinds.prototype)\n"
        "print(recorder_variadic.prototype, recorder_void.prototype)"
    )
    assert not err, err
    assert out.splitlines() == [
        (
            "int recorder_kinds(enum recorder_color color, union recorder_word word, "
            "struct recorder_pair pair, struct recorder_pair *pointer, void *any, "
            "int (*function)(int))"
        ),
        "int recorder_variadic(int n, ...) void recorder_void(void)",
    ]


def test_symbols_of_a_module_that_went(recorder: LiveGuest) -> None:
    """A Symbol outlives its module: a call then is an exception, and the new module is found."""
    out, err = recorder.py("kept = symbol('recorder_s8')\nprint(kept(200))")
    assert (out, err) == ("-56\n", "")
    status, out = recorder.sh("rmmod recorder")
    assert status == 0, out
    try:
        gone = r"ValueError: 'recorder_s8' is no longer at 0x\w{16}: its module was unloaded"
        assert re.fullmatch(gone, last(recorder, "kept(200)"))
        assert "'recorder_s8'" in last(recorder, "recorder_s8(200)")
        assert last(recorder, "symbol('recorder_s8')").startswith("NameError")
    finally:
        status, out = recorder.sh("insmod /tmp/recorder.ko")
    assert status == 0, out
    assert recorder.py("print(symbol('recorder_s8')(200))") == ("-56\n", "")


def test_first_use_by_many_at_once(recorder: LiveGuest) -> None:
    """Eight threads resolve the same names for the first time, after a reload of the module."""
    status, out = recorder.sh("rmmod recorder && insmod /tmp/recorder.ko")
    assert status == 0, out
    code = (
        "import _thread, time\n"
        "results = []\n"
        "def work():\n"
        "    for name, kind in (('s8', -1), ('u8', 255), ('s16', -1), ('u32', 0xffffffff)):\n"
        "        f = symbol('recorder_' + name)\n"
        "        if f(0xffffffff) != kind: results.append((name, f(0xffffffff)))\n"
        "    results.append('done')\n"
        "for i in range(8): _thread.start_new_thread(work, ())\n"
        "for i in range(500):\n"
        "    if len(results) >= 8: break\n"
        "    time.sleep_ms(10)\n"
        "print(results)\n"
    )
    assert values(recorder, code) == [["done"] * 8]
