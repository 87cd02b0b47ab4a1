# SPDX-License-Identifier: GPL-2.0-or-later
"""kprobe(target, what, f): arguments, registers and results, watched and changed."""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

SETUP = (
    "import kernel_ffi as k, time, gc\n"
    "from kernel_ffi import kprobe, KP_ARGS_WATCH, KP_ARGS_MODIFY, KP_REGS_WATCH, KP_REGS_MODIFY\n"
    "from kernel_ffi import KP_RETURN\n"
)


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(SETUP + code)
    assert not err, err
    return out.splitlines()


def test_args_watch(guest: LiveGuest) -> None:
    """The scenario of the article, with every way to remove it."""
    run(
        guest,
        "names = []\n"
        "def f(dfd, fn): names.append(k.str(p64(fn)))\n"
        "h = kprobe('do_filp_open', KP_ARGS_WATCH, f)\n",
    )
    guest.sh("cat /proc/1/comm /tmp/none; true")
    lines = run(
        guest,
        "h.rm()\n"
        "print(names.count('/proc/1/comm'), names.count('/tmp/none'))\n"
        "print(h.hits == len(names), h.missed)\n"
        "print(h.kind, h.target)\n",
    )
    assert lines == ["1 1", "True 0", "kprobe KP_ARGS_WATCH do_filp_open"]
    # Dropped instead.
    out = run(
        guest,
        "def arm(): kprobe('do_filp_open', KP_ARGS_WATCH, f)\n"
        "for i in range(20): arm()\n"
        "for i in range(3):\n"
        "    x = [[str(i)] for i in range(3000)]; x = None\n"
        "    gc.collect()\n"
        "print(len(k.hooks()) <= 3)\n"
        "for h in k.hooks(): h.rm()\n",
    )
    # All but what a stale word on the stack may still name.
    assert out == ["True"]


# At the beginning of a function ftrace does it, elsewhere a breakpoint.
WAYS = ["int_sqrt", "hex_to_bin"]
CALL = {
    "int_sqrt": ("int_sqrt(49)", "7"),
    "hex_to_bin": ("hex_to_bin(0x37)", "7"),
}


@pytest.mark.parametrize("target", WAYS)
def test_values_of_watchers_are_ignored(guest: LiveGuest, target: str) -> None:
    call, result = CALL[target]
    lines = run(
        guest,
        "got = []\n"
        "def f(a):\n"
        "    got.append(a)\n"
        "    return 'anything'\n"
        f"with kprobe('{target}', KP_ARGS_WATCH, f) as h:\n"
        f"    r = {call}\n"
        "    print(r, len(got) > 0, h.missed, h.enabled)\n",
    )
    assert lines == [f"{result} True 0 True"]


@pytest.mark.parametrize("target", WAYS)
def test_args_modify(guest: LiveGuest, target: str) -> None:
    call, result = CALL[target]
    lines = run(
        guest,
        "got = []\n"
        "def f(call, *a):\n"
        "    r = call(*a)\n"
        "    got.append(r)\n"
        "    return 77 if call(*a) == r else 78\n"
        f"h = kprobe('{target}', KP_ARGS_MODIFY, f)\n"
        f"r = {call}\n"
        "h.rm()\n"
        f"print(r, [x & 0xff for x in got], h.hits, h.missed, h.last_error, {call})\n",
    )
    assert lines == [f"77 [{result}] 1 0 None {result}"]


@pytest.mark.parametrize("target", WAYS)
def test_return(guest: LiveGuest, target: str) -> None:
    call, result = CALL[target]
    lines = run(
        guest,
        "got = []\n"
        f"with kprobe('{target}', KP_RETURN, lambda ret, *a: got.append((ret, a))) as h:\n"
        f"    r = {call}\n"
        "print(r, got[0][0] & 0xff, len(got), len(got[0][1]), h.missed, h.last_error)\n",
    )
    assert lines == [f"{result} {result} 1 1 0 None"]


@pytest.mark.parametrize("target", WAYS)
@pytest.mark.parametrize(
    "what", ["KP_ARGS_WATCH", "KP_ARGS_MODIFY", "KP_REGS_WATCH", "KP_REGS_MODIFY", "KP_RETURN"]
)
def test_exceptions_change_nothing(guest: LiveGuest, target: str, what: str) -> None:
    call, result = CALL[target]
    lines = run(
        guest,
        "def bad(x, *a):\n"
        "    if 'MODIFY' in what and 'REGS' in what: x.di = 0; x.si = 0; x.ip = 0\n"
        "    return {}[1]\n"
        f"what = '{what}'\n"
        f"h = kprobe('{target}', {what}, bad)\n"
        f"r = {call}\n"
        f"print('->', r, h.enabled, {call}, h.hits)\n"
        "h.rm()\n",
    )
    assert lines[-1] == f"-> {result} False {result} 1"
    assert lines[0] == f"kpy: kprobe {what} hook on {target} disabled by an exception"


