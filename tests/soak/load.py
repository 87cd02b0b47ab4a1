# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything at once for a long time: `make soak SECONDS=600`, or this file with --help.

Phase 1: threads, sessions, collections, exhaustion of the heap, Ctrl-C and hang-ups at random
moments. Phase 2: the same beside soft resets, in tests_mode. Phase 3: load and unload, with
memory and tasks compared. The kernel's log must stay clean. The seed decides what the workers
do, not how they interleave.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import re
import socket
import struct
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import LiveGuest  # noqa: E402

from guest import lifecycle  # noqa: E402
from guest.qemu import Options  # noqa: E402
from guest.repl import Repl, ReplError  # noqa: E402
from guest.say import UserError  # noqa: E402

# Loads before memory is compared: the slabs of shells and sockets fill that long.
WARM_UP = 80
INSMOD = "insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999"
# An emulated guest with 4 CPUs on 2 busy ones of the host takes its time.
ANSWER_SECONDS = 60.0

MIXED = """
def mixed_{w}(n):
    d = {{}}
    for i in range(n):
        d['k%d' % i] = [i, str(i), (i, i * i), 3 ** (i % 60)]
        if i % 7 == 0:
            d.pop('k%d' % (i // 2), None)
    return sum(v[0] + len(v[1]) for v in d.values()) >= 0 and sorted(d, key=lambda k: d[k][0])
"""
THREADS = """
import _thread, time
def body_{w}(n, done, lock):
    try:
        l = [bytearray(i % 97) for i in range(n)]
        for i, b in enumerate(l):
            if len(b) != i % 97 or any(b): raise RuntimeError('corrupt')
        time.sleep_ms(n % 5)
    except MemoryError:
        pass
    finally:
        with lock:
            done[0] += 1
def threads_{w}():
    done, started, lock = [0], 0, _thread.allocate_lock()
    for n in {sizes}:
        try:
            _thread.start_new_thread(body_{w}, (n, done, lock))
            started += 1
        except (MemoryError, OSError):
            pass
    for i in range(3000):
        if done[0] >= started: break
        time.sleep_ms(10)
    print('ok' if done[0] == started else ('lost threads', done, started))
threads_{w}()
"""
EXHAUST = """
def exhaust_{w}(size):
    l = None
    n = 0
    try:
        while True:
            l = [l, bytearray(size)]
            n += 1
    except MemoryError:
        l = None
    return n
print('ok' if exhaust_{w}({size}) > 0 else 'ok nothing')
"""
COLLECT = """
import gc
def collect_{w}(n):
    keep = {{i: [str(i), bytes([i % 256]) * (i % 50)] for i in range(n)}}
    for round in range(3):
        gc.collect()
        for i, (s, b) in keep.items():
            if s != str(i) or b != bytes([i % 256]) * (i % 50): raise RuntimeError('corrupt')
    print('ok')
collect_{w}({n})
"""
CALLS = """
def calls_{w}(n):
    s = 0
    for i in range(n):
        s += p64(jiffies_64)
        if i % 50 == 0: msleep_interruptible(1)
    print('ok')
calls_{w}({n})
"""
# What Ctrl-C comes into.
BUSY = (
    "while True: pass",
    "import time\nwhile True: time.sleep_ms(20)",
    "msleep_interruptible(100000)",
    "while True: print('x' * 100)",
    "while True: [str(i) for i in range(200)]",
    "f = lambda f, n: f(f, n + 1) if n < 50 else 0\nwhile True: f(f, 0)",
    "while True:\n try: 1 // 0\n except ZeroDivisionError: pass",
    "import _thread\nl = _thread.allocate_lock()\nl.acquire()\nl.acquire()",
    (
        "while True:\n try:\n  d = {}\n  while True: d[len(d)] = b'0' * 500\n"
        " except MemoryError: d = None"
    ),
    "sorted(range(100000), key=lambda v: -v)\nwhile True: pass",
)


def busy(code: str) -> bytes:
    """Wrap code in a function: globals are shared by all sessions."""
    body = "".join(f" {line}\n" for line in code.splitlines())
    return f"def busy():\n{body}busy()\n".encode()


