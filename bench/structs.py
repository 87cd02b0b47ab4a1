# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel structs from Python, the check of the layout table, its build, and what loading it costs.

Accesses are counted in instructions of the guest, the build in seconds: of CPU time, by the clock.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.table import Row
from guest import kernel, lifecycle, registry
from guest.agent import Agent
from guest.paths import BUILD, REPO
from guest.qemu import Options
from guest.relink import relink
from guest.repl import Repl
from guest.say import UserError
from guest.venv import VENV

GUEST = "bench-structs"
GUEST_SECONDS = 900.0
#: "20 us" is this many instructions of a CPU of 3 GHz that does one per cycle.
INSTRUCTIONS_OF_20_US = 60000
#: What the earlier design's structs took of the Python heap.
EARLIER_BYTES = 1740
LOADS = 9
BUILDS = 3

# The accessor is written as a Python program would have it: fields by name, each with its place
# and type, looked up by __getattr__ and read by p8() to p64().
PROGRAM = """
import gc, time
from kernel_ffi import layout_report, p8, p16, p32, p64
NAMES = ('inode dentry super_block sk_buff sock page module cred file mm_struct net_device pid '
         'vm_area_struct nsproxy kobject device cdev seq_file bio request_queue gendisk '
         'timer_list hrtimer work_struct irq_desc softnet_data task_struct signal_struct').split()
FIELDS = ('i_mode d_flags s_magic len sk_rcvbuf flags state uid f_flags pgd mtu level vm_start '
          'uts_ns name parent dev buf bi_opf queue_flags major expires base data irq_data '
          'process_queue pid live').split()

class Field:
    def __init__(self, name, offset, size, signed):
        self.name, self.offset, self.size, self.signed = name, offset, size, signed

class Layout:
    def __init__(self, name, fields):
        self.name = name
        self.fields = {f.name: f for f in fields}

class Pointer:
    READ = {1: p8, 2: p16, 4: p32, 8: p64}
    def __init__(self, layout, address):
        self.layout = layout
        self.address = address
    def __getattr__(self, name):
        field = self.layout.fields.get(name)
        if field is None:
            raise AttributeError(name)
        if not self.address:
            raise ValueError('NULL deref!')
        value = self.READ[field.size](self.address + field.offset)
        if field.signed and value >> (field.size * 8 - 1):
            value -= 1 << (field.size * 8)
        return value

def empty(n):
    for i in range(n): pass
def attribute(n):
    t = task_struct(init_task)
    for i in range(n): t.prio
def plain(n):
    address = int(init_task) + offsetof('task_struct', 'prio')
    for i in range(n): p64(address)
def in_python(n):
    place = offsetof('task_struct', 'prio')
    t = Pointer(Layout('task_struct', [Field('prio', place, 4, True)]), int(init_task))
    for i in range(n): t.prio
def write(n):
    t = task_struct(init_task)
    prio = t.prio
    for i in range(n): t.prio = prio
def plain_write(n):
    address = int(init_task) + offsetof('task_struct', 'prio')
    prio = p32(address)
    for i in range(n): p32(address, prio)
layout_report() # has it done: it would run in between
def took(f, n=5000):
    f(n)
    gc.collect()
    begin = time.ticks_us()
    f(n)
    return time.ticks_diff(time.ticks_us(), begin) * 1000 // n
loop = took(empty)
costs = [took(f) - loop for f in (attribute, plain, in_python, write, plain_write)]
at = kmalloc(65536, 0xdc0)
def use():
    for i in range(len(FIELDS)):
        getattr(lookup_struct(NAMES[i])(at), FIELDS[i])
for name in FIELDS: getattr(task_struct(init_task), name, None)
gc.collect()
held = gc.mem_alloc()
begin = time.ticks_us()
use()
first = time.ticks_diff(time.ticks_us(), begin) * 1000 // len(FIELDS)
gc.collect()
held = gc.mem_alloc() - held
kfree(at)
print('TOOK', *costs, first, held, len(FIELDS), layout_report()['microseconds'])
"""


def accesses(repl: Repl) -> Iterator[Row]:
    """Measure reads, writes and first uses of structs."""
    out, err = repl.exec(PROGRAM, 600)
    words = out.split("TOOK ")
    if len(words) != 2:
        raise UserError(f"no figures: {(out + err).strip()[-400:]}")
    read, plain, python, write, plain_write, first, held, structs, check = map(
        int, words[1].split()
    )
    yield Row("struct: read of a number", read, plain, "", "p64()", 2.0)
    yield Row("struct: read of a number", read, python, "", "accessor in Python", 0.1)
    yield Row("struct: write of a number", write, plain_write, "", "p32()", 2.0)
    yield Row("struct: first use", first, INSTRUCTIONS_OF_20_US, "", "20 us at 3 GHz", 1.0)
    yield Row("struct: bytes of heap", held / structs, EARLIER_BYTES, "", "earlier design", 0.0)
    yield Row("check of the whole table", check / 1000, 300.0, "M", "300 ms at 1 GHz", 1.0)


