# SPDX-License-Identifier: GPL-2.0-or-later
"""callback(f): function pointers for the kernel that call Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

SETUP = "import kernel_ffi as k, time, gc\n"
# Read-only data through a second mapping of its page.
POKE = (
    "def poke(at, value):\n"
    "    import struct\n"
    "    page = p64(vmemmap_base) + (slow_virt_to_phys(at) >> 12) * 64\n"
    "    alias = vmap(struct.pack('<Q', page), 1, 4, 0x8000000000000163)\n"
    "    p64(alias + at % 4096, value)\n"
    "    vunmap(alias)\n"
)
# Where null_fops.read lies: behind owner and llseek.
READ = 16
CHURN = "x = [[str(i)] for i in range(3000)]; x = None\ngc.collect()\n"


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(SETUP + code)
    assert not err, err
    return out.splitlines()


@pytest.fixture
def null(guest: LiveGuest) -> Iterator[LiveGuest]:
    """/dev/null reads as ever afterwards."""
    assert run(guest, f"print(p64(null_fops + {READ}) == read_null)") == ["True"]
    yield guest
    run(guest, f"poke(null_fops + {READ}, int(read_null))\nfor h in k.hooks(): h.rm()")


def test_dev_null_says_something(null: LiveGuest) -> None:
    """The article's example: reading /dev/null calls Python, which copies to user space."""
    run(
        null,
        "msg = b'who said /dev/null must be empty?\\n'\n"
        "def read(file, buf, count, pos):\n"
        "    n = min(len(msg), count)\n"
        "    return -14 if _copy_to_user(buf, msg, n) else n\n"
        "c = k.callback(read)\n" + POKE + f"poke(null_fops + {READ}, c.ptr())\n",
    )
    status, out = null.sh("head -c 34 /dev/null")
    assert (status, out) == (0, "who said /dev/null must be empty?\n")
    lines = run(
        null,
        f"poke(null_fops + {READ}, int(read_null))\n"
        "print(c.hits > 0, c.missed, c.last_error)\n"
        "c.rm()\n",
    )
    assert lines == ["True 0 None"]
    assert null.sh("head -c 34 /dev/null") == (0, "")


def test_called_by_the_kernel(guest: LiveGuest) -> None:
    """sort() of the kernel, with a comparison in Python, against Python's own."""
    lines = run(
        guest,
        "import struct\n"
        "values = [(i * 7919) % 1009 - 500 for i in range(50)]\n"
        "buf = bytearray(struct.pack('<50i', *values))\n"
        "def compare(a, b):\n"
        "    x, y = (struct.unpack('<i', k.bytes(p, 4))[0] for p in (a, b))\n"
        "    return (x > y) - (x < y)\n"
        "with k.callback(compare) as c:\n"
        "    symbol('sort')(buf, 50, 4, c, None)\n"
        "    print(list(struct.unpack('<50i', buf)) == sorted(values), c.hits > 50, c.missed)\n",
    )
    assert lines == ["True True 0"]


def test_arguments_and_result(guest: LiveGuest) -> None:
    """All twelve words, as they were passed; what a handler does not name it does not get."""
    lines = run(
        guest,
        "got = []\n"
        "def twelve(a, b, c, d, e, f, g, h, i, j, l, m):\n"
        "    got.append((a, b, c, d, e, f, g, h, i, j, l, m))\n"
        "    return -5\n"
        "def two(a, b=0): got.append((a, b))\n"
        "def any(*a):\n"
        "    got.append(a)\n"
        "    return 1 << 63\n"
        "big = (1 << 64) - 7\n"
        "for f in (twelve, two, any):\n"
        "    with k.callback(f) as c:\n"
        "        print(hex(Symbol('c', c.ptr())(1, 2, -3, 4, big, 6, 7, 8, 9, 10, 11, -12)))\n"
        "print(got)\n",
    )
    m64 = 1 << 64
    first6 = (1, 2, m64 - 3, 4, m64 - 7, 6)
    assert lines == [
        "0xfffffffffffffffb",
        "0x0",
        "0x8000000000000000",
        str([(*first6, 7, 8, 9, 10, 11, m64 - 12), (1, 2), first6]),
    ]


def test_exception_returns_zero(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "def bad(): raise ValueError('no')\n"
        "c = k.callback(bad)\n"
        "f = Symbol('f', c.ptr())\n"
        "print(f(), c.enabled, c.hits)\n"
        "print(f(), c.hits, c.missed)\n"
        "c.rm()\n"
        "print(f())\n",
    )
    assert lines == [
        "kpy: callback hook disabled by an exception",
        "Traceback (most recent call last):",
        '  File "<stdin>", line 2, in bad',
        "ValueError: no",
        "0 False 1",
        "0 1 1",
        "0",
    ]


