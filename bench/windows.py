# SPDX-License-Identifier: GPL-2.0-or-later
"""How long Python keeps interrupts off, in instructions (QEMU's icount), against our aims."""

from __future__ import annotations

from collections.abc import Iterator

from bench.interpreter import LOAD
from bench.table import Row
from guest import lifecycle, registry
from guest.agent import Agent
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError

GUEST = "bench-off"
GUEST_SECONDS = 1800.0
LARGE_HEAP = 40 << 20
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


LARGE_SETUP = """
import binascii, deflate, hashlib, io, json, re, struct
from collections import namedtuple as named
data = bytes(range(32, 127)) * 31000
text = str(data, 'utf8').replace("'", '.').replace('"', '.')
wide = chr(0x20ac) * 1000000
digits = binascii.hexlify(data[:1500000])
base64 = binascii.b2a_base64(data[:2000000])
big = int.from_bytes(data, 'little')
packed = io.BytesIO()
with deflate.DeflateIO(packed, deflate.ZLIB) as f: f.write(data[:100000])
packed = packed.getvalue()
def deflated(data):
    with deflate.DeflateIO(io.BytesIO(), deflate.RAW, 8) as f: f.write(data)
"""

#: The same for operands of 1 to 3 MB, in a heap of 40 MB; the aim is BIG.
LARGE_CASES: tuple[tuple[str, str], ...] = (
    ("hexlify 1.5 MB", "lambda: binascii.hexlify(data[:1500000])"),
    ("unhexlify 3 MB", "lambda: binascii.unhexlify(digits)"),
    ("b2a_base64 2 MB", "lambda: binascii.b2a_base64(data[:2000000])"),
    ("a2b_base64 2.7 MB", "lambda: binascii.a2b_base64(base64)"),
    ("crc32 2.9 MB", "lambda: binascii.crc32(data)"),
    ("sha256 2.9 MB", "lambda: hashlib.sha256(data).digest()"),
    ("repr of 2.9 MB", "lambda: repr(text)"),
    ("repr of bytes, 2.9 MB", "lambda: repr(data)"),
    ("decode 3 MB", "lambda: str(wide.encode(), 'utf8')"),
    ("len, slice of 3 MB", "lambda: (len(wide), wide[5:-5])"),
    ("splitlines 2.9 MB", "lambda: text.splitlines()"),
    ("compare 2.9 MB", "lambda: (data == bytearray(data), data in data)"),
    ("copy 2.9 MB", "lambda: bytearray(data)[5:] + data"),
    ("format 2.9 MB", "lambda: '{:>3000000}'.format('x') + '%s' % text"),
    ("int from, to 2.9 MB", "lambda: int.from_bytes(data, 'big').to_bytes(3000000, 'big')"),
    ("int 2.9 MB + - << &", "lambda: ((big + 1) << 5) - big & big"),
    ("int 2.9 MB // 3", "lambda: big // 3"),
    ("struct 200,000 numbers", "lambda: struct.unpack('200000B', data[:200000])"),
    ("JSON string of 3 MB", "lambda: json.loads(json.dumps(text))"),
    ("regex over 2.9 MB", "lambda: re.search('~$', text)"),
    ("StringIO 3 MB", "lambda: io.StringIO(wide).read(900000)"),
    ("deflate 100 KB", "lambda: deflated(data[:100000])"),
    ("inflate to 100 KB", "lambda: deflate.DeflateIO(io.BytesIO(packed)).read()"),
    ("namedtuple of 3,000", "lambda: named('N', ['n%d' % i for i in range(3000)])"),
    ("dict.update(60,000)", "lambda: {}.update({i: i for i in range(60000)})"),
    ("compile 120 KB", "lambda: exec('x = 1\\n' * 20000)"),
    ("compile a 1 MB string", "lambda: exec('x=\"' + 'a' * 1000000 + '\"')"),
    ("compile a 3 MB comment", "lambda: exec('#' + 'a' * 3000000)"),
)


def longest(repl: Repl, name: str, code: str, limit: int) -> Row:
    """Run one case; return its row."""
    out, err = repl.exec(f"longest({code})", 300)
    words = out.split("LONGEST ")
    if len(words) != 2:
        raise UserError(f"{name}: {(out + err).strip()[-400:]}")
    found = int(words[1]) / MILLION
    return Row(f"irqs off: {name}", found, limit / MILLION, "M", "the aim", 1.0)


def measure() -> Iterator[Row]:
    """Boot a guest that counts instructions, and measure."""
    info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
    try:
        agent = Agent.of(registry.running(GUEST))
        host, port = str(info["repl"]).split(":")
        with Repl(host, int(port)) as repl:
            repl.exec(SETUP, 120)
            for name, code, limit in CASES:
                if limit == BIG and name.startswith("collect"):
                    repl.exec("numbers = texts = text = None")
                yield longest(repl, name, code, limit)
        status, output = agent.run(f"rmmod kpy && {LOAD} heap_size={LARGE_HEAP}", 60)
        if status:
            raise UserError(f"cannot load the module anew: {output.decode('utf-8', 'replace')}")
        with Repl(host, int(port)) as repl:
            repl.exec(SETUP + LARGE_SETUP, 300)
            for name, code in LARGE_CASES:
                yield longest(repl, name, code, BIG)
    finally:
        lifecycle.down(GUEST)