@pytest.mark.parametrize("target", WAYS)
def test_registers(guest: LiveGuest, target: str) -> None:
    """Arguments, the address, and the stack with the return address into kpy."""
    call, result = CALL[target]
    lines = run(
        guest,
        "got = []\n"
        "def f(r):\n"
        "    got.append((r.rdi == r.di, r.ip == int(symbol('%s')), r.rip == r.ip,\n"
        "      p64(int(r) + 112) == r.di, p64(r) == r.r15, r.sp == r.rsp, r.di))\n"
        "    keep.append(r)\n"
        "    try: r.ip = 5\n"
        "    except RuntimeError as e: got.append(str(e))\n"
        "keep = []\n"
        f"with kprobe('{target}', KP_REGS_WATCH, f) as h:\n"
        f"    r = {call}\n"
        "    print(r, h.missed, h.last_error)\n"
        "print(got[0][:6], got[1])\n"
        "try: keep[0].ip\n"
        "except ValueError as e: print(e)\n" % target,
    )
    assert lines == [
        f"{result} 0 None",
        "(True, True, True, True, True, True) KP_REGS_WATCH does not change registers",
        "these registers are gone: their handler is over",
    ]


@pytest.mark.parametrize("target", WAYS)
def test_changed_registers(guest: LiveGuest, target: str) -> None:
    """Another argument; a jump back to the caller; and unchanged: the instruction runs as ever."""
    other = {"int_sqrt": "r.di = 81", "hex_to_bin": "r.di = 0x39"}[target]
    changed = {"int_sqrt": "9", "hex_to_bin": "9"}[target]
    call, result = CALL[target]
    lines = run(
        guest,
        "def other(r):\n"
        f"    {other}\n"
        "def back(r):\n"
        "    r.ax = 55\n"
        "    r.ip = p64(r.sp)\n"
        "    r.sp += 8\n"
        "def nothing(r): pass\n"
        "for f in (other, back, nothing):\n"
        f"    with kprobe('{target}', KP_REGS_MODIFY, f) as h:\n"
        f"        print({call}, h.hits, h.missed, h.last_error)\n",
    )
    assert lines == [f"{changed} 1 0 None", "55 1 0 None", f"{result} 1 0 None"]


