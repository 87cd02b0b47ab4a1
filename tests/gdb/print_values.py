# SPDX-License-Identifier: GPL-2.0-or-later
"""Values that tests/gdb/test_print.py makes in the guest, one expression each."""

from __future__ import annotations

SETUP = """
import array, collections, errno, gc, io, json, kernel_ffi, machine, micropython, re, struct, sys
import time, uctypes
from collections import OrderedDict, deque, namedtuple
from kernel_ffi import KP_ARGS_WATCH, callback, kprobe

Point = namedtuple("Point", ("x", "y"))
Empty = namedtuple("Empty", ())

class Base:
    shared = [1, 2]
    def __init__(self, n):
        self.n = n
        self.text = "some"
    def method(self):
        return self.n
    @property
    def prop(self):
        return 1
    @staticmethod
    def static(a):
        return a
    @classmethod
    def cm(cls):
        return cls

class Other:
    other = "o"

class Derived(Base, Other):
    own = {"k": 1}

class MyList(list):
    pass

class MyDict(dict):
    pass

class MyError(ValueError):
    pass

class Slicer:
    def __getitem__(self, key):
        return key

class Plain:
    pass

class Named:
    def __repr__(self):
        return "<I am named>"

def plain(a, b=2, *c, **d):
    return a

def outer(a, b):
    def inner():
        return a, b
    return inner

def generator(n):
    for i in range(n):
        yield i

def deep(n):
    return [deep(n - 1)] if n else []

def raised(f):
    try:
        f()
    except Exception as e:
        return e

class Long:
    def a_method_with_a_long_name_that_is_interned_late_enough(self):
        pass

view_of = {"one": 1, "two": 2}
text = "non-" + "interned text " * 3
made = deque((), 5)
for each in range(7):
    made.append(each)
run_out = generator(0)
list(run_out)
half = generator(3)
next(half)
lo = net_device(dev_get_by_name(init_net, "lo"))
init = task_struct(init_task)
base = Base(3)
buf = kernel_ffi.buffer(32)
freed = kernel_ffi.buffer(8)
freed.free()
def on_call(*args):
    pass
call = callback(on_call)
watch = kprobe("do_sys_settimeofday64", KP_ARGS_WATCH, on_call)
gone = kprobe("vfs_statx", KP_ARGS_WATCH, on_call)
gone.rm()
"""

NUMBERS = """
0 | 1 | -1 | 42 | -42 | 2**31 | -(2**31) | 2**61 | 2**62 - 1 | 2**62 | -(2**62) | -(2**62) - 1
2**63 | 2**64 | -(2**64) | 2**100 | -(3**200) | 10**50 | 12345678901234567890 | 7**1000
1 << 2000 | True | False | None | ... | NotImplemented | int("99" * 40) | -int("99" * 40)
"""

TEXTS = r"""
"" | "a" | "it's" | '"quoted"' | "both ' and \"" | "\n\t\r\\" | "\x00\x01\x7f" | "ü" | "€uro"
"😀" | text | "x" * 100 | str(10**30) | "a_name_that_is_interned" | b"" | b"bytes"
b"\x00\xff\n" | b"it's" | b'"' | b"'\"" | bytes(range(256))[:200] | bytearray()
bytearray(b"abc\x00") | "tail\\" | "\u0100\ud7ff"
"""

