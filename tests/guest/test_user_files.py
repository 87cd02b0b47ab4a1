# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that copy to a program's memory only, against cat in the same guest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from test_repl import INSMOD, PROMPT, Friendly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import LiveGuest

pytestmark = pytest.mark.guest

TRACING = "/sys/kernel/tracing"

DIGEST = """
import binascii, hashlib
def digest(path, size):
    total, n = hashlib.sha256(), 0
    with open(path, 'rb') as f:
        while True:
            data = f.read(size)
            if not data:
                break
            total.update(data)
            n += len(data)
            if f.tell() != n:
                print('tell', f.tell(), n)
    print(binascii.hexlify(total.digest()).decode(), n)
"""


@pytest.fixture(scope="module", autouse=True)
def tracefs(guest: LiveGuest) -> Iterator[None]:
    """Mount tracefs where it is not."""
    guest.sh(f"test -e {TRACING}/trace || mount -t tracefs none {TRACING}")
    yield
    guest.sh(f"echo nop > {TRACING}/current_tracer; echo > {TRACING}/set_ftrace_filter")


def run(guest: LiveGuest, code: str, timeout: float = 60) -> list[str]:
    out, err = guest.py(code, timeout)
    assert err == "", err
    return out.splitlines()


@pytest.mark.parametrize(
    "path",
    [
        "/proc/kallsyms",
        "/proc/1/cmdline",
        "/proc/1/maps",
        f"{TRACING}/available_events",
        f"{TRACING}/README",
        "/sys/kernel/debug/sleep_time",
        "/sys/kernel/debug/x86/topo/cpus/0",
    ],
)
def test_same_bytes_as_cat(guest: LiveGuest, path: str) -> None:
    status, out = guest.sh(f"test -e {path} && cat {path} | sha256sum && cat {path} | wc -c")
    if status:  # debugfs has what the kernel was configured with
        assert path.startswith("/sys/kernel/debug/"), out
        with pytest.raises(AssertionError, match="ENOENT"):
            run(guest, f"open({path!r})")
        return
    digest, size = out.split()[0], out.split()[-1]
    for piece in (4096, 100000, 77):
        if piece == 77 and int(size) > 100000:
            continue
        assert run(guest, f"{DIGEST}digest({path!r}, {piece})") == [f"{digest} {size}"]


def test_lines_seek_and_tell(guest: LiveGuest) -> None:
    path = f"{TRACING}/available_events"
    _, text = guest.sh(f"cat {path}")
    lines = text.splitlines()
    assert len(lines) > 300
    assert run(guest, f"for line in open({path!r}): print(line, end='')") == lines
    out = run(
        guest,
        f"f = open({path!r})\n"
        "first = f.readline(); at = f.tell(); second = f.readline()\n"
        "f.seek(at); print(f.readline() == second, at == len(first))\n"
        "f.seek(0); print(f.read() == ''.join(open(f_name)), len(f.read()))\n".replace(
            "f_name", repr(path)
        ),
    )
    assert out == ["True True", "True 0"]


def test_writes(guest: LiveGuest) -> None:
    run(
        guest,
        f"with open('{TRACING}/set_ftrace_filter', 'w') as f: f.write('vfs_open\\n')\n"
        f"with open('{TRACING}/set_ftrace_filter', 'a') as f: f.write('vfs_rea[d]\\n')\n"
        f"with open('{TRACING}/current_tracer', 'w') as f: f.write('function')\n"
        f"with open('{TRACING}/trace_marker', 'w') as f: f.write('a mark from Python\\n')\n",
    )
    # Both are there: close() has an effect at once, not when a worker of the kernel gets to it.
    _, functions = guest.sh(f"cat {TRACING}/set_ftrace_filter")
    assert sorted(functions.split()) == ["vfs_open", "vfs_read"]
    assert guest.sh(f"cat {TRACING}/current_tracer")[1] == "function\n"
    assert "a mark from Python" in guest.sh(f"cat {TRACING}/trace")[1]
    with pytest.raises(AssertionError, match="EINVAL"):
        run(guest, f"open('{TRACING}/current_tracer', 'w').write('no such tracer')")
    # A thread of Python's names itself, as /proc tells others.
    out = run(
        guest,
        "import _thread, time\n"
        "def name_me():\n"
        "    with open('/proc/thread-self/comm', 'w') as f: print(f.write('kpy-renamed'))\n"
        "    print(open('/proc/thread-self/comm').read(), end='')\n"
        "_thread.start_new_thread(name_me, ())\n"
        "time.sleep_ms(500)\n",
    )
    assert out == ["11", "kpy-renamed"]


