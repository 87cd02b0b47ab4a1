# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists, trees and xarrays of the kernel, against what /proc and /sys show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def lines(guest: LiveGuest, code: str) -> list[str]:
    out, err = guest.py(code)
    assert not err, err
    return out.splitlines()


def error(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


def sh(guest: LiveGuest, command: str) -> str:
    status, out = guest.sh(command)
    assert status == 0, out
    return out


def between(guest: LiveGuest, ours: Callable[[], set[int]], command: str, new: int = 0) -> None:
    """What we see must be what is there: all that stays, and but a few that come and go."""
    for _ in range(5):
        before = {int(word) for word in sh(guest, command).split()}
        seen = ours()
        after = {int(word) for word in sh(guest, command).split()}
        if before & after <= seen and len(seen - (before | after)) <= new:
            return
    raise AssertionError((sorted(seen), sorted(before), sorted(after)))


def test_names_of_tasks_equal_proc(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "for t in list_for_each(task_struct(init_task).tasks, 'task_struct', 'tasks'):\n"
        "    print(t.pid, t.tgid, str(t.comm))\n",
    )
    theirs = sh(guest, "for p in /proc/[0-9]*; do echo ${p#/proc/} $(cat $p/comm); done")
    names = dict(line.split(" ", 1) for line in theirs.splitlines() if " " in line)
    equal = 0
    for line in found:
        pid, tgid, comm = line.split(" ", 2)
        assert pid == tgid  # leaders of their groups
        # Of kernel threads /proc shows more than fits in comm.
        if pid in names:
            assert names[pid].startswith(comm)
            equal += 1
    assert equal > 20


def test_pids_of_the_idr_equal_proc(guest: LiveGuest) -> None:
    """All threads have one."""

    def ours() -> set[int]:
        code = (
            "ns = lookup_struct('pid_namespace')(init_pid_ns)\n"
            "print([i for i, p in xa_for_each(ns.idr.idr_rt, 'pid')])\n"
            "print(all(p.numbers[0].nr == i for i, p in xa_for_each(ns.idr.idr_rt, 'pid')))\n"
        )
        pids, right = lines(guest, code)
        assert right == "True"
        found = eval(pids)
        assert found == sorted(found)
        return set(found)

    # Session and group numbers of tasks that are gone have an entry, too.
    between(guest, ours, "ls /proc/[0-9]*/task | grep '^[0-9]'", new=30)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 5000])
def test_xarray_made_by_the_kernel(guest: LiveGuest, count: int) -> None:
    """Of one entry, one node, and several levels, with values, pointers and holes."""
    stored = {i * i * 7: (i << 1 | 1) if i % 3 else 0x1000 + i * 8 for i in range(count)}
    code = (
        "x = kmalloc(sizeof('xarray'), 0xdc0)\n"
        "want = []\n"
        f"for i in range({count}):\n"
        "    v = (i << 1 | 1) if i % 3 else 0x1000 + i * 8\n"
        "    xa_store(x, i * i * 7, v, 0xcc0)\n"
        "    want.append((i * i * 7, i if i % 3 else v))\n"
        "got = list(xa_for_each(x))\n"
        "print(got == want, len(got))\n"
        "if want: print(xa_for_each(x, 'list_head'), end='')\n"
        "print([type(e) for i, e in xa_for_each(x, 'list_head')][:2])\n"
        "xa_destroy(x)\nprint(list(xa_for_each(x)))\nkfree(x)\n"
    )
    found = lines(guest, code)
    assert found[0] == f"True {len(stored)}"
    assert found[-1] == "[]"
    if count > 1:
        assert found[1].endswith("[<class 'StructPtr'>, <class 'int'>]")


def test_xarray_at_the_last_index(guest: LiveGuest) -> None:
    code = (
        "x = kmalloc(sizeof('xarray'), 0xdc0)\n"
        "for i in (0, 64, (1 << 64) - 1): xa_store(x, i, 0x2000, 0xcc0)\n"
        "print([i for i, e in xa_for_each(x)])\nxa_destroy(x)\nkfree(x)\n"
    )
    assert lines(guest, code) == [str([0, 64, (1 << 64) - 1])]


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("list(xa_for_each(0))", "ValueError: NULL deref! of an xarray"),
        ("list(xa_for_each(0x1000))", "OSError: (14, 'bad address 0x1008')"),
        ("list(xa_for_each(8, 'no_such_thing'))", "KeyError: no struct 'no_such_thing'"),
        ("xa_for_each('x')", "TypeError: 'str' is not an address"),
    ],
)
def test_mistakes_with_xarrays(guest: LiveGuest, code: str, last: str) -> None:
    assert error(guest, code) == last


def test_what_is_no_xarray(guest: LiveGuest) -> None:
    """A head that looks like a node, and is none."""
    code = (
        "p = kmalloc(4096, 0xdc0)\n"
        "memset(p + 64, 0xff, 4000)\n"
        "p64(p + 8, int(p) + 64 + 2)\n"
        "try: list(xa_for_each(p))\nexcept ValueError as e: print(e)\nkfree(p)\n"
    )
    assert lines(guest, code) == ["this is no xarray"]


