# SPDX-License-Identifier: GPL-2.0-or-later
"""What users of the earlier port did with hooks, callbacks and threads, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

ARTICLE = "from kernel_ffi import *\nfrom kernel_ffi import str as s\n"


def run(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(ARTICLE + code)
    assert not err, err
    return out.splitlines()


def test_function_pointers_of_structs(guest: LiveGuest) -> None:
    """Scenario 6: lo's operations, compared with the kernel's symbols, and called."""
    lines = run(
        guest,
        'd = net_device(dev_get_by_name(init_net, "lo"))\n'
        "print(int(d.netdev_ops) == int(loopback_ops), d.netdev_ops == loopback_ops)\n"
        "print(int(d.netdev_ops.ndo_start_xmit) == int(loopback_xmit))\n"
        "before = d.stats.rx_bytes\n"
        "d.stats.rx_bytes = 1 << 63\n"
        "print(d.stats.rx_bytes == 1 << 63)\n"
        "d.stats.rx_bytes = before\n"
        "print(d.stats.rx_bytes == before)\n",
    )
    assert lines == ["True True", "True", "True", "True"]


def test_print_every_open(guest: LiveGuest) -> None:
    """Scenario 10: the hook prints to the session that armed it."""
    lines = run(
        guest,
        "def myhook(orig, dfd, filename, op):\n"
        '    print("do_filp_open: {}".format(s(p64(filename))))\n'
        "    return orig(dfd, filename, op)\n"
        'h = ftrace("do_filp_open", myhook)\n'
        "f = open('/proc/version'); f.read(); f.close()\n"
        "try: open('/tmp/not there')\n"
        "except OSError as e: print(e.errno)\n"
        "h.rm()\n"
        "open('/proc/version').close()\n",
    )
    assert lines == ["do_filp_open: /proc/version", "do_filp_open: /tmp/not there", "2"]


def test_hide_even_pids(guest: LiveGuest) -> None:
    """Scenario 11."""
    run(
        guest,
        "ENOENT = 2\n"
        "def hide_pid(orig, dfd, filename, op):\n"
        "    fname = s(p64(filename))\n"
        '    if fname.startswith("/proc/"):\n'
        "        try: pid = int(fname[6:].split('/')[0])\n"
        "        except ValueError: pid = 1\n"
        "        if pid % 2 == 0: return (1 << 64) - ENOENT\n"
        "    return orig(dfd, filename, op)\n"
        'h = ftrace("do_filp_open", hide_pid)\n',
    )
    _, out = guest.sh("for i in 1 2 3 4; do cat /proc/$i/comm 2>&1; done; ps | wc -l")
    run(guest, "h.rm()")
    lines = out.splitlines()
    assert lines[0] == "init"
    assert lines[1] == "cat: can't open '/proc/2/comm': No such file or directory"
    assert lines[3] == "cat: can't open '/proc/4/comm': No such file or directory"
    assert guest.sh("cat /proc/2/comm") == (0, "kthreadd\n")


def test_watch_arguments(guest: LiveGuest) -> None:
    """Scenario 12: removed by rm(), and by dropping it and collecting."""
    run(
        guest,
        "import gc\n"
        "seen = []\n"
        "def f(dfd, fn): seen.append(s(p64(fn)))\n"
        'kp = kprobe("do_filp_open", KP_ARGS_WATCH, f)\n',
    )
    guest.sh("cat /proc/uptime")
    assert run(guest, "print('/proc/uptime' in seen)\nkp.rm()\nseen.clear()") == ["True"]
    guest.sh("cat /proc/uptime")
    assert run(guest, "print(seen)") == ["[]"]
    run(
        guest,
        'kp = kprobe("do_filp_open", KP_ARGS_WATCH, f)\n'
        "kp = None\n"
        "junk = [[i] for i in range(3000)]; junk = None\n"
        "gc.collect()\n",
    )
    assert run(guest, "gc.collect()\nprint(hooks())") == ["[]"]


def test_dev_null_is_not_empty(guest: LiveGuest) -> None:
    """Scenario 13: the pointer in constant data is written, and written back."""
    run(
        guest,
        'null_fops = partial_struct("file_operations")(symbol("null_fops"))\n'
        'msg = "who said /dev/null must be empty?\\n"\n'
        "def null_read(file, buf, count, ppos):\n"
        "    l = min(count, len(msg))\n"
        "    memcpy(buf, msg, l)\n"
        "    return l\n"
        "c = callback(null_read)\n"
        "null_fops.read = c.ptr()\n",
    )
    try:
        said = guest.sh("head -c 34 /dev/null")
    finally:
        run(guest, "null_fops.read = int(read_null)")
    assert said == (0, "who said /dev/null must be empty?\n")
    assert guest.sh("head -c 34 /dev/null") == (0, "")
    assert run(guest, "print(c.hits, c.last_error)\nc.rm()\ndel null_fops") == ["1 None"]


def test_a_hook_that_raises(guest: LiveGuest) -> None:
    """Scenario 14."""
    lines = run(
        guest,
        "def bad(orig, *args): raise ValueError('bad hook')\n"
        'h = ftrace("do_filp_open", bad)\n'
        "f = open('/proc/version'); print(f.read()[:13]); f.close()\n"
        "print(h.enabled, repr(h.last_error))\n"
        "h.rm()\n",
    )
    assert lines == [
        "kpy: ftrace hook on do_filp_open disabled by an exception",
        "Traceback (most recent call last):",
        '  File "<stdin>", line 3, in bad',
        "ValueError: bad hook",
        "Linux version",
        "False ValueError('bad hook',)",
    ]


def test_threads(guest: LiveGuest) -> None:
    """Scenario 15: a thread that sleeps in the kernel, and a lock in a with statement."""
    lines = run(
        guest,
        "from _thread import start_new_thread, allocate_lock\n"
        "lock = allocate_lock()\n"
        "order = []\n"
        "def my_thread(ms):\n"
        "    with lock: order.append('in')\n"
        "    msleep(ms)\n"
        "    with lock: order.append('out')\n"
        "with lock:\n"
        "    start_new_thread(my_thread, (1500,))\n"
        "    msleep(200)\n"
        "    order.append('first')\n"
        "msleep(300)\n"
        "print(order)\n"
        "while len(order) < 3: msleep(20)\n"
        "print(order, lock.locked())\n",
    )
    assert lines == ["['first', 'in']", "['first', 'in', 'out'] False"]


def test_semaphore_across_threads(guest: LiveGuest) -> None:
    """Scenario 16: a semaphore built by hand; down() waits in one thread for up() in another."""
    lines = run(
        guest,
        "from _thread import start_new_thread\n"
        'sem = kmalloc(sizeof("semaphore"))\n'
        'memset(sem, 0, sizeof("semaphore"))\n'
        'sp = partial_struct("semaphore")(sem)\n'
        "sp.wait_list.next = sp.wait_list.prev = int(sp.wait_list)\n"
        "sp.count = 0\n"
        "got = []\n"
        "def waiter():\n"
        "    down(sem)\n"
        "    got.append('down')\n"
        "start_new_thread(waiter, ())\n"
        "msleep(200)\n"
        "print(got)\n"
        "up(sem)\n"
        "while not got: msleep(10)\n"
        "print(got, sp.count)\n"
        "kfree(sem)\n",
    )
    assert lines == ["[]", "['down'] 0"]
