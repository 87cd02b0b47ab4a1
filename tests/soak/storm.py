# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks in a storm: `make storm SECONDS=600`, or this file with --help.

Programs open, fork and talk, and check what they get (users.c), while hooks on what they use, in
process, softirq and hardirq context, are armed and removed at random, the collector runs, and the
module is unloaded and loaded every 20 s with tasks inside. Nothing may be lost, the kernel's log
must stay clean, and hits and misses must add up to what a module in C counts (witness.c).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(HERE)]

from conftest import LiveGuest, build_module  # noqa: E402
from load import ANSWER_SECONDS, INSMOD, Soak  # noqa: E402

from guest import lifecycle, qemu, registry  # noqa: E402
from guest.agent import Agent, AgentError  # noqa: E402
from guest.qemu import Options  # noqa: E402
from guest.repl import Repl, ReplError  # noqa: E402
from guest.say import UserError  # noqa: E402

RELOAD_SECONDS = 20.0
# Process, softirq and hardirq context, and what the interpreter's own surroundings call; then a
# function that only witness.c calls, in all three.
TARGETS = ["do_filp_open", "tcp_v4_rcv", "hrtimer_interrupt", "kfree", "witness_called"]
# A call that C code has counted may still wait for the GIL when the hook is removed: one in each
# context of each CPU, and tasks that were preempted there.
SLACK = 40

ARM = """
import kernel_ffi as k
def storm_{w}():
    n = [0]
    def body():
        n[0] += 1
        {body}
    def replace(orig, *a):
        body()
        return orig(*a)
    def watch(*a): body()
    w0 = witness_count({i})
    h = {arm}
    w1 = witness_count({i})
    {meanwhile}
    w2 = witness_count({i})
    h.rm()
    calls, hits = h.hits + h.missed, h.hits
    w3 = witness_count({i})
    return 'counts', w2 - w1, calls, w3 - w0, n[0] - hits, h.missed, h.last_error is None
print(*storm_{w}())
"""
ARMS = (
    "k.ftrace('{t}', replace)",
    "k.kprobe('{t}', k.KP_ARGS_WATCH, watch)",
    "k.kprobe('{t}', k.KP_ARGS_MODIFY, replace)",
    "k.kprobe('{t}', k.KP_REGS_MODIFY, watch)",
)
BODIES = (
    "pass",
    "x = [str(n[0]), {{n[0]: n}}]",
    "if n[0] == 20: raise ValueError('in the storm')",
    "if n[0] % 50 == 0: print('hit', n[0])",
)
# Exactly: nobody else calls this function, and all its calls are over when the hook is removed.
EXACT = """
import kernel_ffi as k
def exact_{w}(ms):
    n = [0]
    def replace(orig, *a):
        n[0] += 1
        return orig(*a)
    def watch(*a): n[0] += 1
    before = witness_count({i})
    h = {arm}
    made = witness_load(ms)
    counted = witness_count({i}) - before
    h.rm()
    return 'exact', made, counted, h.hits + h.missed, n[0] - h.hits, witness_wrong()
print(*exact_{w}({ms}))
"""
DROP = """
import kernel_ffi as k, gc
def drop_{w}():
    def replace(orig, *a): return orig(*a)
    for i in range({n}): k.ftrace('{t}', replace)
    x = [[str(i)] for i in range(2000)]
    x = None
    gc.collect()
    return 'dropped'
print(drop_{w}())
"""
COLLECT = """
import gc
def collect_{w}(n):
    keep = {{i: [str(i), (i, i)] for i in range(n)}}
    for i in range(5):
        gc.collect()
        if any(v != [str(k), (k, k)] for k, v in keep.items()): return 'corrupt'
    return 'collected'
print(collect_{w}({n}))
"""


