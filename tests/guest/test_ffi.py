# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel symbols, calls and memory from Python in the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def value(guest: LiveGuest, expression: str, setup: str = "") -> str:
    out, err = guest.py(f"{setup}\nprint({expression})")
    assert not err, err
    return out.rstrip("\n")


def error(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


def kallsyms(guest: LiveGuest, name: str) -> int:
    """Address of a symbol as the kernel tells user space."""
    status, out = guest.sh(f"grep -w {name}$ /proc/kallsyms")
    assert status == 0
    return int(out.split()[0], 16)


def test_printk_of_the_article(guest: LiveGuest) -> None:
    code = 'printk("so.. %s %d %d %d\\n", "hello", 123, None, True)'
    assert value(guest, code) == "18"
    _, log = guest.sh("dmesg")
    lines = [line for line in log.splitlines() if "so.. " in line]
    assert re.sub(r"^\[.*?\] ", "", lines[-1]) == "so.. hello 123 0 1"


def test_symbols_are_the_kernels(guest: LiveGuest) -> None:
    for name in ("jiffies_64", "init_task", "ksize"):
        assert int(value(guest, f"int({name})")) == kallsyms(guest, name)
        assert int(value(guest, f"int(symbol('{name}'))")) == kallsyms(guest, name)
    # printk became a macro in 5.15; the function behind it is _printk.
    assert int(value(guest, "int(printk)")) == kallsyms(guest, "_printk")


def test_symbol_arithmetic(guest: LiveGuest) -> None:
    base = kallsyms(guest, "init_task")
    answer = value(
        guest,
        "(int(s + 8), 8 + s == s + 8, (s + 8) - s, s == int(s), int(s) == s, s - s)",
        "s = init_task",
    )
    assert answer == f"({base + 8}, True, 8, True, True, 0)"
    assert value(guest, "repr(symbol('init_task'))") == f"Symbol('init_task', {base:#x}, exported)"


def test_jiffies_grow(guest: LiveGuest) -> None:
    first = int(value(guest, "p64(jiffies_64)"))
    guest.sh("sleep 0.1")
    second = int(value(guest, "p64(jiffies_64)"))
    assert first < second < first + 100_000


def test_memory_against_proc(guest: LiveGuest) -> None:
    _, version = guest.sh("cat /proc/version")
    assert value(guest, "k.str(linux_banner)", "import kernel_ffi as k").strip() == version.strip()
    got = value(guest, "k.bytes(linux_banner, 13)", "import kernel_ffi as k")
    assert got == "b'Linux version'"


def test_widths_of_reads_and_writes(guest: LiveGuest) -> None:
    out, err = guest.py(
        "b = bytearray(16)\n"
        "import uctypes\n"
        "a = uctypes.addressof(b)\n"
        "p8(a, 0x11); p16(a + 2, 0x2233); p32(a + 4, 0x44556677); p64(a + 8, 0x8899aabbccddeeff)\n"
        "print(bytes(b))\n"
        "print(p8(a), p16(a + 2), p32(a + 4), p64(a + 8))\n"
        "p8(a, -1); p16(a + 2, -2); p32(a + 4, -3); p64(a + 8, -4)\n"
        "print(p8(a), p16(a + 2), p32(a + 4), p64(a + 8))\n"
    )
    assert not err
    expected = bytes([0x11, 0, 0x33, 0x22, 0x77, 0x66, 0x55, 0x44]) + bytes.fromhex(
        "ffeeddccbbaa9988"
    )
    first, second, third = out.splitlines()
    assert first == repr(expected)
    assert second == f"{0x11} {0x2233} {0x44556677} {0x8899AABBCCDDEEFF}"
    assert third == f"{2**8 - 1} {2**16 - 2} {2**32 - 3} {2**64 - 4}"


@pytest.mark.parametrize("address", ["8", "0xffff800000000000", "0x7fffffffe000", "-1", "1 << 63"])
def test_bad_address_is_an_exception(guest: LiveGuest, address: str) -> None:
    for code in (
        f"p64({address})",
        f"p64({address}, 1)",
        f"import kernel_ffi as k\nk.str({address})",
    ):
        last = error(guest, code)
        assert re.fullmatch(r"OSError: \(14, 'bad address 0x[0-9a-f]+'\)", last), (code, last)


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("p8(init_task, 256)", "ValueError: value does not fit in 8 bits"),
        ("p8(init_task, -129)", "ValueError: value does not fit in 8 bits"),
        ("p16(init_task, 1 << 16)", "ValueError: value does not fit in 16 bits"),
        ("p64(init_task, 1 << 64)", "OverflowError: int does not fit in 64 bits"),
        ("p64('x')", "TypeError: 'str' is not an address"),
        ("jiffies_64()", "TypeError: 'jiffies_64' is data"),
        ("ksize.raw({})", "TypeError: argument 1: cannot pass 'dict'"),
        ("ksize.raw(0, [])", "TypeError: argument 2: cannot pass 'list'"),
        ("symbol('no_such_thing')", "NameError: kernel symbol 'no_such_thing' not found"),
        ("no_such_thing", "NameError: name 'no_such_thing' isn't defined"),
        ("import kernel_ffi as k\nk.bytes(linux_banner, -1)", "ValueError: negative length"),
    ],
)
def test_wrong_use_is_one_exception(guest: LiveGuest, code: str, last: str) -> None:
    assert error(guest, code) == last


def test_calls_with_every_kind_of_argument(guest: LiveGuest) -> None:
    out, err = guest.py(
        "b = bytearray(32)\n"
        "print(snprintf(b, 32, '%d %s %ld %x', -5, b'by', -1 << 40, True))\n"
        "print(bytes(b).rstrip(b'\\0'))\n"
        "print(strlen('four'), strcmp('a', b'a'), hex(memchr('hello', ord('l'), 5))[:4])\n"
        "print(snprintf(b, 32, '%d%d%d%d%d%d%d%d%d', 1, 2, 3, 4, 5, 6, 7, 8, 9), bytes(b[:9]))\n"
    )
    assert not err
    assert out.splitlines() == [
        f"{len('-5 by -1099511627776 1')}",
        "b'-5 by -1099511627776 1'",
        "4 0 0xff",
        "9 b'123456789'",
    ]


def test_thirteen_arguments_are_too_many(guest: LiveGuest) -> None:
    assert error(guest, "snprintf(" + ", ".join("0" * 13) + ")").startswith("TypeError")


def test_auto_globals_can_be_switched_off(guest: LiveGuest) -> None:
    out, err = guest.py(
        "from kernel_ffi import auto_globals\n"
        "same = symbol('init_task') == init_task\n"
        "auto_globals(False)\n"
        "try:\n"
        "    init_task\n"
        "except NameError as e:\n"
        "    print(e)\n"
        "finally:\n"
        "    auto_globals(True)\n"
        "print(same, init_task == symbol('init_task'))\n"
    )
    assert not err
    assert out.splitlines() == ["name 'init_task' isn't defined", "True True"]


def test_current_is_a_task_of_the_module(guest: LiveGuest) -> None:
    """current() names the thread that runs the session: its comm is in /proc."""
    out, err = guest.py(
        "import kernel_ffi as k\n"
        "raw = k.bytes(k.current(), 8192)\n"
        "at = raw.find(b'kpy-repl-')\n"
        "print(at > 0)\n"
        "comm = raw[at:at + 16].split(b'\\0')[0].decode()\n"
        "print(comm[:9])\n"
    )
    assert not err
    assert out.splitlines() == ["True", "kpy-repl-"]