def test_ctrl_c_ends_a_read_that_waits(guest: LiveGuest) -> None:
    guest.sh(f"echo nop > {TRACING}/current_tracer; echo > {TRACING}/trace")
    with Friendly(guest) as repl:
        repl.line(f"f = open('{TRACING}/trace_pipe')")
        # What is there already is swallowed, then the read waits for more.
        repl.start("while True: f.read(1)")
        time.sleep(0.5)
        repl.send(b"\x03")
        assert b"KeyboardInterrupt" in repl.until(PROMPT)
        repl.line("f.close(); f = None")
        assert repl.line(f"len(open('{TRACING}/README').read()) > 1000") == ["True"]


def test_the_buffer_is_not_there_at_other_times(guest: LiveGuest) -> None:
    """A thread that has had a buffer in user memory has none of it afterwards."""
    out = run(
        guest,
        "from kernel_ffi import bytes as kbytes\n"
        "print(len(open('/proc/1/cmdline').read()) > 0)\n"
        "def bad(f, *a):\n"
        "    try: print(f(*a))\n"
        "    except OSError as e: print(e.errno)\n"
        "for a in (0, 4096, 0x400000, 0x7ffff7ff0000):\n"
        "    bad(p64, a); bad(p8, a, 1); bad(kbytes, a, 16)\n"
        "print(p64(symbol('init_task')) >= 0)\n",
    )
    assert out == ["True", *["14"] * 12, "True"]


def test_many_threads_at_once(guest: LiveGuest) -> None:
    _, text = guest.sh(f"cat {TRACING}/available_events | sha256sum")
    out = run(
        guest,
        DIGEST + "import _thread, time\n"
        "running = 6\n"
        "lock = _thread.allocate_lock()\n"
        "def work():\n"
        "    global running\n"
        f"    for i in range(5): digest('{TRACING}/available_events', 4096)\n"
        "    with lock: running -= 1\n"
        "for i in range(6): _thread.start_new_thread(work, ())\n"
        "while running: time.sleep_ms(20)\n",
    )
    assert [line.split()[0] for line in out] == [text.split()[0]] * 30


def test_nothing_is_left_at_unload(guest: LiveGuest) -> None:
    def counts() -> tuple[int, int]:
        """Return mm_structs and VMAs in use."""
        # Free ones in the slabs that CPUs keep count as used until those are given back.
        guest.sh("for s in mm_struct vm_area_struct; do echo 1 >/sys/kernel/slab/$s/shrink; done")
        _, out = guest.sh("grep -E '^(mm_struct|vm_area_struct) ' /proc/slabinfo")
        found = {line.split()[0]: int(line.split()[1]) for line in out.splitlines()}
        return found["mm_struct"], found["vm_area_struct"]

    code = (
        "import _thread, time\n"
        "def work():\n"
        f"    open('/proc/kallsyms', 'rb').read(1000); open('{TRACING}/README').read()\n"
        "for i in range(10): _thread.start_new_thread(work, ())\n"
        "work(); time.sleep_ms(300)\n"
    )
    for i in range(8):
        run(guest, code)
        assert guest.sh(f"rmmod kpy && {INSMOD}")[0] == 0
        if i == 1:
            before = counts()
    after = counts()
    # Each round had 11 of them. What the shell has at the moment of counting differs by little.
    assert after[0] - before[0] < 33, (before, after)
    assert after[1] - before[1] < 60, (before, after)
