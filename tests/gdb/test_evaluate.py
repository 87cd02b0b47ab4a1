# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy eval` in the shared guest."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ATTEMPT, attempt

if TYPE_CHECKING:
    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest

EXPRESSIONS = [
    *("6*7", "-7 // 2", "7 % -3", "2**200", "-(2**63)", "0xffffffffffffffff", "1 << 64 >> 63"),
    *(
        "True",
        "None",
        "()",
        "[]",
        "{}",
        "...",
        "'a' 'b'",
        "'\\n\\t\\'\"'",
        "'ü€😀'",
        "b'\\x00\\xff'",
    ),
    *("[x * x for x in range(10)]", "{1: 'a', 'b': [2, (3,)]}", "{k: v for k, v in [(1, 2)]}"),
    *("(lambda a, b=2: a + b)(40)", "sorted('hello')", "list(map(str, range(3)))"),
    *("'%d %s %x' % (1, 'x', 255)", "'{:>5}|{:<5}|'.format(1, 2)", "'abc'[:-1]", "[1, 2, 3][-2:]"),
    *("sum(range(100))", "max([3, 9, 2])", "any([0, '', 5])", "isinstance(True, int)", "abs(-5)"),
    *(
        "'a,b,c'.split(',')",
        "' '.join(['x', 'y'])",
        "int('0x1f', 16)",
        "hex(3735928559)",
        "chr(8364)",
    ),
    *("(1, 2) < (1, 3)", "1 if [] else 2", "not 0 and 'yes'", "type(1)", "len('x' * 1000)"),
    *("[i for i in range(20) if i % 3 == 0]", "next(x for x in (5, 6))", "str(10**40)[:5]"),
    "bytearray(b'ab')",
    # Integers of every size against each other.
    *(
        f"({a}) {op} ({b})"
        for a, b in ((7, 3), (-7, 3), (2**70, 12345), (-(2**65), 77), (2**64 - 1, -(2**63)))
        for op in ("+", "-", "*", "//", "%", "&", "|", "^", "<", "==", ">=")
    ),
    *(f"({a}) {op} {n}" for a in (1, -5, 2**63, -(2**64)) for op in ("<<", ">>") for n in (1, 63)),
    # Sequences cut in all ways.
    *(
        f"{value}[{cut}]"
        for value in ("'h\u00e9llo'", "b'hello'", "[1, 2, 3, 4, 5]", "(1, 2, 3, 4, 5)")
        for cut in ("0", "-1", "1:3", ":-2", "4:1", "-99:99", "3:")
    ),
    *(
        f"{f}({value})"
        for f in ("len", "sorted", "list", "tuple", "bool")
        for value in ("'ba'", "{3: 1}")
    ),
    *(
        f"'{form}'.format(-255)"
        for form in ("{}", "{:x}", "{:08}", "{:>6}", "{:^9}", "{:+}", "{:#b}")
    ),
    *(f"'%{form}' % 97" for form in ("d", "5d", "-5d", "x", "#X", "c", "o", "s", "r")),
    *(
        f"'One two three'.{call}"
        for call in (
            "upper()",
            "find('two')",
            "split()",
            "replace('e', '')",
            "count('t')",
            "encode()",
        )
    ),
    *("{1, 2} | {3}", "{1, 2} & {2}", "frozenset((1,))", "range(3, 9, 2)", "bytes(3)"),
    *(
        "dict(a=1)",
        "[[1, (2, {3: {}})], b'']",
        "'x' in 'axb'",
        "(lambda *a, **k: (a, k))(1, b=2)",
        "type('x')",
    ),
    *(
        "next(iter([9]))",
        "list(zip('ab', (1, 2)))",
        "list(enumerate('ab'))",
        "list(reversed([1, 2]))",
    ),
    *(
        "divmod(-7, 2)",
        "pow(3, 50, 7)",
        "round(7)",
        "min(3, 1, 2)",
        "all([])",
        "ord('a')",
        "bin(10)",
    ),
    *(
        "''.join(chr(c) for c in (72, 105))",
        "callable(len)",
        "hasattr('', 'join')",
        "repr('\\x01')",
    ),
    # Around what is read with the mailbox's head.
    *(f"'{'x' * 9}' * {n}" for n in (39, 40, 41, 42, 56, 57, 450, 456)),
]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_answers_equal_those_of_the_repl(guest: LiveGuest, gdb: GdbRunner) -> None:
    code = "\n".join(f"print(repr({expression}))" for expression in EXPRESSIONS)
    out, err = guest.py(code)
    assert not err
    expected = out.splitlines()
    assert len(expected) == len(EXPRESSIONS) >= 200
    done = gdb(*(f"kpy eval {expression}" for expression in EXPRESSIONS))
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    start = next(i for i, line in enumerate(answers) if line.startswith("Layouts:")) + 1
    assert answers[start : start + len(expected)] == expected


