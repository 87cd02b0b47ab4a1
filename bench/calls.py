# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of kernel functions and lookups of symbols, in instructions of the guest."""

from __future__ import annotations

from collections.abc import Iterator

from bench.table import Row
from guest import lifecycle
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError

GUEST = "bench-calls"
GUEST_SECONDS = 900.0

# noop() of the kernel's dummy interrupt chip is empty; const() returns its argument. A clock of
# thousands of instructions is good enough for 20,000 rounds.
SETUP = """
import gc, kernel_ffi, micropython, time
ROUNDS = 20000
plain = 1
typed = symbol("noop")
untyped = Symbol("noop", int(typed))
builtin = micropython.const
ksize
def loop_empty(f):
    for i in range(ROUNDS):
        pass
def loop_call(f):
    for i in range(ROUNDS):
        f(0)
def loop_global(f):
    for i in range(ROUNDS):
        plain; plain; plain; plain
def loop_symbol(f):
    for i in range(ROUNDS):
        ksize; ksize; ksize; ksize
names = [s.name for s in kernel_ffi.symbols("*_init", 1000)[::2] if s is not ...]
def each_name(f):
    for name in names:
        try:
            f(name)
        except (NameError, ValueError):
            pass
def took(loop, f=None):
    loop(f)
    gc.collect()
    begin = time.ticks_us()
    loop(f)
    return time.ticks_diff(time.ticks_us(), begin) * 1000
empty = took(loop_empty)
def per_round(loop, f=None):
    return (took(loop, f) - empty) // ROUNDS
def per_name(f):
    return took(each_name, f) // len(names)
calls = [per_round(loop_call, f) for f in (builtin, untyped, typed)]
names_cost = per_name(builtin)
untyped_lookup = Symbol("lookup", int(symbol("kallsyms_lookup_name")))
print("TOOK", *calls, per_round(loop_global), per_round(loop_symbol),
      per_name(symbol) - names_cost, per_name(untyped_lookup) - names_cost - calls[1] + calls[0])
"""


def measure() -> Iterator[Row]:
    """Boot a guest that counts instructions, and measure."""
    info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
    try:
        host, port = str(info["repl"]).split(":")
        with Repl(host, int(port)) as repl:
            out, err = repl.exec(SETUP, 600)
    finally:
        lifecycle.down(GUEST)
    words = out.split("TOOK ")
    if len(words) != 2:
        raise UserError(f"no figures: {(out + err).strip()[-400:]}")
    builtin, untyped, typed, plain, symbol, ours, kernels = map(int, words[1].split())
    yield Row("call without prototype", untyped, builtin, "", "empty builtin", 2.5)
    yield Row("call by prototype", typed, builtin, "", "empty builtin", 3.5)
    yield Row("global that is a symbol", symbol, plain, "", "any global", 1.0)
    yield Row("first lookup of a symbol", ours, kernels, "", "kallsyms_lookup_name", 1.2)