def test_hlist_equals_sys(guest: LiveGuest) -> None:
    """The table by which the kernel finds network devices by number."""
    found = lines(
        guest,
        "n = lookup_struct('net')(init_net)\n"
        "for i in range(256):\n"
        "    head = n.dev_index_head[i]\n"
        "    for d in list_for_each(head, 'net_device', 'index_hlist'):\n"
        "        print(str(d.name), d.ifindex, d.ifindex & 255 == i)\n",
    )
    theirs = sh(guest, "cd /sys/class/net; for d in *; do echo $d $(cat $d/ifindex) True; done")
    assert sorted(found) == sorted(theirs.splitlines())
    assert len(found) >= 2


def test_llist(guest: LiveGuest) -> None:
    """As the kernel's llist_add_batch() makes it: the last one in is the first."""
    found = lines(
        guest,
        "p = kmalloc(4096, 0xdc0)\n"
        "size, at = sizeof('irq_work'), offsetof('irq_work', 'node.llist')\n"
        "for i in range(3):\n"
        "    n = int(p) + 64 + i * size + at\n"
        "    llist_add_batch(n, n, p)\n"
        "walk = list_for_each(p, 'irq_work', 'node.llist')\n"
        "print([(int(w) - int(p) - 64) // size for w in walk])\n"
        "kfree(p)\n",
    )
    assert found == ["[2, 1, 0]"]


def test_a_tree_is_walked_in_order(guest: LiveGuest) -> None:
    """Made by the kernel's rb_insert_color(), in an order of its own."""
    found = lines(
        guest,
        "size = sizeof('vmap_area')\n"
        "p = kmalloc(200 * size + 8, 0xdc0)\n"
        "root, base = int(p), int(p) + 8\n"
        "area = lookup_struct('vmap_area')\n"
        "for i in range(200):\n"
        "    a = area(base + i * size)\n"
        "    a.va_start = i * 37 % 200\n"
        "    parent, link = 0, root\n"
        "    while p64(link):\n"
        "        parent = p64(link)\n"
        "        b = container_of(parent, area, 'rb_node')\n"
        "        link = parent + (16 if a.va_start < b.va_start else 8)\n"
        "    p64(a.rb_node, parent)\n"
        "    p64(link, int(a.rb_node))\n"
        "    rb_insert_color(a.rb_node, root)\n"
        "print([a.va_start for a in list_for_each(root, area, 'rb_node')] == list(range(200)))\n"
        "kfree(p)\n",
    )
    assert found == ["True"]


def test_an_endless_list_can_be_left(guest: LiveGuest) -> None:
    """A list that does not come back to its head: Ctrl-C."""
    lines(guest, "p = kmalloc(64, 0xdc0)\np64(p, int(p) + 16)\np64(int(p) + 16, int(p) + 16)\n")
    with guest.repl() as repl:
        repl.start("for x in list_for_each(p, 'kobject', 'entry'): pass")
        _, err = repl.interrupt(20)
    assert b"KeyboardInterrupt" in err
    lines(guest, "kfree(p)")


# ---- Network devices -----------------------------------------------------------------------------


def test_network_devices_equal_sys(guest: LiveGuest) -> None:
    """All interfaces of the guest, each in all that both sides have."""
    fields = (
        "ifindex", "mtu", "type", "addr_len", "tx_queue_len", "group", "dev_port", "dev_id",
        "addr_assign_type", "name_assign_type",
    )  # fmt: skip
    found = lines(
        guest,
        f"fields = {fields!r}\n"
        "head = lookup_struct('net')(init_net).dev_base_head\n"
        "for d in list_for_each(head, 'net_device', 'dev_list'):\n"
        "    flags = d.flags & 0xffff\n"
        "    mac = ':'.join('%02x' % p8(int(d.dev_addr) + i) for i in range(d.addr_len))\n"
        "    print(str(d.name), flags, mac, *[getattr(d, f) + 0 for f in fields])\n",
    )
    names = sh(guest, "ls /sys/class/net").split()
    assert sorted(line.split()[0] for line in found) == sorted(names)
    assert {"lo", "eth0"} <= set(names)
    for line in found:
        name, flags, mac, *values = line.split()
        folder = f"/sys/class/net/{name}"
        assert mac == sh(guest, f"cat {folder}/address").strip()
        # IFF_UP, LOOPBACK, NOARP, MULTICAST: others are made up for user space.
        theirs = int(sh(guest, f"cat {folder}/flags"), 16)
        assert int(flags) & 0x1089 == theirs & 0x1089
        compared = 0
        for field, value in zip(fields, values):
            text = guest.sh(f"cat {folder}/{field} 2>/dev/null")[1].strip()
            if text:  # some are not for every device
                assert int(value) == int(text, 0), (name, field)
                compared += 1
        assert compared >= 6
