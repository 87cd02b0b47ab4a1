# SPDX-License-Identifier: GPL-2.0-or-later
"""MicroPython's own test suite, run against a module in tests_mode: what both runners share.

`python tests/upstream` (make test-upstream) runs upstream's tests/run-tests.py itself.
tests/guest/test_upstream_suite.py runs some folders by `run_folder()` here, which takes the
same files and the same expected output, but one session for all tests of a folder.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from guest.repl import CTRL_D, PROMPT, Repl, ReplError  # noqa: E402
from guest.say import UserError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guest.agent import Agent

TESTS = ROOT / "build" / "micropython" / "tests"
EXPECTED = ROOT / "build" / "upstream-expected"
FOLDERS = ("basics", "micropython", "misc", "stress", "thread", "import", "io", "unicode", "extmod")
PYTHON = "/usr/bin/python3"
INSMOD = "insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999"
TEST_SECONDS = 60
SPECIAL = ("basics/builtin_help.py", "basics/bytes_compare3.py", "thread/thread_exc2.py")

# Where tests that open or import files look for them: the interpreter starts in /.
FILES = (
    ("import", "lib/kpy"),
    ("import/ext", "ext"),
    ("io/data", "data"),
    ("unicode/data", "data"),
)


class Rule(NamedTuple):
    """One line of skips.txt."""

    pattern: str
    mark: str  # "", "!": not run, "~": must pass, but gets a second chance
    reason: str


class Verdict(NamedTuple):
    """What the results are worth."""

    counts: dict[str, int]
    wrong: list[str]
    surprising: list[str]


def read_rules(path: Path = HERE / "skips.txt") -> list[Rule]:
    """Return the tests that need not pass, each with the reason why."""
    rules = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = line.partition(" ")
        if not reason.strip():
            raise UserError(f"{path}:{number}: '{pattern}' has no reason")
        mark = pattern[0] if pattern[0] in "!~" else ""
        rules.append(Rule(pattern.lstrip("!~"), mark, reason.strip()))
    return rules


def rule_of(test: str, rules: Iterable[Rule]) -> Rule | None:
    """Return the rule for a test such as 'basics/int1.py'."""
    name = test[: -len(".py")]
    return next((rule for rule in rules if fnmatch.fnmatchcase(name, rule.pattern)), None)


def all_tests(folders: Iterable[str]) -> list[str]:
    """Return the tests in these folders."""
    return [
        f"{folder}/{path.name}"
        for folder in folders
        for path in sorted(TESTS.glob(f"{folder}/*.py"))
    ]


def judge(results: dict[str, str], folders: Iterable[str], rules: list[Rule]) -> Verdict:
    """Compare results (test to pass, skip or FAIL) with what skips.txt allows."""
    counts = {"pass": 0, "skip": 0, "FAIL": 0, "not run": 0}
    wrong, surprising = [], []
    for test in all_tests(folders):
        result = results.get(test, "not run")
        rule = rule_of(test, rules)
        counts[result] += 1
        timing = rule is not None and rule.mark == "~"
        if result == "pass":
            if rule and not timing:
                surprising.append(f"{test} passes, but skips.txt lists it: {rule.reason}")
        elif not rule or timing or (result == "not run" and rule.mark != "!"):
            wrong.append(f"{result} {test}")
    return Verdict(counts, wrong, surprising)


def prepare(agent: Agent) -> None:
    """Give the guest the files of the tests, and load the module in tests_mode."""
    if not TESTS.is_dir():
        raise UserError("build/micropython is missing: run 'make'")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for source, target in FILES:
            tar.add(TESTS / source, target)
        tar.add(HERE / "guest", "lib/kpy")
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        archive.write(data.getvalue())
        archive.flush()
        agent.push(Path(archive.name), "/upstream.tar")
    load(agent, "tests_mode=1", "tar x -C / -f /upstream.tar")


def load(agent: Agent, parameters: str = "", first: str = ":") -> None:
    """Load the module anew."""
    status, output = agent.run(f"{first} && rmmod kpy && {INSMOD} {parameters}", 60)
    if status:
        text = output.decode("utf-8", "replace").strip()
        raise UserError(f"cannot reload the module in the guest: {text}")


def expected_output(test: str) -> bytes:
    """Return what a test must print: its .exp file, or what CPython prints."""
    path = TESTS / test
    known = path.with_name(path.name + ".exp")
    if known.is_file():
        return known.read_bytes().replace(b"\r\n", b"\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    cached = EXPECTED / f"{test.replace('/', '_')}.{digest}"
    if cached.is_file():
        return cached.read_bytes()
    done = subprocess.run(
        [PYTHON, "-BS", str(path)],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=TEST_SECONDS,
    )
    output = b"CPYTHON3 CRASH:\n" * bool(done.returncode) + done.stdout
    EXPECTED.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(output)
    return output.replace(b"\r\n", b"\n")


def matches(output: bytes, test: str) -> bool:
    """Tell whether a test printed what it must.

    In the .exp files of some tests a line of ######## stands for any lines, and a backslash
    gives the next character its meaning in regular expressions.
    """
    wanted = expected_output(test)
    if test not in SPECIAL:
        return output == wanted
    pattern = b""
    for line in wanted.splitlines(keepends=True):
        if line == b"########\n":
            pattern += rb"(?:.*\n)*?"
            continue
        for literal, special in re.findall(rb"([^\\])|\\(.)", line, re.DOTALL):
            pattern += re.sub(rb"([()\[\]{}.*+^$])", rb"\\\1", literal) + special
    return re.fullmatch(pattern, output) is not None


class TestRepl(Repl):
    """A session in tests_mode: every test starts after a soft reset."""

    def reset(self) -> None:
        """Start the interpreter anew."""
        self._send(CTRL_D)
        self._until(PROMPT, time.monotonic() + 20)

    def run_test(self, path: Path) -> bytes:
        """Return all that a test printed, an exception with it."""
        self._send(path.read_bytes() + CTRL_D)
        deadline = time.monotonic() + TEST_SECONDS
        if self._read(2, deadline) != b"OK":
            raise ReplError("the raw REPL did not accept a test")
        out = self._until(CTRL_D, deadline)
        err = self._until(CTRL_D, deadline)
        # SystemExit has reset the interpreter already; its prompt ends with '>', too.
        self._until(b">", deadline)
        return (out + (err + b"CRASH" if err else b"")).replace(b"\r\n", b"\n")


def run_one(repl: TestRepl, test: str) -> str:
    """Run one test in a fresh interpreter; return its result."""
    repl.reset()
    output = repl.run_test(TESTS / test)
    if output == b"SKIP\n":
        return "skip"
    return "pass" if matches(output, test) else "FAIL"


def run_folder(host: str, port: int, folder: str, rules: list[Rule]) -> dict[str, str]:
    """Run the tests of a folder in one session; return their results.

    As upstream's runner does it, but for the feature checks: what they would skip is
    in skips.txt, and not run.
    """
    results: dict[str, str] = {}
    repl = TestRepl(host, port)
    try:
        for test in all_tests([folder]):
            rule = rule_of(test, rules)
            if rule and rule.mark != "~":
                results[test] = "skip"
                continue
            results[test] = run_one(repl, test)
            if results[test] == "FAIL" and rule:
                results[test] = run_one(repl, test)
    finally:
        repl.close()
    return results