def test_output_comes_before_the_value(gdb: GdbRunner) -> None:
    done = gdb("kpy eval print('one') or print('two', 3) or 7")
    assert done.returncode == 0, done.stderr
    assert "one\ntwo 3\n7\n" in done.stdout


def test_it_sees_what_the_repl_made(guest: LiveGuest, gdb: GdbRunner) -> None:
    guest.py("from_repl = {'answer': 42}")
    done = gdb("kpy eval from_repl['answer']", "kpy eval from_repl.update(seen=1)")
    assert done.returncode == 0, done.stderr
    assert "\n42\n" in done.stdout
    assert guest.py("print(from_repl['seen'])") == ("1\n", "")


def test_kernel_memory_changes_while_the_guest_runs(gdb: GdbRunner) -> None:
    run = (
        "python import gdb, threading; threading.Timer(0.5, lambda: gdb.post_event("
        "lambda: gdb.execute('interrupt'))).start(); gdb.execute('continue')"
    )
    done = gdb("kpy eval p64(jiffies_64)", run, "kpy eval p64(jiffies_64)")
    assert done.returncode == 0, done.stderr
    numbers = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
    assert len(numbers) == 2
    assert 20 <= numbers[1] - numbers[0] <= 5000


@pytest.mark.parametrize(
    ("expression", "shown", "last"),
    [
        ("1 +", "File", "SyntaxError: invalid syntax"),
        ("x = 1", "File", "SyntaxError: invalid syntax"),
        ("nothing_of_that_name", "line 1", "NameError: name 'nothing_of_that_name' isn't defined"),
        ("[][1]", "line 1", "IndexError: list index out of range"),
        ("(lambda f: f(f))(lambda f: f(f))", "more times", "RuntimeError: "),
        ("bytearray(10**8)", "line 1", "MemoryError: "),
        ("p64(8)", "line 1", ""),
    ],
)
def test_exceptions_are_shown_and_fail(
    gdb: GdbRunner, expression: str, shown: str, last: str
) -> None:
    done = gdb(f"kpy eval {expression}")
    assert done.returncode == 1
    said = lines(done.stderr)
    assert said[0] == "Traceback (most recent call last):"
    assert shown in done.stderr
    assert said[-1].startswith(last)
    assert "Python Exception" not in done.stderr
    assert len(said) < 30


def test_after_an_exception_all_is_well(guest: LiveGuest, gdb: GdbRunner) -> None:
    before = float(guest.sh("cat /proc/uptime")[1].split()[0])
    done = gdb("kpy eval 1/0", "kpy eval 6*7")
    assert "42" in lines(done.stdout)
    time.sleep(0.3)
    assert float(guest.sh("cat /proc/uptime")[1].split()[0]) > before
    assert guest.py("print(6*7)") == ("42\n", "")


def test_python_that_does_not_end_is_stopped(guest: LiveGuest, gdb: GdbRunner) -> None:
    start = time.monotonic()
    done = gdb("set kpy eval-timeout 300", "kpy eval sum(1 for x in range(10**9))")
    assert time.monotonic() - start < 20
    assert done.returncode == 1
    assert lines(done.stderr)[-1].startswith("TimeoutError: ")
    assert guest.py("print('alive')") == ("alive\n", "")


def test_results_and_sources_that_are_long(gdb: GdbRunner, tmp_path: Path) -> None:
    for size in (1_000_000, 1_100_000):
        (tmp_path / f"{size}.py").write_text(f"print(len('{'b' * size}'))\n")
    done = gdb(
        "kpy eval 'a' * 300000",
        "kpy exec for i in range(100): print('c' * 100000, end='')",
        f"kpy exec -file {tmp_path}/1000000.py",
        f"kpy exec -file {tmp_path}/1100000.py",
    )
    assert re.search(r"aaa… \(\d+ more bytes\)$", done.stdout, re.MULTILINE)
    assert re.search(r"ccc… \(\d+ more bytes\)$", done.stdout, re.MULTILINE)
    assert "\n1000000\n" in done.stdout
    assert done.returncode == 1
    assert "and the mailbox takes" in lines(done.stderr)[-1]


