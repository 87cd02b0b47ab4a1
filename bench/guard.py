# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guard adds to a call of a kernel function, in instructions of the guest."""

from __future__ import annotations

from collections.abc import Iterator

from bench.table import Row
from guest import lifecycle
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError

GUEST = "bench-guard"
GUEST_SECONDS = 900.0
LIMIT = 150  # instructions

# A call of the empty noop(), and one of the function that makes guarded calls, of noop() again,
# with the same arguments: what the latter takes longer is one guarded call, noop() included.
SETUP = """
import gc, kernel_ffi, time
ROUNDS = 20000
noop = Symbol("noop", int(symbol("noop")))
guarded = Symbol("guarded", int(symbol("kpy_guarded_call")))
words = kernel_ffi.buffer(96)
target, result = int(noop), int(words) + 88
words = int(words)
def loop(f):
    for i in range(ROUNDS):
        f(0, target, 1, words, result)
def took(f):
    loop(f)
    gc.collect()
    begin = time.ticks_us()
    loop(f)
    return time.ticks_diff(time.ticks_us(), begin) * 1000 // ROUNDS
# Right after the module was loaded, others run, too.
print("TOOK", min(took(guarded) for _ in range(5)) - min(took(noop) for _ in range(5)))
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
    yield Row("guard of a call, instructions", int(words[1]), LIMIT, "", "our limit", 1.0)