def instructions(guest: LiveGuest) -> list[int]:
    """Offsets of the instructions of int_sqrt(), by objdump of the guest's memory."""
    code = run(guest, "print(k.bytes(int_sqrt, 64))")[0]
    with tempfile.NamedTemporaryFile(suffix=".bin") as f:
        f.write(ast.literal_eval(code))
        f.flush()
        text = subprocess.run(
            ["objdump", "-D", "-b", "binary", "-mi386:x86-64", f.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = []
    for line in text.splitlines():
        at = re.match(r"\s*([0-9a-f]+):\t[^\t]*\t(\w+)", line)
        if at:
            found.append(int(at[1], 16))
            if at[2] == "ret":
                break
    return found


def test_every_instruction_of_a_function(guest: LiveGuest) -> None:
    """A probe on each does not change what the function computes."""
    offsets = [o for o in instructions(guest) if o == 0 or o >= 5]
    assert len(offsets) > 8
    lines = run(
        guest,
        "hs = []\n"
        f"for o in {offsets}:\n"
        "    hits = [0]\n"
        "    def f(r): hits[0] += 1\n"
        "    h = kprobe(int_sqrt + o, KP_REGS_MODIFY, f)\n"
        "    ok = all(int_sqrt(i * i + i) == i for i in range(40))\n"
        "    h.rm()\n"
        "    print(ok, h.missed, h.hits == hits[0], h.hits > 0)\n",
    )
    assert [line.split()[:3] for line in lines] == [["True", "0", "True"]] * len(offsets)
    assert sum("True 0 True True" in line for line in lines) > 5


def test_probe_and_ftrace_hooks_together(guest: LiveGuest) -> None:
    """The newest comes first; each goes on to the next; any may be removed."""
    lines = run(
        guest,
        "seen = []\n"
        "def tag(n):\n"
        "    def f(orig, x):\n"
        "        seen.append(n)\n"
        "        return orig(x + 1)\n"
        "    return f\n"
        "a = k.ftrace('int_sqrt', tag('a'))\n"
        "b = kprobe('int_sqrt', KP_ARGS_WATCH, lambda x: seen.append(('b', x)))\n"
        "c = k.ftrace('int_sqrt', tag('c'))\n"
        "d = kprobe('int_sqrt', KP_REGS_WATCH, lambda r: seen.append(('d', r.di)))\n"
        "print(int_sqrt(7), seen)\n"
        "for h in (b, a, d, c):\n"
        "    h.rm()\n"
        "    seen.clear()\n"
        "    time.sleep_ms(200)\n"
        "    print(int_sqrt(7), seen)\n",
    )
    assert lines == [
        "3 [('d', 7), 'c', ('b', 8), 'a']",
        "3 [('d', 7), 'c', 'a']",
        "2 [('d', 7), 'c']",
        "2 ['c']",
        "2 []",
    ]


def test_several_probes_of_an_instruction(guest: LiveGuest) -> None:
    """The newest comes first; each sees it once; any may be removed."""
    lines = run(
        guest,
        "seen = []\n"
        "def tag(n): return lambda r: seen.append(n)\n"
        "hs = [kprobe('hex_to_bin', KP_REGS_WATCH, tag(n)) for n in 'abc']\n"
        "hs.append(kprobe('hex_to_bin', KP_ARGS_MODIFY, lambda call, x: call(x + 1) + 100))\n"
        "print(hex_to_bin(0x37), seen)\n"
        "for i in (1, 2, 3, 0):\n"
        "    hs[i].rm()\n"
        "    seen.clear()\n"
        "    print(hex_to_bin(0x37), seen)\n"
        "    time.sleep_ms(200)\n"
        "    seen.clear()\n"
        "    print(hex_to_bin(0x37), seen)\n"
        "print([h.hits for h in hs], [h.missed for h in hs])\n",
    )
    assert lines == [
        "108 ['c', 'b', 'a']",
        *["108 ['c', 'a']"] * 2,
        *["108 ['a']"] * 2,
        *["7 ['a']"] * 2,
        *["7 []"] * 2,
        "[7, 1, 3, 5] [0, 0, 0, 0]",
    ]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            "kprobe('no_such_thing', KP_ARGS_WATCH, f)",
            "ValueError: kernel symbol 'no_such_thing' not",
        ),
        ("kprobe('int_sqrt', 17, f)", "ValueError: expected KP_ARGS_WATCH"),
        (
            "kprobe('int_sqrt', KP_ARGS_MODIFY, lambda: 0)",
            "TypeError: the handler must take an argu",
        ),
        (
            "kprobe('int_sqrt', KP_REGS_WATCH, lambda: 0)",
            "TypeError: the handler must take an argum",
        ),
        (
            "kprobe(int_sqrt + 7, KP_ARGS_WATCH, f)",
            "OSError: [Errno 22] EINVAL: int_sqrt+0x7 is no",
        ),
        (
            "kprobe('exc_int3', KP_REGS_WATCH, f)",
            "OSError: [Errno 22] EINVAL: exc_int3 cannot be p",
        ),
        ("kprobe('init_task', KP_REGS_WATCH, f)", "OSError: [Errno 22] EINVAL: init_task is data"),
        ("kprobe(int_sqrt + 6, KP_REGS_WATCH, f)", "OSError: "),
    ],
)
def test_refusals(guest: LiveGuest, call: str, error: str) -> None:
    out, err = guest.py(SETUP + "def f(*a): pass\n" + call)
    assert not out
    assert err.splitlines()[-1].startswith(error)
    assert run(guest, "print(k.hooks())") == ["[]"]


def test_modify_may_sleep(guest: LiveGuest) -> None:
    """The handler runs in the function's context, not in the probe's."""
    run(
        guest,
        "def f(call, dfd, name, op):\n"
        "    if k.str(p64(name)) == '/tmp/slow': time.sleep_ms(300); contexts.append(k.context())\n"
        "    return call(dfd, name, op)\n"
        "contexts = []\n"
        "h = kprobe('do_filp_open', KP_ARGS_MODIFY, f)\n",
    )
    started = time.monotonic()
    status, _ = guest.sh("echo x >/tmp/slow; cat /tmp/slow")
    assert time.monotonic() - started > 0.6
    lines = run(guest, "h.rm(); print(contexts, h.last_error)")
    assert (status, lines) == (0, ["['process', 'process'] None"])
