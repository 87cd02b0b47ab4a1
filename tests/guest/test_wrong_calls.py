# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong calls and accesses: each is the exception that the documents promise, and harms nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

SETUP = "import kernel_ffi as k, uctypes, machine, gc, time\n"

# What is wrong, Python, the exception and what its text begins with or contains.
WRONG: tuple[tuple[str, str, str], ...] = (
    # Names.
    ("no_such_symbol_at_all", "NameError", "no_such_symbol_at_all"),
    ("k.symbol('no such')", "NameError", "kernel symbol 'no such' not found"),
    ("k.symbol('')", "NameError", "kernel symbol '' not found"),
    ("k.symbol(5)", "TypeError", ""),
    ("k.symbol('x' * 3000)", "NameError", "not found"),
    # What cannot be called.
    ("jiffies_64()", "TypeError", "'jiffies_64' is data"),
    ("faulty_data()", "TypeError", "'faulty_data' is data"),
    ("k.Symbol('user', 0x400000)()", "TypeError", "'user' is data"),
    ("k.Symbol('null', 0)()", "TypeError", "'null' is data"),
    ("k.Symbol('hole', 0xdead000000000000)()", "TypeError", "'hole' is data"),
    ("k.Symbol('top', -1)()", "TypeError", "'top' is data"),
    ("k.Symbol('heap', kmalloc(64))()", "TypeError", "'heap' is data"),
    # Counts and kinds of arguments.
    ("printk(*range(13))", "TypeError", ""),
    ("strlen({})", "TypeError", "argument 1: cannot pass 'dict'"),
    ("strlen([1])", "TypeError", "argument 1: cannot pass 'list'"),
    ("strlen(lambda: 0)", "TypeError", "argument 1: cannot pass"),
    ("memcmp('a', object(), 1)", "TypeError", "argument 2: cannot pass 'object'"),
    ("strlen(1 << 64)", "OverflowError", "int does not fit in 64 bits"),
    ("strlen(-(1 << 63) - 1)", "OverflowError", "int does not fit in 64 bits"),
    ("strlen(s=1)", "TypeError", ""),
    # Bad pointers.
    ("strlen(None)", "KernelFault", "NULL dereference, read of address 0x0 in strlen+"),
    ("strlen(1)", "KernelFault", "NULL dereference, read of address 0x1 in strlen+"),
    ("strlen(4095)", "KernelFault", "NULL dereference, read of address 0xfff in strlen+"),
    ("strlen(0x400000)", "KernelFault", "read of user address 0x400000 in strlen+"),
    ("strlen(0x7fffffffe000)", "KernelFault", "read of user address 0x7fffffffe000 in "),
    ("strlen(1 << 63)", "KernelFault", "general protection fault, address 0x8000000000000000"),
    ("strlen(-1)", "KernelFault", "page fault, read of address 0xffffffffffffffff in strlen+"),
    ("strlen(-4096)", "KernelFault", "page fault, read of address 0xfffffffffffff000"),
    ("memset(8, 0, 8)", "KernelFault", "NULL dereference, write to address 0x8 in memset"),
    ("memset(linux_banner, 0, 1)", "KernelFault", "page fault, write to address 0x"),
    ("memset(strlen, 0x90, 1)", "KernelFault", "page fault, write to address 0x"),
    ("memset(faulty_rodata, 0, 1)", "KernelFault", "page fault, write to address 0x"),
    ("memcpy(0xdead000000000000, 'x', 1)", "KernelFault", "general protection fault"),
    ("memcpy(k.buffer(8), -4096, 1)", "KernelFault", "page fault, read of address 0x"),
    ("strcpy(0, 'x')", "KernelFault", "NULL dereference, write to address 0x0 in strcpy+"),
    ("strcmp('x', 8)", "KernelFault", "NULL dereference, read of address 0x8 in strcmp+"),
    ("mutex_unlock(16)", "KernelFault", "NULL dereference"),
    ("_raw_spin_lock(8)", "KernelFault", "NULL dereference, write to address 0x8"),
    ("up(0)", "KernelFault", "NULL dereference"),
    ("list_sort(0, 0, 0)", "KernelFault", "NULL dereference"),
    ("dev_get_by_name(0, 'lo')", "KernelFault", "NULL dereference"),
    ("kstrdup(8, 0xcc0)", "KernelFault", "NULL dereference, read of address 0x8 in strlen+"),
    ("sprintf(0, 'text')", "KernelFault", ""),
    ("faulty_deep(3, 10)", "KernelFault", "NULL dereference, read of address 0x3 in faulty_read+"),
    # Functions that fail by themselves.
    ("faulty_bug()", "KernelFault", "BUG at "),
    ("faulty_opcode()", "KernelFault", "invalid opcode in faulty_opcode+"),
    ("faulty_divide(7, 0)", "KernelFault", "divide error in faulty_divide+"),
    ("faulty_jump(0)", "KernelFault", "jump to 0x0, which is no code"),
    ("faulty_jump(0x400000)", "KernelFault", "jump to 0x400000, which is no code"),
    ("faulty_jump(int(faulty_data))", "KernelFault", "jump to 0x"),
    ("faulty_jump(1 << 62)", "KernelFault", "jump to 0x4000000000000000, which is no code"),
    ("faulty_recurse(0)", "KernelFault", "stack overflow in faulty_recurse+"),
    ("faulty_big_frame()", "KernelFault", "stack overflow in faulty_big_frame+"),
    ("faulty_state(127, 8)", "KernelFault", "NULL dereference, read of address 0x8"),
    # Memory.
    ("p8(0)", "OSError", "(14, 'bad address 0x0')"),
    ("p64(8, 1)", "OSError", "(14, 'bad address 0x8')"),
    ("p16(0x400000)", "OSError", "(14, 'bad address 0x400000')"),
    ("p16(0x400000, 1)", "OSError", "(14, 'bad address 0x400000')"),
    ("p32(0xdead000000000000)", "OSError", "(14, 'bad address 0xdead000000000000')"),
    ("p32(0xdead000000000000, 1)", "OSError", "(14, 'bad address 0xdead000000000000')"),
    ("p64(-8)", "OSError", "(14, 'bad address 0xfffffffffffffff8')"),
    ("p64(-8, 0)", "OSError", "(14, 'bad address 0xfffffffffffffff8')"),
    ("p8(1 << 64)", "OverflowError", "int does not fit in 64 bits"),
    ("p8(k.buffer(1), 256)", "ValueError", "value does not fit in 8 bits"),
    ("p16(k.buffer(2), -32769)", "ValueError", "value does not fit in 16 bits"),
    ("p32(k.buffer(4), 1 << 32)", "ValueError", "value does not fit in 32 bits"),
    ("p64(k.buffer(8), 1 << 64)", "OverflowError", "int does not fit in 64 bits"),
    ("p8('text')", "TypeError", "'str' is not an address"),
    ("p8(None)", "TypeError", "'NoneType' is not an address"),
    ("p8(k.buffer(1), 'x')", "ValueError,TypeError", ""),
    ("k.str(8)", "OSError", "(14, 'bad address 0x8')"),
    ("k.bytes(8, 1)", "OSError", "(14, 'bad address 0x8')"),
    ("k.bytes(faulty_data, -1)", "ValueError", "negative length"),
    ("k.bytes(faulty_data, 1 << 40)", "MemoryError", ""),
    ("machine.mem8[8]", "OSError", "(14, 'bad address 0x8')"),
    ("machine.mem32[int(jiffies_64) + 1]", "ValueError", "not aligned"),
    ("uctypes.struct(8, {'x': uctypes.UINT8 | 0}).x", "OSError", "(14, 'bad address 0x8')"),
    ("uctypes.bytearray_at(8, 8)", "OSError", "(14, 'bad address 0x8')"),
    ("uctypes.bytearray_at(linux_banner, 8)", "OSError", "(14, 'bad address 0x"),
    # Allocation.
    ("kmalloc(-1)", "ValueError", "negative size"),
    ("kmalloc(1 << 62)", "MemoryError", "kmalloc of 4611686018427387904 bytes failed"),
    ("kfree(8)", "ValueError", "kfree: no kmalloc object begins at 0x8"),
    ("kfree(linux_banner)", "ValueError", "kfree: no kmalloc object begins at 0x"),
    ("p = kmalloc(96); kfree(p + 32)", "ValueError", "kfree: no kmalloc object begins at 0x"),
    ("p = kmalloc(96); kfree(p); kfree(p)", "ValueError", "was freed already"),
    ("k.buffer(-5)", "ValueError", "negative size"),
    ("b = k.buffer(8); b.free(); b[0]", "ValueError", "the buffer was freed"),
    ("b = k.buffer(8); memset(b, 1, 9); b.check()", "ValueError", "overrun, bytes 8 to 8: 01"),
    # In atomic context.
    ("atomic(lambda: msleep(10))", "RuntimeError", "msleep may sleep, which this context cannot"),
    ("atomic(lambda: rtnl_lock())", "RuntimeError", "rtnl_lock may sleep, which this context"),
    ("atomic(lambda: mutex_lock(8))", "RuntimeError", "mutex_lock may sleep, which this context"),
    ("atomic(lambda: vmalloc(8))", "RuntimeError", "vmalloc may sleep, which this context cannot"),
    ("atomic(lambda: kmalloc(8, 0xcc0))", "RuntimeError", "kmalloc may sleep with these flags"),
    ("atomic(lambda: time.sleep(1))", "RuntimeError", ""),
    ("atomic(lambda: p8(faulty_rodata, 1))", "RuntimeError", "is read-only memory, which can be"),
    ("atomic(lambda: strlen(8))", "KernelFault", "NULL dereference, read of address 0x8 in "),
    ("atomic(lambda: faulty_bug())", "KernelFault", "BUG at "),
    ("atomic(lambda: faulty_recurse(0))", "KernelFault", "stack overflow in faulty_recurse+"),
    ("atomic(lambda: p8(8))", "OSError", "(14, 'bad address 0x8')"),
)

