# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval` at random stops under load: `make soak-eval STOPS=5000`, or this file with --help.

Guests of 1, 2 and 4 vCPUs take turns. In each, REPL sessions compute, start threads and collect, a
hook on do_filp_open fires, and programs check that their registers and counts stay exact
(registers.c), while GDB stops the guest at random moments and evaluates (tests/gdb/soak.py). No
value may be wrong, no register may change, the kernel's log must stay clean, and each refusal has
to name its reason. Then evaluations that fail, fault or never end, in a guest of its own.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(HERE)]

import load  # noqa: E402
from conftest import LiveGuest, run_gdb  # noqa: E402

from guest import lifecycle, registry  # noqa: E402
from guest.agent import Agent, AgentError  # noqa: E402
from guest.qemu import Options  # noqa: E402
from guest.repl import ReplError  # noqa: E402
from guest.say import UserError  # noqa: E402

BATCH = 250  # stops of one GDB
SECONDS_PER_STOP = 4  # at most, for the deadline of a GDB
#: The guest stands still for most of the time.
load.ANSWER_SECONDS = 900.0
WORKERS = ("mixed-0", "collect-1", "threads-2")

HOOK = """
import kernel_ffi
soak_opened = [0]
def soak_watch(orig, *a):
    soak_opened[0] += 1
    return orig(*a)
soak_hook = kernel_ffi.ftrace('do_filp_open', soak_watch)
"""
UNHOOK = """
soak_hook.rm()
print(soak_opened[0], soak_hook.hits, soak_hook.missed)
"""


