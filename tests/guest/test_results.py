# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of kernel functions against what CPython, /proc and /sys say."""

from __future__ import annotations

import binascii
import datetime
import fnmatch
import math
import socket
import zlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

TEXT = "The quick brown fox"
MOMENT = int(datetime.datetime(2024, 2, 29, 23, 59, 58, tzinfo=datetime.timezone.utc).timestamp())

#: A call in the kernel, and CPython's answer.
COMPUTED: tuple[tuple[str, object], ...] = (
    (f"strlen({TEXT!r})", len(TEXT)),
    (f"strnlen({TEXT!r}, 5)", min(len(TEXT), 5)),
    ("strcmp('abc', 'abc')", 0),
    ("strcmp('abc', 'abd') < 0", "abc" < "abd"),
    ("strcmp('b', 'abd') > 0", "b" > "abd"),
    ("strncmp('abcx', 'abcy', 3)", 0),
    ("strcasecmp('HeLLo', 'hEllO')", 0),
    ("memcmp(b'abc', b'abb', 3) > 0", b"abc" > b"abb"),
    ("memchr(p, 0x7a, 4)", None),
    ("int_sqrt(1 << 40)", math.isqrt(1 << 40)),
    ("int_sqrt(99)", math.isqrt(99)),
    ("gcd(1071, 462)", math.gcd(1071, 462)),
    ("lcm(21, 6)", math.lcm(21, 6)),
    ("int_pow(7, 20)", 7**20),
    (f"crc32_le(0xffffffff, {TEXT!r}, {len(TEXT)}) ^ 0xffffffff", zlib.crc32(TEXT.encode())),
    ("hex_to_bin(ord('c'))", int("c", 16)),
    ("hex_to_bin(ord('x'))", -1),
    ("simple_strtoul('0x1f', 0, 0)", 0x1F),
    ("simple_strtol('-77', 0, 10)", -77),
    ("simple_strtoull('18446744073709551615', 0, 10)", 2**64 - 1),
    ("simple_strtoll('-9223372036854775808', 0, 10)", -(2**63)),
    ("(kstrtoint('-12', 10, p), int.from_bytes(p[:4], 'little') - (1 << 32))", (0, -12)),
    ("kstrtoint('twelve', 10, p)", -22),
    ("kstrtobool('yes', p)", 0),
    (
        "(sprintf(p, '%d|%s|%llx', -5, 'ab', 1 << 40), bytes(p[:18]))",
        (17, b"-5|ab|10000000000\x00"),
    ),
    ("snprintf(p, 4, '%s', 'longer than that')", len("longer than that")),
    ("scnprintf(p, 4, '%s', 'longer than that')", 3),
    ("sscanf('17 horses', '%d %s', n, p)", 2),
    ("glob_match('a?c*', 'abcdef')", fnmatch.fnmatch("abcdef", "a?c*")),
    ("glob_match('a?c', 'abd')", fnmatch.fnmatch("abd", "a?c")),
    ("mktime64(2024, 2, 29, 23, 59, 58)", MOMENT),
    ("in_aton('10.1.2.3').to_bytes(4, 'little')", socket.inet_aton("10.1.2.3")),
    ("(bin2hex(p, b'\\x01\\xab', 2), bytes(p[:4]))[1]", binascii.hexlify(b"\x01\xab")),
    ("uuid_is_valid('01234567-89ab-cdef-0123-456789abcdef')", True),
    ("uuid_is_valid('01234567')", False),
)


def value(guest: LiveGuest, expression: str) -> str:
    out, err = guest.py(f"p = bytearray(64)\nn = bytearray(8)\nprint({expression})")
    assert not err, err
    return out.rstrip("\n")


@pytest.mark.parametrize(("call", "expected"), COMPUTED, ids=[call for call, _ in COMPUTED])
def test_against_cpython(guest: LiveGuest, call: str, expected: object) -> None:
    assert value(guest, call) == str(0 if expected is None else expected)


#: A call in the kernel, and the command that tells the same.
TOLD: tuple[tuple[str, str], ...] = (
    ("dev_get_by_name(init_net, 'lo').ifindex", "cat /sys/class/net/lo/ifindex"),
    ("dev_get_by_name(init_net, 'lo').mtu", "cat /sys/class/net/lo/mtu"),
    ("str(dev_get_by_index(init_net, 1).name)", "ls /sys/class/net | grep lo"),
    ("int(dev_get_by_name(init_net, 'none0'))", "echo 0"),
    ("str(pid_task(find_vpid(1), 0).comm)", "cat /proc/1/comm"),
    ("pid_task(find_vpid(2), 0).pid", "cut -d' ' -f1 /proc/2/stat"),
    (
        "hex(kallsyms_lookup_name('vfs_read'))",
        "echo 0x$(grep ' T vfs_read$' /proc/kallsyms | cut -d' ' -f1)",
    ),
    ("kallsyms_lookup_name('no_such_name')", "echo 0"),
    (
        "si_meminfo(s) or p64(int(s) + offsetof('sysinfo', 'totalram')) * 4",
        "awk '/MemTotal/{print $2}' /proc/meminfo",
    ),
    ("str(uts_namespace(init_uts_ns).name.release)", "cat /proc/sys/kernel/osrelease"),
    ("file.f_inode.i_size", "stat -c %s /etc/passwd-"),
    ("file.f_inode.i_ino", "stat -c %i /etc/passwd-"),
)


@pytest.mark.parametrize(("call", "command"), TOLD, ids=[call for call, _ in TOLD])
def test_against_the_kernels_files(guest: LiveGuest, call: str, command: str) -> None:
    guest.sh("mkdir -p /etc; echo some text >/etc/passwd-")
    _, told = guest.sh(command)
    code = "from kernel_ffi import str\n" if call.startswith("str(") else ""
    code += "s = kmalloc(256)\nfile = filp_open('/etc/passwd-', 0, 0)\n"
    out, err = guest.py(f"{code}print({call})\nkfree(s)\nfilp_close(file, 0)\n")
    assert not err, err
    assert out.strip() == told.strip()


def test_the_clock(guest: LiveGuest) -> None:
    """Between two readings of date."""
    _, before = guest.sh("date +%s")
    got = int(value(guest, "ktime_get_real_seconds()"))
    _, after = guest.sh("date +%s")
    assert int(before) <= got <= int(after)