# Runs f in a timer, and raises here what it raised there.
ATOMIC = """
def atomic(f):
    seen = []
    def run():
        try: f()
        except Exception as e: seen.append(e)
    for i in range(50):
        t = k.timer(1, run)
        time.sleep_ms(20)
        if seen: raise seen[0]
before = faulty_counts()
"""


def test_there_are_enough() -> None:
    assert len({code for code, _, _ in WRONG}) >= 60


@pytest.mark.parametrize(("code", "kind", "text"), WRONG, ids=[code for code, _, _ in WRONG])
def test_wrong(faulty: LiveGuest, code: str, kind: str, text: str) -> None:
    *first, last = code.split("; ")
    program = "".join(f"    {line}\n" for line in (*first, last))
    out, err = faulty.py(
        f"{SETUP}{ATOMIC}"
        f"try:\n{program}    print('nothing happened')\n"
        "except Exception as e: print(type(e).__name__, e, sep='|')\n"
        "assert faulty_counts() == before, hex(faulty_counts())\n"
    )
    assert not err, err
    raised, message = out.split("|", 1)
    assert raised in kind.split(",")
    assert text in message


def test_the_guest_is_as_good_as_new(faulty: LiveGuest) -> None:
    """After all of them: the article's examples, no complaint of the kernel, and rmmod."""
    assert faulty.py('print(printk("so.. %s %d %d %d\\n", "hello", 123, None, True))') == (
        "18\n",
        "",
    )
    out, err = faulty.py(
        "from kernel_ffi import p64\n"
        "first = p64(jiffies_64)\n"
        "msleep(20)\n"
        "print(p64(jiffies_64) > first)\n"
        "rtnl_lock(); print(rtnl_is_locked()); rtnl_unlock()\n"
        "p = kmalloc(40); __init_rwsem(p, 'mine', 0); down_read(p); down_read(p)\n"
        "print(down_write_trylock(p)); up_read(p); up_read(p); print(down_write_trylock(p))\n"
        "kfree(p)\n"
        "import kernel_ffi\n"
        "seen = []\n"
        "def f(orig, dfd, name, op):\n"
        "    seen.append(dfd); return orig(dfd, name, op)\n"
        "with kernel_ffi.ftrace('do_filp_open', f):\n"
        "    open('/proc/version').close()\n"
        "print(len(seen) > 0)\n"
    )
    assert not err, err
    assert out.replace("True", "1").replace("False", "0") == "1\n1\n0\n1\n1\n"
    assert faulty.trouble() == []