class EvalSoak(load.Soak):
    """Load on one guest, GDBs that evaluate in it, and what went wrong."""

    def __init__(self, guest: LiveGuest, seed: int, cpus: int) -> None:
        super().__init__(guest, seed)
        self.cpus = cpus
        self.kinds: collections.Counter[str] = collections.Counter()
        self.refused: collections.Counter[str] = collections.Counter()
        self.medians: list[float] = []

    def programs(self) -> None:
        """Run registers.c until the end, and read what it says then."""
        try:
            _, out = self.guest.sh("/tmp/registers-check 2>&1", load.ANSWER_SECONDS * 10)
        except AgentError as error:
            self.complain(f"the programs: {error}")
            return
        last = re.search(r"rounds (\d+) opened (\d+) wrong (\d+)\n$", out)
        if not last or last[3] != "0" or not int(last[1]) or not int(last[2]):
            self.complain(f"the programs: {out.strip()[-500:]}")
            return
        self.counts["rounds of programs with exact registers"] += int(last[1])
        self.counts["files opened by programs"] += int(last[2])

    def worker(self, name: str, rng: random.Random) -> None:
        try:
            self.run_code(name, rng, False)
        except UserError as error:
            self.complain(f"{name}: {error}")

    def run(self, stops: int) -> None:
        """Evaluate at so many stops with everything going on."""
        out, err = self.guest.py(HOOK)
        if out or err:
            self.complain(f"the hook: {out}{err}")
            return
        self.until = time.monotonic() + 1e6
        threads = [threading.Thread(target=self.programs, daemon=True)]
        for number, name in enumerate(WORKERS):
            rng = random.Random(self.seed * 1000 + number)
            threads.append(threading.Thread(target=self.worker, args=(name, rng), daemon=True))
        for thread in threads:
            thread.start()
        time.sleep(2)
        done = 0
        while done < stops and self.going:
            count = min(BATCH, stops - done)
            self.batch(count, self.seed * 100 + done)
            done += count
        self.until = 0.0
        self.guest.sh("rm -f /tmp/registers", load.ANSWER_SECONDS)
        for thread in threads:
            thread.join(load.ANSWER_SECONDS)
            if thread.is_alive():
                self.complain("a part of the load hangs")
        self.unhook()
        self.look()

    def unhook(self) -> None:
        try:
            out, err = self.guest.py(UNHOOK, load.ANSWER_SECONDS)
        except ReplError as error:
            self.complain(f"the hook: {error}")
            return
        found = re.match(r"(\d+) (\d+) (\d+)\n", out)
        if err or not found:
            self.complain(f"the hook: {out}{err}")
            return
        ran, hits, missed = (int(each) for each in found.groups())
        self.counts["calls of the hook"] += ran
        if ran != hits or hits + missed < self.counts["files opened by programs"]:
            self.complain(f"the hook ran {ran} times, hits {hits}, missed {missed}")

    def batch(self, count: int, seed: int) -> None:
        """Let one GDB evaluate at so many stops."""
        done = gdb_report(self.guest, f"python STOPS, SEED = {count}, {seed}", count)
        if isinstance(done, str):
            self.complain(done)
            return
        self.counts["evaluations"] += done["stops"]
        self.counts["the GIL's holder ran on"] += done["ran_on"]
        self.counts["all CPUs ran on"] += done["all_ran_on"]
        self.kinds.update(done["kinds"])
        self.refused.update(done["refused"])
        self.medians.append(done["ms"][1])
        for each in done["wrong"]:
            self.complain(f"seed {seed}: {each}")
        for what, times in done["moved"].items():
            self.complain(f"seed {seed}: {what} changed, {times} times")

    def fail(self, count: int) -> None:
        """Make so many evaluations that fail, or a few more."""
        programs = threading.Thread(target=self.programs, daemon=True)
        programs.start()
        rounds = 0
        while self.counts["evaluations that fail"] < count and not self.wrong:
            rounds += 1
            setting = f"python ROUNDS, SEED = 1, {self.seed * 100 + rounds}"
            done = gdb_report(self.guest, setting, BATCH, "bad")
            if isinstance(done, str):
                self.complain(done)
                break
            self.counts["evaluations that fail"] += done["evaluations"]
            for each in done["wrong"]:
                self.complain(f"{setting}: {each}")
            time.sleep(0.2)
        self.guest.sh("rm -f /tmp/registers", load.ANSWER_SECONDS)
        programs.join(load.ANSWER_SECONDS)
        self.look()

    def show(self) -> None:
        """Print what was counted."""
        for what, number in sorted((*self.counts.items(), *self.kinds.items())):
            print(f"soak: {number:9} {what}")
        for what, number in self.refused.items():
            print(f"soak: {number:9} refused: {what}")
        if self.medians:
            middle = sorted(self.medians)[len(self.medians) // 2]
            print(f"soak: {middle:9.1f} ms for an evaluation (median)", flush=True)


def gdb_report(guest: LiveGuest, setting: str, count: int, script: str = "soak") -> Any:
    """Return what a script reports after this setting, or as a string why it does not."""
    attach = f"kpy attach {guest.info['gdb_socket']}"
    timeout = 60 + count * SECONDS_PER_STOP
    try:
        done = run_gdb(attach, setting, f"source tests/gdb/{script}.py", timeout=timeout)
    except subprocess.TimeoutExpired as error:
        return f"GDB hangs: {(error.stdout or b'')[-1000:]!r}"
    for line in done.stdout.splitlines():
        if line.startswith(f"{script}: "):
            return json.loads(line.partition(" ")[2])
    return f"GDB ended with {done.returncode}: {done.stdout[-1000:]} {done.stderr[-1000:]}"


def build_program(folder: Path) -> Path:
    """Return the program that runs in the guest."""
    out = folder / "registers-check"
    command = ["gcc-12", "-O1", "-Wall", "-static", "-o", str(out), str(HERE / "registers.c")]
    subprocess.run(command, check=True, timeout=120)
    return out


def soak_guest(cpus: int, stops: int, bad: int, seed: int, keep: bool) -> EvalSoak:
    """Boot a guest, evaluate in it, and end it."""
    name = f"soak-eval-{os.getpid()}"
    options = Options(smp=cpus, mem=768, timeout=(stops + bad) * SECONDS_PER_STOP + 3600)
    guest = LiveGuest(lifecycle.up(name, options))
    soak = EvalSoak(guest, seed, cpus)
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = build_program(Path(folder))
            Agent.of(registry.running(name)).push(program, f"/tmp/{program.name}")
        guest.sh(f"chmod +x /tmp/{program.name}")
        if bad:
            soak.fail(bad)
        else:
            soak.run(stops)
    except UserError as error:
        soak.complain(str(error))
    finally:
        if soak.wrong:
            print(Path(str(guest.info["console"])).read_text(errors="replace")[-6000:])
        if soak.wrong and keep:
            print(f"soak: guest {name} is left running")
        else:
            lifecycle.down(name)
    return soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=5000, help="in all guests together")
    parser.add_argument("--bad", type=int, default=300, help="evaluations that fail")
    parser.add_argument("--smp", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10000))
    parser.add_argument("--keep", action="store_true", help="leave the guest running if it failed")
    args = parser.parse_args()
    print(f"soak: seed {args.seed}, {args.stops} stops", flush=True)
    started = time.monotonic()
    wrong = refused = 0
    share = len(args.smp)
    parts = [
        (cpus, args.stops // share + (number < args.stops % share), 0)
        for number, cpus in enumerate(args.smp)
    ]
    for cpus, stops, bad in (*parts, (max(args.smp), 0, args.bad)):
        if not stops and not bad:
            continue
        soak = soak_guest(cpus, stops, bad, args.seed, args.keep)
        print(f"soak: {cpus} vCPUs: {'FAILED' if soak.wrong else 'clean'}")
        soak.show()
        wrong += len(soak.wrong)
        refused += soak.refused.total()
    took = time.monotonic() - started
    print(
        f"soak: {'FAILED' if wrong else 'clean'} after {took:.0f} s: "
        f"{args.stops} stops, {refused} refusals (seed {args.seed})"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