def test_kernel_calls_are_refused_in_the_frozen_guest(guest: LiveGuest, gdb: GdbRunner) -> None:
    done = gdb("kpy eval printk('from the frozen guest')")
    assert done.returncode == 1
    assert "frozen" in lines(done.stderr)[-1]
    assert "from the frozen guest" not in guest.sh("dmesg")[1]


def soak(gdb: GdbRunner, stops: int) -> dict[str, Any]:
    done = gdb(f"python STOPS = {stops}", "source tests/gdb/soak.py", timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("soak: "))
    report: dict[str, Any] = json.loads(line.split(" ", 1)[1])
    assert report["wrong"] == []
    assert report["refused"] == {}
    assert report["moved"] == {}
    return report


LOADS = {
    "idle": "",
    "user": "while :; do :; done",
    "kernel": "dd if=/dev/zero of=/dev/null bs=4k",
}


@pytest.mark.parametrize("load", LOADS)
def test_random_stops(guest: LiveGuest, gdb: GdbRunner, load: str) -> None:
    """200 in all: user mode, idle, kernel; the guest keeps ticking and its log clean."""
    guest.sh(": > /tmp/soak")
    for _ in range(2 if LOADS[load] else 0):
        guest.sh(f"({LOADS[load]}) > /dev/null 2>&1 < /dev/null & echo $! >> /tmp/soak; sleep 0.3")
    try:
        before = float(guest.sh("cat /proc/uptime")[1].split()[0])
        report = soak(gdb, 67)
        kinds = " ".join(report["kinds"])
        assert {"idle": "halted", "user": "user mode", "kernel": "kernel"}[load] in kinds
    finally:
        guest.sh("for p in $(cat /tmp/soak); do kill -9 $p; done")
    assert float(guest.sh("cat /proc/uptime")[1].split()[0]) > before
    assert guest.trouble() == []


def test_random_stops_while_python_runs(guest: LiveGuest, gdb: GdbRunner) -> None:
    """The GIL is held at many of the stops."""
    code = "soak_stop = False\nn = 0\nwhile not soak_stop:\n    n += len([i for i in range(50)])\n"
    answers: list[tuple[str, str]] = []
    busy = threading.Thread(target=lambda: answers.append(guest.py(code, timeout=280)))
    busy.start()
    try:
        time.sleep(0.5)
        report = soak(gdb, 60)
    finally:
        guest.py("soak_stop = True")
        busy.join(60)
    assert answers == [("", "")]
    assert report["ran_on"] > 5
    assert guest.trouble() == []


COUNT = (
    "python from gdb_kpy.target.stub import Stub; plain, sent = Stub.packet, []",
    "python Stub.packet = lambda stub, text: (sent.append(text), plain(stub, text))[1]",
)


def test_packets_of_a_batch(gdb: GdbRunner) -> None:
    """What one evaluation found out is not asked again by the next one at the same stop."""
    counted = "kpy eval 6*7", "python print('sent', len(sent)); sent.clear()"
    done = gdb(*COUNT, *counted, *counted, *counted, "kpy eval -run 1", *counted)
    assert done.returncode == 0, done.stderr
    first, second, third, moved = (int(each) for each in re.findall("sent ([0-9]+)", done.stdout))
    assert second == third == 20
    assert first > second
    assert moved > second


def test_a_batch_sees_what_the_user_changes(guest: LiveGuest, gdb: GdbRunner) -> None:
    """Registers, memory and the selected thread, between evaluations at one stop."""
    done = gdb(
        ATTEMPT,
        "python from gdb_kpy.target import session as s",
        "python rescue = '{unsigned int} %d' % s.current().module().info['addr.rescue']",
        "kpy eval 1",
        "set $kept = $rbx",
        "set $rbx = 0x1234",
        "kpy eval 2",
        'printf "rbx %#lx\\n", $rbx',
        "set $rbx = $kept",
        "kpy eval 3",
        "thread 2",
        "kpy eval 4",
        "thread 1",
        "kpy eval 5",
        "python gdb.execute(f'set var {rescue} = 1')",
        attempt("kpy eval 6"),
        "python gdb.execute(f'set var {rescue} = 0')",
        "kpy eval 7",
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    found = [line for line in lines if line.isdigit() or line.startswith(("rbx", "ERROR"))]
    assert found == [
        *("1", "2", "rbx 0x1234", "3", "4", "5"),
        "ERROR a vCPU is still in an evaluation whose debugger died: `kpy recover`",
        "7",
    ]
    assert guest.py("print(6 * 7)") == ("42\n", "")
    assert guest.trouble() == []
