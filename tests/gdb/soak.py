# SPDX-License-Identifier: GPL-2.0-or-later
"""Evaluates at random stops; runs inside GDB (`python STOPS = 200` first, then source this).

Prints one line of JSON: what the vCPUs were doing, wrong answers, refusals and their reasons, vCPUs
that did not get back their registers, times. By hand: gdb -x gdbinit.py -ex 'kpy attach'
-ex 'python STOPS = 400' -ex 'source tests/gdb/soak.py'.
"""

from __future__ import annotations

import collections
import json
import random
import re
import threading
import time

import gdb

from gdb_kpy.core.registers import Registers
from gdb_kpy.core.vcpu import Vcpu
from gdb_kpy.target import gil
from gdb_kpy.target import session as sessions

EXPRESSIONS = {
    "6*7": "42",
    "[x * x for x in range(5)]": "[0, 1, 4, 9, 16]",
    "2**100": "1267650600228229401496703205376",
    "'ab' * 3 + str(7 if 1 else 0)": "'ababab7'",
    "len(str(3**500))": "239",
    "sorted([3, 1, 2], key=lambda v: -v)": "[3, 2, 1]",
    "print('out', 1)": "out 1\nNone",
}
HOLDS = re.compile(r"CPU (\d+) holds the GIL|a CPU is taking or leaving the GIL")


def run_for(seconds: float) -> None:
    """Let the guest run and stop it again, wherever it is."""

    def interrupt() -> None:
        time.sleep(seconds)
        gdb.post_event(lambda: gdb.execute("interrupt"))

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    gdb.execute("with suppress-cli-notifications on -- continue", to_string=True)
    thread.join()


def look() -> dict[int, Vcpu]:
    """Return the vCPUs by their thread."""
    with sessions.viewed() as session:
        return {vcpu.thread: vcpu for vcpu in session.vcpus()}


def label(vcpu: Vcpu) -> str:
    """Say what a vCPU was doing, as a key for counting."""
    if vcpu.halted:
        return "halted"
    return f"{vcpu.mode.value}, irqs {'on' if vcpu.irqs_on else 'off'}"


def refusal(error: str) -> str | None:
    """Return the reason of a refusal, None when it is none or its reason is not true."""
    said = HOLDS.search(error)
    if said is None:
        return None
    with sessions.viewed() as session:
        holder = gil.holder(session, session.module().info)
    true = holder == int(said[1]) if said[1] else holder is not None
    return re.sub(r"\d+", "N", error.removeprefix("error: ")) if true else None


def soak(stops: int, seed: int = 1) -> dict[str, object]:
    """Evaluate once at each of some random stops."""
    choose = random.Random(seed)
    refused: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    moved: collections.Counter[str] = collections.Counter()
    ran_on = all_ran_on = 0
    times = []
    for _ in range(stops):
        run_for(choose.uniform(0.002, 0.04))
        thread = choose.choice(list(gdb.selected_inferior().threads()))
        thread.switch()
        before = look()
        kinds[label(before[thread.ptid[1] or thread.ptid[2]])] += 1
        expression, expected = choose.choice(list(EXPRESSIONS.items()))
        start = time.monotonic()
        try:
            answer = gdb.execute(f"kpy eval {expression}", to_string=True).strip()
        except gdb.error as error:
            answer = f"error: {error}"
        times.append(time.monotonic() - start)
        holder, everyone = None, False
        while answer.startswith("["):
            note, _, rest = answer.partition("]\n")
            if note.startswith("[CPU"):  # the holder of the GIL went on a little
                ran_on += 1
                holder = int(note.split()[1])
            elif note.startswith("[all CPUs ran on"):
                all_ran_on += 1
                everyone = True
            else:
                break
            answer = rest
        reason = refusal(answer) if answer.startswith("error: ") else None
        if reason:
            refused[reason] += 1
            continue
        if answer != expected:
            wrong.append(f"{expression}: {answer}")
        selected = gdb.selected_thread()
        if selected is None or selected.num != thread.num:
            moved["selected thread"] += 1
        after = look()
        for number, vcpu in after.items():
            if vcpu.cpu != holder and not everyone:
                moved.update(difference(before[number].registers, vcpu.registers))
    times.sort()
    return {
        "stops": stops,
        "kinds": dict(kinds),
        "wrong": wrong,
        "moved": dict(moved),
        "ran_on": ran_on,
        "all_ran_on": all_ran_on,
        "refused": dict(refused),
        "ms": [round(1000 * times[i], 2) for i in (0, len(times) // 2, -1)],
    }


def difference(before: Registers, after: Registers) -> list[str]:
    """Name the registers that changed."""
    return after.differing(before)


print("soak:", json.dumps(soak(int(globals().get("STOPS", 200)), int(globals().get("SEED", 1)))))
