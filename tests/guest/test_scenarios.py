# SPDX-License-Identifier: GPL-2.0-or-later
"""What users of the earlier port did with calls and memory, unchanged."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(code)
    assert not err, err
    return out.splitlines()


def test_printk(guest: LiveGuest) -> None:
    assert run(guest, 'print(printk("so.. %s %d %d %d\\n", "hello", 123, None, True))') == ["18"]
    _, log = guest.sh("dmesg | grep 'so[.][.]' | tail -n 1")
    assert re.sub(r"^\[.*?\] ", "", log.strip()) == "so.. hello 123 0 1"


def test_jiffies(guest: LiveGuest) -> None:
    code = "from kernel_ffi import str as s, bytes as b, p8, p16, p32, p64\nprint(p64(jiffies_64))"
    first = int(run(guest, code)[0])
    guest.sh("sleep 0.2")
    assert first < int(run(guest, code)[0])


def test_rw_semaphore(guest: LiveGuest) -> None:
    """down_write() on a semaphore with readers blocks until they have left."""
    lines = run(
        guest,
        'p = kmalloc(sizeof("rw_semaphore"))\n'
        "__init_rwsem(p)\n"
        "down_read(p); down_read(p)\n"
        "print(down_write_trylock(p))\n"
        "import _thread\n"
        "got = []\n"
        "def writer():\n"
        "    down_write(p)\n"
        "    got.append('written')\n"
        "    up_write(p)\n"
        "_thread.start_new_thread(writer, ())\n"
        "msleep(100)\n"
        "print(got)\n"
        "up_read(p)\n"
        "msleep(50)\n"
        "print(got)\n"
        "up_read(p)\n"
        "while not got: msleep(10)\n"
        "print(got, down_write_trylock(p))\n"
        "up_write(p)\n"
        "kfree(p)\n",
    )
    assert lines == ["0", "[]", "[]", "['written'] 1"]


def test_down_write_is_left_by_ctrl_c(guest: LiveGuest) -> None:
    """Killable as the kernel offers it: down_write_killable(), which returns -EINTR."""
    run(
        guest,
        'p = kmalloc(sizeof("rw_semaphore"))\n__init_rwsem(p)\ndown_read(p)\n',
    )
    with guest.repl() as repl:
        repl.start("down_write_killable(p)")
        time.sleep(0.5)
        _, err = repl.interrupt(20)
    assert b"KeyboardInterrupt" in err
    run(guest, "up_read(p)\nkfree(p)\n")


def test_rtnl(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "rtnl_lock()\nprint(rtnl_is_locked())\nrtnl_unlock()\nprint(rtnl_is_locked())\n",
    )
    assert lines == ["1", "0"]


def test_network_namespaces(guest: LiveGuest) -> None:
    """As many as are counted from outside: ours, and those of processes started for it."""
    code = (
        "def count():\n"
        "    down_read(net_rwsem)\n"
        "    n, p = 0, p64(net_namespace_list)\n"
        "    while p != int(net_namespace_list):\n"
        "        n += 1\n"
        "        p = p64(p)\n"
        "    up_read(net_rwsem)\n"
        "    return n\n"
        "print(count())\n"
    )
    before = int(run(guest, code)[0])
    _, seen = guest.sh(
        "for i in 1 2 3; do unshare -n sleep 20 & done; sleep 1; "
        "ls -l /proc/[0-9]*/ns/net 2>/dev/null | sed 's/.*net:/net:/' | sort -u | wc -l"
    )
    assert int(run(guest, code)[0]) >= before + 3
    assert int(seen) == before + 3


def test_auto_globals(guest: LiveGuest) -> None:
    lines = run(
        guest,
        "import kernel_ffi\n"
        "a = jiffies_64\n"
        "print(symbol('jiffies_64') == a)\n"
        "kernel_ffi.auto_globals(False)\n"
        "try: jiffies_64\n"
        "except NameError as e: print(e)\n"
        "print(symbol('jiffies_64') == a)\n"
        "kernel_ffi.auto_globals(True)\n"
        "print(jiffies_64 == a)\n",
    )
    assert lines == ["True", "name 'jiffies_64' isn't defined", "True", "True"]
