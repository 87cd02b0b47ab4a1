# SPDX-License-Identifier: GPL-2.0-or-later
"""The module against upstream's unix port, built from the same source, in the same guest.

The guest's clock counts instructions (QEMU's icount), so that the figures repeat.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.table import Row
from guest import initramfs, lifecycle, registry
from guest.agent import Agent
from guest.paths import BUILD, REPO, cache_dir
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError, note
from micropython import upstream

GUEST = "bench-ic"
GUEST_SECONDS = 1500.0
RUN_SECONDS = 300.0
AGAINST = "unix port"
MEAN_LIMIT = 0.92
WORST_LIMIT = 1.15

PROGRAMS = ("loop", "fib", "dict", "objects", "strings", "bigint", "exceptions")
# What our patches of upstream are for: not part of the mean.
PATCHED = ("varargs",)
# Those of upstream's tests/perf_bench that run without floats.
PERF_BENCH = (
    *("bm_fannkuch", "bm_hexiom", "bm_nqueens", "bm_pidigits", "bm_wordcount"),
    *("core_locals", "core_qstr", "core_str", "core_yield_from", "misc_aes", "misc_pystone"),
)
PERF_SIZE = (100, 100)

# ticks_us() counts thousands of instructions.
OWN_TAIL = """
import gc, time
def measure():
    run()
    gc.collect()
    begin = time.ticks_us()
    result = run()
    took = time.ticks_diff(time.ticks_us(), begin)
    print("TOOK", took, result)
measure()
"""


def build_unix_port() -> Path:
    """Return upstream's unix port, without our patches, compiled like the kernel: gcc-12 -O2."""
    release = (BUILD / "release").read_text().strip()
    out = BUILD / release / "unix-port"
    source = upstream.prepare(upstream.read_pin(), [], cache_dir() / "micropython")
    ports = source / "ports" / "unix"
    done = subprocess.run(
        [
            *("make", "-s", "-C", str(ports), f"BUILD={out}", "VARIANT=kpy", "CC=gcc-12"),
            *(f"VARIANT_DIR={REPO / 'bench' / 'unix'}", "LDFLAGS_EXTRA=-static"),
            "COPT=-O2 -DNDEBUG -fdata-sections -ffunction-sections",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise UserError("the unix port does not build: " + done.stdout.strip()[-400:])
    return out / "micropython"


def program(name: str) -> str:
    """Return the source of a program that prints what it took."""
    if name in PROGRAMS + PATCHED:
        return (REPO / "bench" / "programs" / f"{name}.py").read_text() + OWN_TAIL
    folder = BUILD / "micropython" / "tests" / "perf_bench"
    n, m = PERF_SIZE
    parts = [(folder / f"{part}.py").read_text() for part in (name, "benchrun")]
    return "\n".join(parts) + f"\nprint('TOOK', end=' ')\nbm_run({n}, {m})\n"


def took(name: str, side: str, output: str) -> tuple[int, str]:
    """Return microseconds and result from a program's output."""
    words = output.split("TOOK ", 1)[-1].split(None, 1)
    if "TOOK" not in output or not words or not words[0].isdigit():
        raise UserError(f"{name} in the {side}: {output.strip()[-400:] or 'no output'}")
    return int(words[0]), words[1].strip() if len(words) > 1 else ""


LOAD = f"insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:{initramfs.REPL_PORT}"


def in_module(agent: Agent, where: tuple[str, int], name: str) -> tuple[int, str]:
    """Run a program in the kernel, in an interpreter as fresh as the unix port's."""
    # The check of the layout table after a load would share the CPU with the program.
    status, output = agent.run(f"rmmod kpy && {LOAD} && sleep 0.5", 60)
    if status:
        raise UserError(f"cannot load the module anew: {output.decode('utf-8', 'replace')}")
    with Repl(*where) as repl:
        out, err = repl.exec(program(name), RUN_SECONDS)
    return took(name, "module", out + err)


def in_unix_port(agent: Agent, name: str) -> tuple[int, str]:
    """Run a program in the unix port, in the same guest."""
    with tempfile.TemporaryDirectory(prefix="kpy-bench.") as folder:
        path = Path(folder) / "program.py"
        path.write_text(program(name))
        agent.push(path, "/tmp/program.py")
    _, output = agent.run("/tmp/micropython -X heapsize=8M /tmp/program.py", RUN_SECONDS)
    return took(name, "unix port", output.decode("utf-8", "replace"))


def compare(agent: Agent, where: tuple[str, int], names: tuple[str, ...]) -> Iterator[Row]:
    """Yield one row for each program, at last their geometric mean."""
    ratios = []
    for name in names:
        ours, our_result = in_module(agent, where, name)
        theirs, their_result = in_unix_port(agent, name)
        if name in PROGRAMS + PATCHED and our_result != their_result:
            raise UserError(f"{name}: the module says {our_result}, the unix port {their_result}")
        row = Row(name, ours / 1000, theirs / 1000, "M", AGAINST, WORST_LIMIT)
        if name not in PATCHED:
            ratios.append(row.ratio)
        yield row
    mean = math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
    yield Row("geometric mean", mean, 1.0, "", AGAINST, MEAN_LIMIT)


def measure() -> Iterator[Row]:
    """Boot a guest that counts instructions, and measure."""
    binary = build_unix_port()
    info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
    try:
        agent = Agent.of(registry.running(GUEST))
        agent.push(binary, "/tmp/micropython")
        host, port = str(info["repl"]).split(":")
        for row in compare(agent, (host, int(port)), PROGRAMS + PERF_BENCH + PATCHED):
            note(f"  {row.what}: {row.ratio:.2f}")
            yield row
    finally:
        lifecycle.down(GUEST)
