# SPDX-License-Identifier: GPL-2.0-or-later
"""Evaluations that fail, fault or do not end; runs inside GDB (`python ROUNDS, SEED = 1, 1` first).

After each the guest must answer, with the registers of all vCPUs as before. Prints a line of JSON:
how many there were, and what was wrong.
"""

from __future__ import annotations

import json
import random
import re

import gdb

from gdb_kpy.target import session as sessions

ENDLESS = "TimeoutError: "
#: What is evaluated, and a pattern for what is said, on the last line of an error or in the output.
CASES = (
    ("eval 1 +", "SyntaxError: "),
    ("eval (((", "SyntaxError: "),
    ("exec def f(:", "SyntaxError: "),
    ("eval no_such_name", "NameError: "),
    ("eval [][1]", "IndexError: "),
    ("eval {}['k']", "KeyError: "),
    ("eval 1 // 0", "ZeroDivisionError: "),
    ("eval int('x')", "ValueError: "),
    ("eval (lambda f: f(f))(lambda f: f(f))", "RuntimeError: "),
    ("eval bytearray(10**9)", "MemoryError: "),
    ("eval [0] * 10**9", "MemoryError: |OverflowError: "),
    (
        "exec def fill():\\n l = None\\n while True: l = [l, bytearray(1000)]\\nfill()",
        "MemoryError: |TimeoutError: ",
    ),
    ("eval p64(8)", "bad address 0x8"),
    ("eval p64(0xdead000000000000)", "bad address 0xdead000000000000"),
    ("eval printk('never')", "call of _printk refused"),
    ("exec raise SystemExit", "SystemExit"),
    ("exec raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("exec while True: pass", ENDLESS),
    ("exec while True:\\n try:\\n  while True: pass\\n except BaseException: pass", ENDLESS),
    ("eval sum(1 for x in range(10**9))", ENDLESS),
    ("eval pow(3, 10**7)", ENDLESS),
    ("eval __import__('re').match('(a*)*b', 'a' * 40)", "TimeoutError: |RuntimeError: "),
    ("eval sorted(range(10**6), key=lambda v: -v)", "TimeoutError: |MemoryError: "),
    ("exec for i in range(100): print('x' * 10000)", r"xxx… \(\d+ more bytes\)|TimeoutError: "),
    ("eval -unsafe strlen(8)", "a page fault at address 0x8 in|KernelFault: "),
    ("eval -unsafe msleep(10)", "msleep may sleep, which this context cannot"),
)


def registers() -> list[bytes]:
    """Return the registers of all vCPUs."""
    with sessions.viewed() as session:
        return [bytes(vcpu.registers.raw) for vcpu in session.vcpus()]


def said(command: str) -> str:
    """Return what a command says, its error at the end."""
    code = command.replace("\\n", "\n")
    try:
        if "\n" not in code:
            return gdb.execute("kpy " + code, to_string=True)
        return gdb.execute(f"kpy eval exec({code.removeprefix('exec ')!r})", to_string=True)
    except gdb.error as error:
        return str(error)


def attempt(command: str, pattern: str) -> list[str]:
    """Try one; return what was wrong."""
    before = registers()
    text = said(command)
    wrong = []
    if not re.search(pattern, text):
        wrong.append(f"{command}: {text[-300:]!r}")
    after = registers()
    if after != before:
        wrong.append(f"{command}: registers changed")
    answer = said("eval 6*7").strip()
    if answer != "42":
        wrong.append(f"6*7 after {command}: {answer[-300:]!r}")
    return wrong


def main(rounds: int, seed: int) -> None:
    """Try all, in an order of their own each round, and print."""
    choose = random.Random(seed)
    gdb.execute("set kpy eval-timeout 300")
    wrong: list[str] = []
    for _ in range(rounds):
        for command, pattern in choose.sample(CASES, len(CASES)):
            wrong += attempt(command, pattern)
    print("bad:", json.dumps({"evaluations": rounds * len(CASES), "wrong": wrong}))


said("eval 0")  # wakes CPU 0 if all are halted, which changes its registers
main(int(globals().get("ROUNDS", 1)), int(globals().get("SEED", 1)))