def test_dropped_callback_is_kept(guest: LiveGuest) -> None:
    """The kernel may still call it: it lives, is reported, and can be found and removed."""
    out = run(
        guest,
        "def make(): return k.callback(lambda x: x + 1).ptr()\n"
        "f = [Symbol('f', make()) for i in range(10)]\n" + CHURN,
    )
    assert sum("is kept, as the kernel may still call it" in line for line in out) > 5
    lines = run(
        guest,
        "print([g(i) for i, g in enumerate(f)] == list(range(1, 11)), len(k.hooks()))\n"
        "for h in k.hooks(): h.rm()\n"
        "time.sleep_ms(500)\n"
        "print([g(i) for i, g in enumerate(f)], k.hooks())\n",
    )
    assert lines == ["True 10", "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0] []"]
    # One whose address nobody asked for just goes.
    assert run(guest, "k.callback(lambda: 0)\n" + CHURN * 3) == [""][:0]
    assert int(run(guest, "print(len(k.hooks()))")[0]) <= 1


def test_removed_or_wrong_kind_is_no_pointer(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "c = k.callback(lambda: 0)\n"
        "h = k.irq_work(lambda: 0)\n"
        "c.rm()\n"
        "for f in (c.ptr, h.ptr, lambda: int_sqrt(c), lambda: p64(jiffies_64, h)):\n"
        "    try:\n"
        "        f()\n"
        "    except Exception as e:\n"
        "        print(type(e).__name__)\n"
        "h.rm()\n",
    )
    assert lines == ["ValueError", "ValueError", "TypeError", "TypeError"]


def test_stubs_run_out_and_come_back(guest: LiveGuest) -> None:
    """512 at once, one clear error, and all of them again afterwards."""
    lines = run(
        guest,
        "def f(x): return x\n"
        "for round in range(2):\n"
        "    cs = []\n"
        "    try:\n"
        "        while True: cs.append(k.callback(f))\n"
        "    except OSError as e:\n"
        "        print(e.args)\n"
        "    print(len(cs) >= 500, len(set(c.ptr() for c in cs)) == len(cs))\n"
        "    for c in cs: c.rm()\n"
        "    time.sleep_ms(1500)\n",
    )
    said = "('all 512 stubs are in use: remove hooks first',)"
    assert lines == [said, "True True", said, "True True"]


def test_soft_reset_and_unload_with_live_callbacks(guest: LiveGuest) -> None:
    run(guest, "c = k.callback(lambda: 7)\nd = k.callback(lambda: 8)\nd.ptr()")
    status, out = guest.sh(
        "rmmod kpy && dmesg | tail -n 1 && insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999"
    )
    assert status == 0
    assert "kpy: 1 callbacks were not removed: the kernel must not call them any more" in out
    assert run(guest, "print(k.hooks())") == ["[]"]


def test_large_words_arrive_and_return(guest: LiveGuest) -> None:
    """The ints of words are remembered and given out again, and stay what they are.

    Collections come between, which forget them and free those that nobody has.
    """
    lines = run(
        guest,
        "import gc, random\n"
        "cb = k.callback(lambda a, b: a ^ b ^ a)\n"
        "call = Symbol('called', int(cb.ptr()))\n"
        "bits = random.getrandbits\n"
        "words = [2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 0xffffffff00000000, 2**63 + 1]\n"
        "words += [2**63 | bits(31) << 32 | bits(32) for i in range(3000)]\n"
        "kept = []\n"
        "wrong = 0\n"
        "for round in range(3):\n"
        "    for i, w in enumerate(words):\n"
        "        r = call(2**63 + i, w)\n"
        "        wrong += r != w or r + 1 - w != 1 or hash(r) != hash(w)\n"
        "        wrong += r.to_bytes(8, 'big') != w.to_bytes(8, 'big')\n"
        "        if i % 700 == round: gc.collect()\n"
        "        if i % 5 == round: kept.append((r, w))\n"
        "gc.collect()\n"
        "wrong += sum(str(r) != str(w) or r * 3 != w * 3 for r, w in kept)\n"
        "print(wrong, len(kept) > 1500, cb.hits == 3 * len(words), cb.missed)\n"
        "cb.rm()\n",
    )
    assert lines == ["0 True True 0"]


def test_events_with_small_ints_allocate_nothing(guest: LiveGuest) -> None:
    """Nor do pointers that came before; the Python heap does not grow by a byte."""
    lines = run(
        guest,
        "import gc\n"
        "h = k.ftrace('jiffies_to_msecs', lambda orig, j: orig(j))\n"
        "cb = k.callback(lambda a, b: b)\n"
        "called, convert = Symbol('called', int(cb.ptr())), symbol('jiffies_to_msecs')\n"
        "pointer = 0xffff888001234500\n"
        "def events(n):\n"
        "    for i in range(n):\n"
        "        convert(i); called(i, 5); called(7, pointer)\n"
        "events(1); gc.collect(); gc.disable()\n"
        "called(7, pointer)\n"
        "before = gc.mem_alloc()\n"
        "events(200)\n"
        "after = gc.mem_alloc()\n"
        "gc.enable()\n"
        "print(after - before, h.hits >= 201, cb.hits)\n"
        "h.rm(); cb.rm()\n",
    )
    assert lines == ["0 True 403"]
