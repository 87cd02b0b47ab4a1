# SPDX-License-Identifier: GPL-2.0-or-later
"""What users of the earlier port did with calls, memory and structs, unchanged."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from guest import kernel

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


STATISTICS = """
for name in lookup_struct("net_device_stats").fields:
    if not name.startswith("__"): print(name, getattr(d.stats, name))
"""


def statistics(guest: LiveGuest, nic: str) -> dict[str, str]:
    _, out = guest.sh(f"cd /sys/class/net/{nic}/statistics && grep . *")
    return dict(line.split(":") for line in out.splitlines())


def test_statistics_of_a_device(guest: LiveGuest) -> None:
    """The driver counts on its own; without it, sysfs shows the members of net_device."""
    _, found = guest.sh("ls /sys/class/net")
    nic = "eth0" if "eth0" in found.split() else "lo"
    run(
        guest,
        f'd = net_device(dev_get_by_name(init_net, "{nic}"))\n'
        "was = d.stats.rx_bytes\n"
        "ops, driver = d.netdev_ops, d.netdev_ops.ndo_get_stats64\n",
    )
    try:
        run(guest, "ops.ndo_get_stats64 = None\n")
        assert statistics(guest, nic)["rx_bytes"] == run(guest, "print(d.stats.rx_bytes)\n")[0]
        run(guest, "d.stats.rx_bytes = 1 << 63\n")
        assert run(guest, "print(d.stats.rx_bytes)\n") == [str(1 << 63)]
        ours = dict(line.split() for line in run(guest, STATISTICS))
        theirs = statistics(guest, nic)
        assert theirs["rx_bytes"] == str(1 << 63)
        assert len(ours) == 23 and ours.items() <= theirs.items()
        _, table = guest.sh("cat /proc/net/dev")
        assert f"{nic}: {1 << 63} " in table
    finally:
        run(guest, "d.stats.rx_bytes = was\nops.ndo_get_stats64 = driver\n")
    assert int(statistics(guest, nic)["rx_bytes"]) < 1 << 63


def test_structs_by_name(guest: LiveGuest) -> None:
    """With the sizes that the kernel's BTF has."""
    vmlinux = str(kernel.load().vmlinux)
    done = subprocess.run(
        ["pahole", "-F", "btf", "--sizes", vmlinux], capture_output=True, text=True, check=True
    )
    sizes = {name: int(size) for name, size, _ in map(str.split, done.stdout.splitlines())}
    lines = run(guest, 'print(lookup_struct("task_struct"))\nprint(partial_struct("net_device"))\n')
    assert lines == [
        f"Struct({sizes[name] * 8}, '{name}', ...)" for name in ("task_struct", "net_device")
    ]


def test_the_next_task_gets_a_name(guest: LiveGuest) -> None:
    sleeper = guest.sh("sleep 300 >/dev/null 2>&1 & echo $!")[1].strip()

    def raises(code: str) -> str:
        out, err = guest.py(code)
        assert not out
        return err.strip().splitlines()[-1]

    # `t` is what precedes the new process: the task that was the last one.
    run(
        guest,
        "t = task_struct(current())\n"
        f"while t.pid != {sleeper}: t = container_of(t.tasks.next, 'task_struct', 'tasks')\n"
        "t = container_of(t.tasks.prev, 'task_struct', 'tasks')\n",
    )
    assert run(
        guest,
        'n = container_of(t.tasks.next, "task_struct", "tasks")\n'
        'n.comm = "myawesomecomm\\0"\n'
        "print(n.pid, str(n.comm))\n",
    ) == [f"{sleeper} myawesomecomm"]
    _, ps = guest.sh("ps -o pid,comm")
    assert [sleeper, "myawesomecomm"] in [line.split() for line in ps.splitlines()]
    assert raises('n.comm = "myawesomecomm that is too long\\0"') == (
        "ValueError: task_struct.comm: Buffer overflow!"
    )
    assert run(guest, "print(str(n.comm))\n") == ["myawesomecomm"]
    assert raises("task_struct(0).comm") == "ValueError: NULL deref! task_struct.comm"
    guest.sh(f"kill {sleeper}")


def test_dump_of_the_current_task(guest: LiveGuest) -> None:
    """Every member of it, with the values that /proc has."""
    with guest.repl() as repl:
        out, err = repl.exec("dump_struct(task_struct(current()), 1)\n")
        assert not err
        head, *members, tail = out.splitlines()
        dump = dict(member.strip().split(" = ", 1) for member in members)
        _, stat = guest.sh(f"cat /proc/{dump['pid']}/stat")
        more, err = repl.exec(
            "t = task_struct(current())\n"
            "print(*lookup_struct('task_struct').fields)\nprint(hex(t), str(t.comm))\n"
        )
        assert not err
    names, where = more.splitlines()
    address, comm = where.split()
    assert (head, tail) == (f"struct task_struct at {address} {{", "}")
    assert set(dump) == set(names.split()) and len(dump) == len(members)
    # proc_pid_stat(5), counted from 1.
    fields = ["", *stat.split()]
    assert fields[2] == f"({comm})" and comm.startswith("kpy-repl")
    assert dump["pid"] == dump["tgid"] == fields[1]
    assert dump["flags"] == fields[9]
    assert int(dump["prio"]) - 100 == int(fields[18])
    assert int(dump["static_prio"]) - 120 == int(fields[19])
    assert (dump["exit_signal"], dump["rt_priority"], dump["policy"]) == (
        fields[38], fields[40], fields[41],
    )  # fmt: skip


SEMAPHORE = """
import _thread
sem = kmalloc(sizeof("semaphore"))
memset(sem, 0xa5, sizeof("semaphore"))
s = semaphore(sem)
# What sema_init(sem, 1) makes of it: an unlocked lock, a count, a list of nobody.
memset(s.lock, 0, sizeof(s, "lock"))
s.count = 1
s.wait_list.next = s.wait_list
s.wait_list.prev = s.wait_list

order, ids = [], []
def other(name):
    ids.append(task_struct(current()).pid)
    down(sem)
    order.append(name)
    up(sem)

def waiting():
    return [w.task.pid for w in list_for_each(s.wait_list, "semaphore_waiter", "list")]

down(sem)
print(s.count, down_trylock(sem))
_thread.start_new_thread(other, ("first",))
while len(waiting()) < 1: msleep(10)
_thread.start_new_thread(other, ("second",))
while len(waiting()) < 2: msleep(10)
print(waiting() == ids, order, s.count)
order.append("main")
up(sem)
while len(order) < 3 or s.count < 1: msleep(10)
print(order, waiting(), s.count)
# A semaphore counts, whoever ups it.
_thread.start_new_thread(up, (sem,))
while s.count < 2: msleep(10)
print(down_trylock(sem), down_trylock(sem), down_trylock(sem), s.count)
kfree(sem)
"""


def test_a_semaphore_by_hand(guest: LiveGuest) -> None:
    assert run(guest, SEMAPHORE) == [
        "0 1",
        "True [] 0",
        "['main', 'first', 'second'] [] 1",
        "0 0 1 0",
    ]


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
