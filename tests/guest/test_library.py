# SPDX-License-Identifier: GPL-2.0-or-later
"""Files, os, memory by address, time, and the other library modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(code)
    assert err == "", err
    return out.splitlines()


def test_files_are_written_and_read(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "with open('/tmp/lib.txt', 'w') as f:\n"
        "    print(f.write('hello\\nwörld\\nlast'))\n"
        "with open('/tmp/lib.txt') as f:\n"
        "    print(repr(f.readline()), f.tell(), repr(f.read(3)), f.tell(), f.readlines())\n"
        "    f.seek(2)\n"
        "    print(repr(f.read(2)), [l for l in f])\n"
        "with open('/tmp/lib.txt', 'r+b') as f:\n"
        "    f.readline(); f.write(b'XX'); f.seek(0)\n"
        "    print(f.read())\n"
        "open('/tmp/lib.txt', 'a').write('!')\n"
        "b = bytearray(4); f = open('/tmp/lib.txt', 'rb'); f.seek(-4, 2)\n"
        "print(f.readinto(b), b)\n",
    )
    assert lines == [
        "17",
        "'hello\\n' 6 'w\\xf6r' 10 ['ld\\n', 'last']",
        "'ll' ['o\\n', 'w\\xf6rld\\n', 'last']",
        "b'hello\\nXX\\xb6rld\\nlast'",
        "4 bytearray(b'ast!')",
    ]
    assert guest.sh("tail -n 1 /tmp/lib.txt")[1] == "last!"


def test_a_file_that_fails(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def t(f, *a):\n"
        "    try: print(f(*a))\n"
        "    except Exception as e: print(repr(e))\n"
        "t(open, '/nowhere/x'); t(open, '/tmp', 'w'); t(open, '/proc/version', 'q')\n"
        "open('/tmp/once', 'w').close(); t(open, '/tmp/once', 'x')\n"
        "f = open('/tmp/once'); t(f.write, 'x'); f.close(); f.close(); t(f.read); t(f.flush)\n",
    )
    assert lines == [
        "OSError(2, '/nowhere/x')",
        "OSError(21, '/tmp')",
        "ValueError(\"mode must be one of 'r', 'w', 'a', 'x' with '+', 'b' or 't'\",)",
        "OSError(17, '/tmp/once')",
        "OSError(9,)",
        "ValueError('I/O operation on closed file',)",
        "ValueError('I/O operation on closed file',)",
    ]


def test_files_of_the_kernel(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "print(open('/proc/version').read(13), open('/proc/1/maps').read(9))\n"
        "print(open('/dev/zero', 'rb').read(3), open('/dev/null', 'rb').read(9))\n"
        "print(open('/dev/null', 'w').write('abc'), len(open('/dev/urandom', 'rb').read(700)))\n"
        "print(int(open('/sys/kernel/uevent_seqnum').read()) > 0)\n"
        "open('/proc/sys/kernel/hostname', 'w').write('by-kpy')\n",
    )
    assert lines[0].startswith("Linux version ")
    assert lines[1:] == ["b'\\x00\\x00\\x00' b''", "3 700", "True"]
    assert guest.sh("hostname")[1].strip() == "by-kpy"


def test_files_that_nobody_closed(guest: LiveGuest) -> None:
    """The collector gives them to a worker; nothing is lost, nothing is left."""
    guest.sh("mkdir -p /tmp/m && mount -t tmpfs none /tmp/m")
    run(
        guest,
        "import gc, time\n"
        "def f(i): open('/tmp/m/%d' % i, 'w').write('abc')\n"
        "for i in range(200): f(i)\n"
        "gc.collect()\n"
        "time.sleep_ms(300)\n",
    )
    # A file still open would keep the file system busy; the last frame may hold one.
    run(guest, "import gc, time\ni = f = None\ngc.collect()\ntime.sleep_ms(300)")
    assert guest.sh("cat /tmp/m/* | wc -c")[1].strip() == "600"
    status, output = guest.sh("umount /tmp/m || { sleep 1; umount /tmp/m; }")
    assert status == 0, output


def test_os(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "import os\n"
        "os.mkdir('/tmp/os-test'); os.chdir('/tmp/os-test'); print(os.getcwd(), os.listdir())\n"
        "open('a', 'w').write('12345'); os.rename('a', 'b'); os.mkdir('sub')\n"
        "print(sorted((n, t) for n, t, i in os.ilistdir('.')), os.stat('b')[6], os.sep)\n"
        "os.chdir('..'); print(os.getcwd())\n"
        "for f in (os.rmdir, os.remove): \n"
        "    try: f('os-test')\n"
        "    except OSError as e: print(e.errno)\n"
        "os.unlink('os-test/b'); os.rmdir('os-test/sub'); os.rmdir('os-test'); os.chdir('/')\n"
        "try: os.stat('/tmp/os-test')\n"
        "except OSError as e: print(repr(e))\n"
        "u = os.uname(); print(u.sysname, u.release, u[4], len(os.urandom(9)))\n",
    )
    release = guest.sh("uname -r")[1].strip()
    assert lines == [
        "/tmp/os-test []",
        "[('b', 32768), ('sub', 16384)] 5 /",
        "/tmp",
        "39",
        "21",
        "OSError(2, '/tmp/os-test')",
        f"Linux {release} x86_64 9",
    ]
    # Init's own working directory stayed where it was.
    assert guest.sh("readlink /proc/1/cwd")[1].strip() == "/"


def test_a_directory_of_thousands(guest: LiveGuest) -> None:
    guest.sh(
        "mkdir /tmp/many && cd /tmp/many && i=0; while [ $i -lt 3000 ]; do : >f$i; i=$((i+1)); done"
    )
    assert run(guest, "import os\nprint(len(set(os.listdir('/tmp/many'))))") == ["3000"]
    guest.sh("rm -r /tmp/many")


@pytest.mark.parametrize("address", ["16", "0x7fff12345678", "0xffff << 48", "1 << 63", "-1"])
def test_bad_addresses_are_exceptions(guest: LiveGuest, address: str) -> None:
    lines = run(
        guest,
        f"import machine, uctypes\na = {address}\n"
        "d = {'a': uctypes.UINT8 | 0, 'p': (uctypes.PTR | 0, uctypes.UINT8),\n"
        "     'b': (uctypes.ARRAY | 0, uctypes.UINT8 | 4), 'l': uctypes.UINT64 | 0}\n"
        "def write(): s.a = 1\n"
        "def poke(): machine.mem8[a] = 1\n"
        "s = uctypes.struct(a, d)\n"
        "for f in (lambda: machine.mem8[a], poke, lambda: s.a, lambda: s.l, write, lambda: s.b,\n"
        "          lambda: s.p[0], lambda: bytes(s), lambda: uctypes.bytes_at(a, 9),\n"
        "          lambda: uctypes.bytearray_at(a, 9)):\n"
        "    try: print(f())\n"
        "    except OSError as e: print(e.errno)\n",
    )
    assert lines == ["14"] * 10


def test_memory_that_must_not_change(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "import uctypes\na = int(symbol('linux_banner'))\n"
        "print(uctypes.bytes_at(symbol('linux_banner'), 5))\n"
        "try: uctypes.bytearray_at(a, 5)\n"
        "except OSError as e: print(e.errno)\n"
        "for f in (uctypes.bytes_at, uctypes.bytearray_at, uctypes.struct):\n"
        "    try: f('text', 5)\n"
        "    except TypeError: print('no address')\n"
        "b = bytearray(8); s = uctypes.struct(uctypes.addressof(b), {'x': uctypes.UINT32 | 4})\n"
        "s.x = 0x01020304; print(b, hex(s.x))\n",
    )
    assert lines == [
        "b'Linux'",
        "14",
        *["no address"] * 3,
        "bytearray(b'\\x00\\x00\\x00\\x00\\x04\\x03\\x02\\x01') 0x1020304",
    ]


def test_modules_and_their_old_names(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "import hashlib, binascii, json, re, heapq, struct, array, collections, random, deflate\n"
        "import uerrno, utime, ujson, ustruct, uarray, ucollections, uio, usys, ure, uos\n"
        "import uhashlib, ubinascii, uheapq, urandom, umachine, uctypes\n"
        "print(binascii.hexlify(hashlib.sha256(b'abc').digest())[:16], binascii.crc32(b'abc'))\n"
        "print(json.loads('[1, {\"a\": null}]'), re.match('(a)(b)?', 'a').groups())\n"
        "print(all(3 <= random.randint(3, 5) <= 5 for i in range(99)))\n",
    )
    assert lines == ["b'ba7816bf8f01cfea' 891568578", "[1, {'a': None}] ('a', None)", "True"]


def test_time(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "import time\n"
        "t = time.ticks_us(); time.sleep_ms(50); d = time.ticks_diff(time.ticks_us(), t)\n"
        "print(50000 <= d < 150000 or d)\n"
        "t = time.ticks_us(); time.sleep_us(300); d = time.ticks_diff(time.ticks_us(), t)\n"
        "print(300 <= d < 60000 or d)\n"
        "print(abs(time.time() - time.time_ns() // 10**9) <= 1, time.gmtime(0))\n"
        "try: time.sleep(-1)\n"
        "except ValueError as e: print(e)\n",
    )
    assert lines == [
        "True",
        "True",
        "True (1970, 1, 1, 0, 0, 0, 3, 1)",
        "sleep length must be non-negative",
    ]
    seconds = int(guest.sh("date +%s")[1])
    assert abs(int(run(guest, "import time\nprint(time.time())")[0]) - seconds) < 5


def test_functions_from_code(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def f(): return a\n"
        "def counted(n):\n"
        "    for i in range(n): yield i * a\n"
        "F = type(f)\n"
        "print(F(f.__code__, {'a': 1})(), F(f.__code__, {'a': 2})())\n"
        "print(list(F(counted.__code__, {'a': 3, 'range': range})(4)))\n"
        "for g in (lambda x=1: x, lambda *, k=2: k):\n"
        "    try: F(g.__code__, {})()\n"
        "    except TypeError as e: print(e)\n"
        "    try: exec(g.__code__)\n"
        "    except TypeError as e: print(e)\n"
        "print(eval(compile('6 * 7', '', 'eval')), type(f.__code__))\n",
    )
    assert lines == [
        "1 2",
        "[0, 3, 6, 9]",
        *["code needs default arguments"] * 4,
        "42 <class 'code'>",
    ]


def test_standard_streams(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "import _thread, sys, time\n"
        "print([s.fileno() for s in (sys.stdin, sys.stdout, sys.stderr)])\n"
        "sys.stdout.write('text\\n'); sys.stdout.flush()\n"
        "sys.stdout.buffer.write(b'bytes\\n'); sys.stdout.buffer.flush()\n"
        "for bad in (lambda: sys.stdin.write('x'), lambda: sys.stdout.read(1)):\n"
        "    try: bad()\n"
        "    except OSError as e: print(e.errno)\n"
        "def elsewhere(): print(repr(sys.stdin.read()), sys.stdin.buffer.read(3))\n"
        "_thread.start_new_thread(elsewhere, ())\n"
        "time.sleep_ms(300)\n",
    )
    assert lines == ["[0, 1, 2]", "text", "bytes", "9", "9", "'' b''"]