CONTAINERS = """
[] | [1] | [1, 2, 3] | [[], [[]], [[[]]]] | ["a", b"b", None, True, 2**80] | list(range(100))
deep(8) | () | (1,) | (1, 2) | ((), ((),)) | (None, [1], {}) | {} | {1: 2} | {"a": 1}
{"a": {"b": {"c": []}}} | {(1, 2): "t", None: 0, True: 1} | dict((i, i * i) for i in range(40))
OrderedDict() | OrderedDict([("z", 1), ("a", [2])]) | set() | {1} | {1, 2, 3, "s"}
set(range(40)) | frozenset() | frozenset([1, "b"]) | range(0) | range(5) | range(2, 9)
range(10, 0, -3) | Slicer()[1:2] | Slicer()[:] | Slicer()[1:[2]:"x"] | view_of.keys()
view_of.values() | view_of.items() | Point(1, "two") | Point([1], None) | Empty()
array.array("i") | array.array("b", [1, -2]) | array.array("B", b"ab")
array.array("h", [-1, 300]) | array.array("I", [1, 2**32 - 1]) | array.array("q", [-(2**63), 5])
array.array("Q", [2**64 - 1]) | made | deque((), 3) | memoryview(b"abcdef") | sys.implementation
sys.version_info | sys.path | sys.modules | [Point(1, Point(2, 3))]
{i: str(i) for i in range(70)} | MyList([1, 2]) | MyDict(a=1) | [MyList()] | list("abc")
tuple("abc") | globals
"""

CODE = """
plain | outer(1, [2]) | generator | generator(3) | half | run_out | lambda: 0 | Base | Derived
Plain | int | str | list | type | object | ValueError | Point | MyError | len | print | sys.exit
Base.method | Derived(7) | Base(1).method | Derived.cm | Base.static | Plain() | [Plain(), Base]
[].append | "".join | sys | collections | re | Base.prop | iter([]) | iter(range(3)) | iter({})
iter("a") | enumerate([1]) | zip([1], [2]) | map(len, []) | filter(None, []) | reversed([1])
iter(b"") | iter({1}) | re.compile("a+") | re.match("a(b)", "abc") | io.StringIO("x")
io.BytesIO(b"x") | sys.stdout | sys.stdin | Named | property(plain) | staticmethod(plain)
classmethod(plain) | super(Derived, Derived(1))
Long().a_method_with_a_long_name_that_is_interned_late_enough | object() | micropython.const
time.sleep | plain.__code__ | outer(outer(1, 2), 3)
uctypes.struct(int(init), {"a": uctypes.UINT8})
"""

ERRORS = """
ValueError() | ValueError("bad") | KeyError("k", 2) | OSError(2) | OSError(2, "file")
MyError("m", 1) | StopIteration(5) | MyError() | raised(lambda: 1 // 0) | raised(lambda: [][1])
raised(lambda: {}["k"]) | raised(lambda: int("x")) | raised(lambda: None.x)
raised(lambda: p64(8)) | raised(lambda: Plain(1, 2)) | Exception([1, {"a": 2}]) | MemoryError()
raised(lambda: init.nothing) | NameError
"""

KERNEL = """
printk | jiffies_64 | init_task | Symbol("mine", 0x1234) | symbol("ksize") | init | lo
task_struct | net_device | lookup_struct("list_head") | task_struct(0) | init.comm | init.tasks
init.tasks.next | init.mm | init.active_mm | init.cred | init.thread_info | init.pid
init.__state | lo.name | lo.mtu | lo.netdev_ops | lo.netdev_ops.ndo_init | lo.rtnl_link_state
lo.reg_state | lo.flags | lo.stats | lo.dev_addr | lo.dev | init.sched_class | init.stack
init.cpus_mask | init.cpus_mask.bits | init.files | task_struct((1 << 64) - 2)
lookup_struct("mount") | lookup_struct("mount")(0) | call | watch | gone | buf | freed
machine.mem8 | machine.mem32 | [init, printk] | {"t": init} | init.signal | init.comm[0:3]
lo.dev.parent | init.se | init.se.on_rq | init.pid_links
lookup_struct("mount")(init.mm or 0x10) | init.thread | lo.features
container_of(int(init), "task_struct", "pid") | KernelFault(1) | init.real_parent
init.thread.sp | init.rcu_node_entry | kernel_ffi.buffer | callback | kpy_gil_cpu
kpy_debug_info | gc_collect
"""


def expressions() -> list[str]:
    """Return all of them."""
    groups = (NUMBERS, TEXTS, CONTAINERS, CODE, ERRORS, KERNEL)
    lines = [line for group in groups for line in group.splitlines()]
    return [each.strip() for line in lines for each in line.split(" | ") if each.strip()]
