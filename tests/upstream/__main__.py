# SPDX-License-Identifier: GPL-2.0-or-later
"""Run MicroPython's tests/run-tests.py against a guest of its own: `make test-upstream`."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import suite

from guest import lifecycle, registry
from guest.agent import Agent
from guest.qemu import Options
from guest.say import note, run_main

RESULTS = suite.ROOT / "build" / "upstream-results"
GUEST_SECONDS = 3600
TROUBLE = re.compile(r"WARNING:|BUG:|Oops|Call Trace|lockup|stalls? on|blocked for more")


def run_tests(repl: str, what: list[str]) -> dict[str, str]:
    """Run upstream's runner, showing what it says; return test to pass, skip or FAIL."""
    command = [suite.PYTHON, "run-tests.py", "-t", f"exec:socat - TCP:{repl}"]
    command += ["-r", str(RESULTS), *what]
    results: dict[str, str] = {}
    with subprocess.Popen(
        command,
        cwd=suite.TESTS,
        env={**os.environ, "MICROPY_CPYTHON3": suite.PYTHON, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as runner:
        assert runner.stdout
        for line in runner.stdout:
            found = re.match(r"(pass|skip|FAIL) +(\S+\.py)", line)
            if found:
                results[found.group(2)] = found.group(1)
            if not found or found.group(1) == "FAIL":
                sys.stdout.write(line)
                sys.stdout.flush()
    return results


def run_all(repl: str, folders: list[str], rules: list[suite.Rule]) -> dict[str, str]:
    """Run the tests of the folders, and those that measure time again when they fail."""
    excluded: list[str] = []
    late = []
    for test in suite.all_tests(folders):
        rule = suite.rule_of(test, rules)
        if rule and rule.mark == "!":
            excluded += ["-e", f"^{re.escape(test)}$"]
        elif rule and rule.mark == "~":
            late.append(test)
    results = run_tests(repl, [*excluded, "-d", *folders])
    again = [test for test in late if results.get(test) == "FAIL"]
    if again:
        note(f"once more: {' '.join(again)}")
        results.update(run_tests(repl, again))
    return results


def main() -> int:
    """Run, judge, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", default=suite.FOLDERS, metavar="FOLDER")
    folders = list(parser.parse_args().folders)
    rules = suite.read_rules()
    name = f"upstream-{os.getpid()}"
    started = time.monotonic()
    info = lifecycle.up(name, Options(smp=2, timeout=GUEST_SECONDS))
    try:
        agent = Agent.of(registry.running(name))
        suite.prepare(agent)
        results = run_all(str(info["repl"]), folders, rules)
        _, log = agent.run("dmesg")
    finally:
        lifecycle.down(name)
    verdict = suite.judge(results, folders, rules)
    for line in verdict.surprising:
        note(f"  {line}")
    for line in verdict.wrong:
        note(f"  {line}: not in tests/upstream/skips.txt; output in {RESULTS}")
    trouble = [line for line in log.decode("utf-8", "replace").splitlines() if TROUBLE.search(line)]
    for line in trouble:
        note(f"  the kernel says: {line}")
    counts = ", ".join(f"{n} {what}" for what, n in verdict.counts.items())
    note(f"upstream's tests: {counts}, in {time.monotonic() - started:.0f} s")
    return 1 if verdict.wrong or trouble else 0


if __name__ == "__main__":
    run_main(main)
