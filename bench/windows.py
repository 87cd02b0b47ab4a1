# SPDX-License-Identifier: GPL-2.0-or-later
"""How long Python keeps interrupts off, in instructions (QEMU's icount), against our aims."""

from __future__ import annotations

from collections.abc import Iterator

from bench.table import Row
from guest import lifecycle
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError

GUEST = "bench-off"
GUEST_SECONDS = 900.0
MILLION = 1_000_000
ORDINARY = 1 * MILLION
BIG = 5 * MILLION

SETUP = """
import binascii, gc, heapq, json, kernel_ffi, re
numbers = [(i * 7919) % 100003 for i in range(100000)]
texts = [str(i) for i in range(30000)]
text = ",".join(texts) + "x" * 300000
big = (1 << 40000) - 1
def fill(make):
    last = None
    try:
        while True:
            last = make(last)
    except MemoryError:
        pass
    kernel_ffi.stats(True)
    gc.collect()
def longest(f):
    gc.collect()
    kernel_ffi.stats(True)
    try:
        f()
    except MemoryError:
        pass
    print("LONGEST", kernel_ffi.stats()["irqs_off_max_ns"])
"""

#: What is measured, Python, the aim.
CASES: tuple[tuple[str, str, int], ...] = (
    ("loop, print, import", "lambda: [print(end='') for i in range(20000)]", ORDINARY),
    ("objects and strings", "lambda: [str(i).split('1') for i in range(20000)]", ORDINARY),
    ("sorted(100,000 ints)", "lambda: sorted(numbers)", BIG),
    ("'abc' * 10**6", "lambda: 'abc' * 10**6", BIG),
    ("str(1 << 30000)", "lambda: str(1 << 30000)", BIG),
    ("int of 5,000 digits", "lambda: int('7' * 5000)", BIG),
    ("pow(3, 20000)", "lambda: pow(3, 20000)", BIG),
    ("40,000 bits squared", "lambda: big * big", BIG),
    ("divmod(40,000 bits)", "lambda: divmod(big, big >> 20000)", BIG),
    ("join 30,000", "lambda: ','.join(texts)", BIG),
    ("split 470 KB", "lambda: text.split(',')", BIG),
    ("replace in 470 KB", "lambda: text.replace('1', '22')", BIG),
    ("count, find in 470 KB", "lambda: text.count('77') + text.find('zzz')", BIG),
    ("upper of 470 KB", "lambda: text.upper()", BIG),
    ("repr of 470 KB", "lambda: repr(text)", BIG),
    ("set(50,000)", "lambda: set(numbers[:50000])", BIG),
    ("dict of 30,000", "lambda: {i: i for i in range(30000)}", BIG),
    ("sum, max, in", "lambda: (sum(numbers), max(numbers), -1 in numbers)", BIG),
    ("heapify 100,000", "lambda: heapq.heapify(numbers[:])", BIG),
    ("JSON both ways", "lambda: json.loads(json.dumps(numbers[:30000]))", BIG),
    ("regex, exponential", "lambda: re.search('(a+)+b', 'a' * 16)", BIG),
    ("bytearray(3 MB)", "lambda: bytearray(3000000)", BIG),
    ("compile 30 KB", "lambda: exec('def f(a):\\n return a\\n' * 1500)", BIG),
    ("collect 8 MB of lists", "lambda: fill(lambda last: [last, [1]])", BIG),
    ("collect 8 MB of tuples", "lambda: fill(lambda last: (last, 1, 2, 3, 4, 5, 6))", BIG),
)


def measure() -> Iterator[Row]:
    """Boot a guest that counts instructions, and measure."""
    info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
    try:
        host, port = str(info["repl"]).split(":")
        with Repl(host, int(port)) as repl:
            repl.exec(SETUP, 120)
            for name, code, limit in CASES:
                if limit == BIG and name.startswith("collect"):
                    repl.exec("numbers = texts = text = None")
                out, err = repl.exec(f"longest({code})", 300)
                words = out.split("LONGEST ")
                if len(words) != 2:
                    raise UserError(f"{name}: {(out + err).strip()[-400:]}")
                longest = int(words[1]) / MILLION
                yield Row(f"irqs off: {name}", longest, limit / MILLION, "M", "the aim", 1.0)
    finally:
        lifecycle.down(GUEST)