def _load_time(agent: Agent, ko: str) -> float:
    """Return the instructions of one insmod, in millions."""
    times = []
    for _ in range(LOADS):
        status, output = agent.run(
            f"rmmod kpy; now() {{ sed -n 's/^now at \\(.*\\) nsecs/\\1/p' /proc/timer_list; }}; "
            f"a=$(now); insmod {ko}; b=$(now); echo $((b - a))",
            60,
        )
        words = output.split()
        if status or not words or not words[-1].isdigit():
            raise UserError(f"cannot load {ko}: {output.decode('utf-8', 'replace')}")
        times.append(int(words[-1]) / 1e6)
        agent.run("sleep 0.3", 60)  # the check of the table is no part of it
    return min(times)  # what else runs only adds


def loads(agent: Agent) -> Iterator[Row]:
    """Measure loading the module with its table, and with none."""
    with tempfile.TemporaryDirectory(prefix="kpy-bench.") as name:
        built = BUILD / kernel.load().release
        with_table, without = Path(name) / "with.ko", Path(name) / "without.ko"
        table = (built / "layout.table").read_bytes()
        relink(table, (built / "layout.table.prints").read_bytes(), with_table)
        relink(b"", b"", without)
        for path in (with_table, without):
            agent.push(path, f"/tmp/{path.name}")
    ours, other = (_load_time(agent, f"/tmp/{name}.ko") for name in ("with", "without"))
    yield Row("insmod with the table", ours, other, "M", "without", 1.1)


class _Cost(NamedTuple):
    """Seconds that a command took: of CPU time, with its children, and of the clock."""

    cpu: float
    elapsed: float


def _cost(command: list[str], folder: Path) -> _Cost:
    """Run a command that must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    # Python keeps bytecode unless told otherwise: users do not compile all modules each time.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    after, elapsed = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    if done.returncode:
        raise UserError(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-400:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Cost(cpu, elapsed)


def build() -> Iterator[Row]:
    """Measure the compile of all headers with the plugin, and without it, and the whole build.

    In turns, the least of some rounds: others use the machine, too.
    """
    known = kernel.load()
    built = BUILD / known.release
    units = sorted((built / "layout-units").glob("*.c"))
    plugin = built / "plugin" / "kpy_layout.so"
    plugin_flags = f" -fplugin={plugin} -fplugin-arg-{plugin.stem}-output=$@.records"
    cc = [*("make", f"-j{os.cpu_count()}", "-C", known.kdir, "CC=gcc-12")]
    table = [
        *(str(VENV / "bin" / "python"), "-m", "struct_layout", "build", "--kdir", known.kdir),
        *("--plugin", str(plugin), "-o"),
    ]
    costs: list[list[_Cost]] = []  # plain, with the plugin, the whole
    for _ in range(BUILDS):
        with tempfile.TemporaryDirectory(prefix="kpy-bench.") as name:
            compiles: list[_Cost] = []
            for flags in ("", plugin_flags):
                folder = Path(name) / f"compile{len(compiles)}"
                folder.mkdir()
                for unit in units:
                    shutil.copy(unit, folder)
                (folder / "Kbuild").write_text(
                    "".join(
                        f"obj-m += {unit.stem}.o\nCFLAGS_{unit.stem}.o := -w -g0{flags}\n"
                        for unit in units
                    )
                )
                objects = [f"{unit.stem}.o" for unit in units]
                compiles.append(_cost([*cc, f"M={folder}", *objects], folder))
            whole = _cost([*table, str(Path(name) / "layout.table")], REPO)
            costs.append([*compiles, whole])
    plain, recorded, ours = (
        _Cost(min(cost.cpu for cost in column), min(cost.elapsed for cost in column))
        for column in zip(*costs)
    )
    yield Row("compile of all headers", recorded.cpu, plain.cpu, "s", "without plugin", 1.2)
    yield Row("build of the table", ours.cpu, plain.cpu, "s", "compile without plugin", 1.2)
    yield Row("  by the clock", ours.elapsed, plain.elapsed, "s", "compile without plugin", 1.2)


def measure() -> Iterator[Row]:
    """Measure the build; boot a guest that counts instructions, and measure there."""
    yield from build()  # first: a guest would count as a child of ours when it has ended
    info = lifecycle.up(GUEST, Options(smp=1, timeout=GUEST_SECONDS, icount=True))
    try:
        host, port = str(info["repl"]).split(":")
        with Repl(host, int(port)) as repl:
            yield from accesses(repl)
        yield from loads(Agent.of(registry.running(GUEST)))
    finally:
        lifecycle.down(GUEST)