class Soak:
    """Workers on one guest, what they counted, and what went wrong."""

    def __init__(self, guest: LiveGuest, seed: int) -> None:
        self.guest = guest
        self.seed = seed
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self.until = 0.0

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def complain(self, what: str) -> None:
        with self.lock:
            self.wrong.append(what)
        print(f"soak: WRONG: {what}", flush=True)

    @property
    def going(self) -> bool:
        return time.monotonic() < self.until and len(self.wrong) < 10

    def session(self) -> Repl:
        """Open a session; all may be taken, or the interpreter just restarts."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                host, port = str(self.guest.info["repl"]).rsplit(":", 1)
                return Repl(host, int(port), timeout=30)
            except ReplError as error:
                if time.monotonic() > deadline:
                    self.complain(f"no session for {ANSWER_SECONDS:g} s: {error}")
                    raise
                self.count("sessions retried")
                time.sleep(0.2)

    def run_code(self, worker: str, rng: random.Random, resets: bool) -> None:
        """Run scripts in one session, which is opened anew when it was lost."""
        repl = self.session()
        while self.going:
            kind = worker.split("-")[0]
            code = {
                "threads": lambda: THREADS.format(
                    w=worker[-1], sizes=[rng.randrange(10, 800) for _ in range(rng.randrange(1, 6))]
                ),
                "exhaust": lambda: EXHAUST.format(
                    w=worker[-1], size=rng.choice([16, 100, 1000, 50000])
                ),
                "collect": lambda: COLLECT.format(w=worker[-1], n=rng.randrange(10, 1500)),
                "mixed": lambda: (
                    MIXED.format(w=worker[-1])
                    + (f"mixed_{worker[-1]}({rng.randrange(10, 600)})\nprint('ok')")
                ),
                "calls": lambda: CALLS.format(w=worker[-1], n=rng.randrange(10, 500)),
            }[kind]()
            try:
                # A reset cuts code off without a word.
                out, err = repl.exec(code, 15 if resets else ANSWER_SECONDS)
            except ReplError as error:
                # The heap was empty where the REPL itself needed it, or a reset came.
                if "did not end within" in str(error) and not resets:
                    self.complain(f"{worker}: {error}")
                self.count(f"{kind}: session lost")
                repl.close()
                repl = self.session()
                continue
            if "MemoryError" in err:
                self.count(f"{kind}: MemoryError")
            elif resets and (err or "ok" not in out):
                self.count(f"{kind}: cut off")
            elif err or out.split()[:1] != ["ok"]:
                self.complain(f"{worker}: {out!r} {err!r}")
            else:
                self.count(f"{kind}: done")
        repl.close()

    def interrupt(self, worker: str, rng: random.Random, resets: bool) -> None:
        """Ctrl-C at random moments; the prompt must come back."""
        while self.going:
            with self.session() as repl:
                for _ in range(rng.randrange(1, 6)):
                    if not self.going:
                        return
                    try:
                        code = rng.choice(BUSY)
                        repl._send(busy(code) + b"\x04")
                        time.sleep(rng.choice([0.0, 0.01, 0.1, 0.5]) * rng.random() * 2)
                        if not self.stop_code(repl):
                            self.complain(f"{worker}: Ctrl-C without effect on {code!r}")
                            return
                        repl.pending = b""
                        self.count("interrupts")
                    except ReplError:
                        self.count("interrupts: session lost")
                        break

    def stop_code(self, repl: Repl) -> bool:
        """Send Ctrl-C until the code has ended: one that comes too early hits the editor."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            repl._send(b"\x03")
            again = time.monotonic() + 5
            with contextlib.suppress(TimeoutError):
                while True:
                    if b"\x04>" in repl.pending:
                        return True
                    # The end may come in two pieces.
                    repl.pending = repl.pending[-1:]
                    if time.monotonic() > again:
                        break
                    repl._fill(again)
            self.count("interrupts repeated")
        return False

    def drop(self, worker: str, rng: random.Random, resets: bool) -> None:
        """Open connections, say something, and go away midway, politely or not."""
        host, port = str(self.guest.info["repl"]).rsplit(":", 1)
        while self.going:
            try:
                with socket.create_connection((host, int(port)), 30) as peer:
                    peer.settimeout(30)
                    text = rng.choice(
                        [
                            b"while True: print('gone')\r\r",
                            b"import _thread\rfor i in range(20): print(i)\r\r\r",
                            b"\x01import time\ntime.sleep(30)\x04",
                            b"\x01print('y' * 200000)\x04",
                            b"\x05def f():\n  pass\n",
                            b"msleep_interruptible(50000)\r",
                            rng.randbytes(rng.randrange(1, 100)),
                        ]
                    )
                    peer.sendall(text[: rng.randrange(1, len(text) + 1)])
                    time.sleep(rng.random() * 0.3)
                    how = rng.randrange(3)
                    if how == 1:
                        linger = struct.pack("ii", 1, 0)
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    elif how == 2:
                        peer.shutdown(socket.SHUT_WR)
                        time.sleep(0.1)
                self.count("sessions dropped")
            except OSError:
                self.count("connections refused")
            time.sleep(rng.random() * 0.3)

    def reset(self, worker: str, rng: random.Random, resets: bool) -> None:
        """Soft resets, which end what others do."""
        while self.going:
            with self.session() as repl:
                try:
                    repl.exec("print(len('abc'))", ANSWER_SECONDS)
                    time.sleep(rng.random() * 2)
                    repl._send(b"\x04")
                    repl._until(b"soft reboot", time.monotonic() + ANSWER_SECONDS)
                    self.count("soft resets")
                except TimeoutError:
                    self.complain("a soft reset hangs")
                    return
                except ReplError:
                    self.count("soft resets: session lost")

    def phase(self, seconds: float, workers: list[str], resets: bool = False) -> None:
        """Run the workers for some time, then look at the kernel's log."""
        self.until = time.monotonic() + seconds
        threads = []
        for number, worker in enumerate(workers):
            kind = worker.split("-")[0]
            target = {"interrupt": self.interrupt, "drop": self.drop, "reset": self.reset}.get(
                kind, self.run_code
            )
            rng = random.Random(self.seed * 1000 + number)

            def body(target=target, worker=worker, rng=rng) -> None:  # type: ignore[no-untyped-def]
                try:
                    target(worker, rng, resets)
                except UserError as error:
                    self.complain(f"{worker}: {error}")

            threads.append(threading.Thread(target=body, daemon=True))
            threads[-1].start()
        for thread, worker in zip(threads, workers):
            thread.join(max(0.0, self.until + 3 * ANSWER_SECONDS - time.monotonic()))
            if thread.is_alive():
                self.complain(f"{worker} hangs")
        self.look()

    def look(self) -> None:
        """Does the kernel complain; does the REPL answer?"""
        for line in self.guest.trouble():
            self.complain(f"dmesg: {line}")
        try:
            with self.session() as repl:
                out, err = repl.exec("import gc\ngc.collect()\nprint(6 * 7)", ANSWER_SECONDS)
            if (out, err) != ("42\n", ""):
                self.complain(f"the REPL answers {out!r} {err!r}")
        except UserError as error:
            self.complain(f"the REPL: {error}")

    def usage(self) -> dict[str, int]:
        """Return what a leak would change, in KB and tasks; the kernel's workers come and go."""
        _, text = self.guest.sh(
            "echo 3 > /proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo; "
            "echo Tasks: $(ps | grep -vc kworker); echo Kpy: $(ps | grep -c '[[]kpy')"
        )
        found = dict(re.findall(r"^(SUnreclaim|VmallocUsed|Tasks|Kpy|Percpu): +(\d+)", text, re.M))
        return {key: int(value) for key, value in found.items()}

    def reload(self, times: int) -> None:
        """Unload and load many times, with Python run in between."""
        cycle = f"rmmod kpy && {INSMOD}"
        before: dict[str, int] = {}
        for number in range(times + WARM_UP):
            if number == WARM_UP:
                self.guest.sh("rmmod kpy")
                before = self.usage()
                self.guest.sh(INSMOD)
            status, out = self.guest.sh(cycle)
            if status:
                self.complain(f"{cycle}: {out}")
                return
            if number % 5 == 0:
                with self.session() as repl:
                    repl.exec("import _thread\n_thread.start_new_thread(print, (1,))")
        self.look()
        self.guest.sh("rmmod kpy")
        after = self.usage()
        self.guest.sh(INSMOD)
        print(f"soak: {times} loads: before {before}, after {after}", flush=True)
        for key, slack in (
            ("SUnreclaim", 400),
            ("VmallocUsed", 64),
            ("Tasks", 2),
            ("Kpy", 0),
            ("Percpu", 64),
        ):
            if after.get(key, 0) > before.get(key, 0) + slack:
                self.complain(f"{key} grew from {before.get(key)} to {after.get(key)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10000))
    parser.add_argument("--loads", type=int, default=200)
    parser.add_argument("--smp", type=int, default=4)
    parser.add_argument("--phases", default="123")
    parser.add_argument("--keep", action="store_true", help="leave the guest running if it failed")
    parser.add_argument("--append", default="", help="more words for the guest's command line")
    args = parser.parse_args()
    print(f"soak: seed {args.seed}, {args.seconds:g} s", flush=True)
    name = f"soak-{os.getpid()}"
    options = Options(smp=args.smp, mem=768, append=args.append, timeout=args.seconds * 4 + 3600)
    guest = LiveGuest(lifecycle.up(name, options))
    soak = Soak(guest, args.seed)
    started = time.monotonic()
    try:
        if "1" in args.phases:
            workers = ["threads-0", "exhaust-1", "exhaust-2", "collect-3", "interrupt-4", "drop-5"]
            soak.phase(args.seconds * 0.7, [*workers, "mixed-6", "calls-7"])
        if "2" in args.phases and not soak.wrong:
            status, out = guest.sh(f"rmmod kpy && {INSMOD} tests_mode=1")
            if status:
                soak.complain(f"rmmod after phase 1: {out}")
            workers = ["reset-0", "mixed-1", "threads-2", "collect-3", "drop-4", "exhaust-5"]
            soak.phase(args.seconds * 0.3, workers, resets=True)
            soak.guest.sh(f"rmmod kpy && {INSMOD}")
        if "3" in args.phases and not soak.wrong:
            soak.reload(args.loads)
    except UserError as error:
        soak.complain(str(error))
    finally:
        for what, number in sorted(soak.counts.items()):
            print(f"soak: {number:7} {what}")
        if soak.wrong and args.keep:
            print(f"soak: guest {name} is left running")
        else:
            if soak.wrong:
                log = Path(str(guest.info["console"]))
                print(log.read_text(errors="replace")[-6000:])
            lifecycle.down(name)
    took = time.monotonic() - started
    print(f"soak: {'FAILED' if soak.wrong else 'clean'} after {took:.0f} s (seed {args.seed})")
    return bool(soak.wrong)


if __name__ == "__main__":
    sys.exit(main())