class Storm(Soak):
    """Workers that arm and remove hooks, one that reloads the module, and programs in the guest."""

    def __init__(self, guest: LiveGuest, seed: int) -> None:
        super().__init__(guest, seed)
        # No new sessions while the module is gone.
        self.loaded = threading.Event()
        self.loaded.set()
        self.reloads = 0

    def script(self, worker: str, rng: random.Random) -> str:
        kind, w = worker.split("-")
        target = rng.choice(TARGETS[:4])
        if kind == "exact":
            arm = rng.choice(ARMS).format(t=TARGETS[4])
            return EXACT.format(w=w, i=4, arm=arm, ms=rng.randrange(100, 800))
        if kind == "collect":
            return COLLECT.format(w=w, n=rng.randrange(100, 2000))
        if rng.random() < 0.15:
            return DROP.format(w=w, t=target, n=rng.randrange(1, 6))
        return ARM.format(
            w=w,
            i=TARGETS.index(target),
            arm=rng.choice(ARMS).format(t=target),
            body=rng.choice(BODIES).format(),
            meanwhile=f"msleep({rng.randrange(1, 1500)})",
        )

    def judge(self, worker: str, code: str, out: str, err: str) -> None:
        """Look at the result line; hooks may have printed before and after it."""
        # Others' output may come in the middle of a line, but the numbers come in one piece.
        found = re.search(
            r"(counts|exact) (-?\d+) (-?\d+) (-?\d+) (-?\d+) (\d+)|dropped|collected", out
        )
        if err or not found:
            self.complain(f"{worker}: {out[-300:]!r} {err!r} of {code}")
            return
        if not found[1]:
            self.count(found[0])
            return
        first, second, third, fourth, fifth = (int(found[i]) for i in range(2, 7))
        self.count(f"{found[1]}: hooks")
        self.count_many(f"{found[1]}: calls", second)
        if found[1] == "exact":
            if not first == second == third or fourth or fifth:
                self.complain(f"{worker}: made, counted, hits + missed, ...: {found[0]} of {code}")
        else:
            self.count_many("counts: missed", fifth)
            if not first - SLACK <= second <= third or fourth:
                self.complain(
                    f"{worker}: at least, hits + missed, at most, ...: {found[0]} of {code}"
                )

    def count_many(self, what: str, number: int) -> None:
        with self.lock:
            self.counts[what] += number

    def open_session(self) -> Repl:
        while True:
            self.loaded.wait(ANSWER_SECONDS)
            try:
                return self.session()
            except ReplError:
                if not self.going:
                    raise

    def hooks(self, worker: str, rng: random.Random) -> None:
        """Run scripts in one session after the other, as the module comes and goes."""
        while self.going:
            try:
                with self.open_session() as repl:
                    while self.going and self.loaded.is_set():
                        code, reload = self.script(worker, rng), self.reloads
                        out, err = repl.exec(code, ANSWER_SECONDS)
                        # An rmmod that is refused removes all hooks as well.
                        if reload == self.reloads:
                            self.judge(worker, code, out, err)
            except ReplError as error:
                if "did not end within" in str(error):
                    self.complain(f"{worker}: {error}")
                self.count("sessions lost to a reload")

    def reload(self, times: int) -> None:
        """Unload and load with all of this going on, until the time is over."""
        due = time.monotonic()
        while self.going:
            due = max(due + RELOAD_SECONDS, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            self.loaded.clear()
            self.reloads += 1
            try:
                for _ in range(5):
                    status, out = self.guest.sh("rmmod kpy", 90)
                    if not status:
                        break
                    # A task that waits for the other end of a FIFO may hold it up for a while.
                    self.count("rmmod refused")
                    if "busy" not in out:
                        self.complain(f"rmmod: {out}")
                else:
                    self.complain("rmmod is refused again and again")
                time.sleep(0.2)
                status, out = self.guest.sh("grep -q '^kpy ' /proc/modules || " + INSMOD, 90)
                if status:
                    self.complain(f"insmod: {out}")
                self.count("reloads")
            finally:
                self.loaded.set()

    def programs(self) -> None:
        """Run users.c until the end, and read what it says then."""
        try:
            _, out = self.guest.sh("/tmp/users 2>&1", self.until - time.monotonic() + 600)
        except AgentError as error:
            self.complain(f"the programs: {error}")
            return
        print(f"storm: {out.strip()[-2000:]}", flush=True)
        last = re.search(r"opened (\d+) refused (\d+) forked (\d+) .* wrong (\d+)\n$", out)
        if not last or last[4] != "0" or not all(int(last[i]) for i in (1, 2, 3)):
            self.complain("the programs saw what must not be")

    def storm(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        workers = ["hooks-0", "hooks-1", "hooks-2", "exact-3", "collect-4"]
        programs = threading.Thread(target=self.programs, daemon=True)
        programs.start()
        threads = []
        for number, worker in enumerate(workers):
            rng = random.Random(self.seed * 1000 + number)
            threads.append(threading.Thread(target=self.worker, args=(worker, rng), daemon=True))
        threads.append(threading.Thread(target=self.reload, args=(0,), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self.until + 3 * ANSWER_SECONDS - time.monotonic()))
            if thread.is_alive():
                self.complain("a worker hangs")
        self.guest.sh("rm -f /tmp/storm")
        programs.join(300)
        if programs.is_alive():
            self.complain("the programs do not end")
        self.look()
        with self.session() as repl:
            out, err = repl.exec("import kernel_ffi as k\nprint(k.stats())")
            print(f"storm: since the last load: {out.strip()}{err}")

    def worker(self, name: str, rng: random.Random) -> None:
        try:
            self.hooks(name, rng)
        except UserError as error:
            self.complain(f"{name}: {error}")


def build_users(folder: Path) -> Path:
    """Return the program that runs in the guest."""
    out = folder / "users"
    command = ["gcc-12", "-O1", "-Wall", "-static", "-o", str(out), str(HERE / "users.c")]
    subprocess.run(command, check=True, timeout=120)
    return out


def frozen_by_qemu(guest: LiveGuest) -> bool:
    """Do all CPUs handle a breakpoint for ever? See Options.one_thread."""
    seen = set()
    for _ in range(3):
        seen |= set(re.findall(r"RIP=([0-9a-f]+)", guest.monitor("info registers -a")))
        time.sleep(0.5)
    print(f"storm: the CPUs are at {' '.join(sorted(seen))}")
    return len(seen) == 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10000))
    parser.add_argument("--smp", type=int, default=4)
    parser.add_argument(
        "--at-once", action="store_true", help="vCPUs at once even where QEMU may hang: Options"
    )
    parser.add_argument("--keep", action="store_true", help="leave the guest running if it failed")
    args = parser.parse_args()
    print(f"storm: seed {args.seed}, {args.seconds:g} s", flush=True)
    name = f"storm-{os.getpid()}"
    one_thread = qemu.runs_stale_code() and not args.at_once
    options = Options(smp=args.smp, mem=768, one_thread=one_thread, timeout=args.seconds * 4 + 3600)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = [build_module("witness", Path(folder)), build_users(Path(folder))]
        guest = LiveGuest(lifecycle.up(name, options))
        for file in files:
            Agent.of(registry.running(name)).push(file, f"/tmp/{file.name}")
    storm = Storm(guest, args.seed)
    try:
        targets = ",".join(TARGETS)
        command = f"chmod +x /tmp/users && insmod /tmp/witness.ko targets={targets}"
        status, out = guest.sh(command)
        if status:
            storm.complain(out)
        else:
            storm.storm(args.seconds)
    except UserError as error:
        storm.complain(str(error))
        if frozen_by_qemu(guest):
            print("storm: QEMU runs stale code: that is its own bug, see Options.one_thread")
    finally:
        for what, number in sorted(storm.counts.items()):
            print(f"storm: {number:9} {what}")
        if storm.wrong and args.keep:
            print(f"storm: guest {name} is left running")
        else:
            if storm.wrong:
                log = Path(str(guest.info["console"]))
                print(log.read_text(errors="replace")[-6000:])
            lifecycle.down(name)
    took = time.monotonic() - started
    print(f"storm: {'FAILED' if storm.wrong else 'clean'} after {took:.0f} s (seed {args.seed})")
    return bool(storm.wrong)


if __name__ == "__main__":
    sys.exit(main())
