# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel structs as Python objects, against /proc, /sys and the layout table."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guest import kernel

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

# A struct in memory of its own, to write to: 4 KB of zeros.
FRESH = "p = kmalloc(4096, 0xdc0)\n"


def lines(guest: LiveGuest, code: str) -> list[str]:
    """Run code that must succeed; return the lines it printed."""
    out, err = guest.py(code)
    assert not err, err
    return out.splitlines()


def error(guest: LiveGuest, code: str) -> str:
    """Run code that must fail; return the last line of the traceback."""
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


def sh(guest: LiveGuest, command: str) -> str:
    """Run a command that must succeed; return what it printed."""
    status, out = guest.sh(command)
    assert status == 0, out
    return out


def test_net_device_equals_sysfs(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "d = net_device(dev_get_by_name(init_net, 'lo'))\n"
        "print(str(d.name), d.mtu, d.ifindex, d.flags & 0xffff, d.type, end=' ')\n"
        "print(d.tx_queue_len, d.addr_len)\n"
        "print(d.name == 'lo', len(d.name), d.rtnl_link_state + 0, d.rtnl_link_state.name)\n"
        "old = d.stats.rx_bytes\n"
        "d.stats.rx_bytes = 1 << 63\n"
        "print(d.stats.rx_bytes)\n"
        "d.stats.rx_bytes = old\n",
    )
    sys = "/sys/class/net/lo/"
    names = ("mtu", "ifindex", "flags", "type", "tx_queue_len", "addr_len")
    theirs = [int(sh(guest, f"cat {sys}{name}").strip(), 0) for name in names]
    assert found == [
        "lo " + " ".join(map(str, theirs)),
        "True 16 0 RTNL_LINK_INITIALIZED",
        str(1 << 63),
    ]


def test_structs_are_printed(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "s = lookup_struct('task_struct')\n"
        "print(s)\n"
        "print(s.name, s.kind, s.size == sizeof(s), s.source, 'comm' in s.fields)\n"
        "print(repr(partial_struct('net_device')))\n"
        "print(s == task_struct, s == net_device, hash(s) == hash(task_struct))\n"
        "print(lookup_struct('struct list_head'), lookup_struct('atomic_t'))\n",
    )
    size = int(found[0].split("(")[1].split(",")[0])
    assert size % 8 == 0 and size > 8 * 5000
    assert found == [
        f"Struct({size}, 'task_struct', ...)",
        "task_struct struct True plugin True",
        found[2],
        "True False True",
        "Struct(128, 'list_head', ...) Struct(32, '', ...)",
    ]
    assert found[2].startswith("Struct(") and found[2].endswith(", 'net_device', ...)")


def test_dump(guest: LiveGuest) -> None:
    found = lines(guest, "dump_struct(task_struct(current()), 1)")
    assert found[0].startswith("struct task_struct at 0x") and found[-1] == "}"
    assert any(line.startswith("    pid = ") for line in found)
    assert any(line.startswith("    mm = StructPtr(0x") for line in found)
    deep = lines(guest, "dump_struct(task_struct(current()), 2)")
    assert "    tasks = {" in deep and any(line.startswith("        next = ") for line in deep)
    assert "<bad address>" in "".join(lines(guest, "dump_struct(list_head(0x1000))"))


def test_tasks_equal_proc(guest: LiveGuest) -> None:
    code = (
        "print(sorted(t.pid for t in "
        "list_for_each(task_struct(init_task).tasks, 'task_struct', 'tasks')))\n"
    )
    for _ in range(5):  # tasks come and go
        before = sh(guest, "ls /proc | grep '^[0-9]'").split()
        (ours,) = lines(guest, code)
        after = sh(guest, "ls /proc | grep '^[0-9]'").split()
        stay = {int(pid) for pid in before} & {int(pid) for pid in after}
        got = set(eval(ours))
        if stay <= got and len(got - stay) < 8:
            return
    raise AssertionError((stay, got))


def test_a_tree_is_walked_in_order(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "tree = list_for_each(symbol('vmap_area_root'), 'vmap_area', 'rb_node')\n"
        "a = [v.va_start for v in tree]\n"
        "print(len(a) > 20, a == sorted(a))\n"
        "b = [v.va_start for v in list_for_each(symbol('vmap_area_list'), 'vmap_area', 'list')]\n"
        "print(abs(len(a) - len(b)) < 5)\n",
    )
    assert found == ["True True", "True"]


def test_offsets_and_containers(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "print(offsetof('task_struct', 'comm[2]') - offsetof(task_struct, 'comm'))\n"
        "print(offsetof('net_device', 'stats.rx_bytes') == offsetof('net_device', 'stats') + 16)\n"
        "print(sizeof('task_struct', 'comm'), sizeof(net_device(8), 'name'), sizeof('list_head'))\n"
        "print(int(container_of(0x1000, 'list_head', 'prev')))\n"
        "print(sizeof(task_struct(init_task).comm))\n",
    )
    assert found == ["2", "True", "16 16 16", str(0x1000 - 8), "16"]


def test_bitfields_are_read_and_written(guest: LiveGuest) -> None:
    """iphdr: version is the upper half of the first byte."""
    found = lines(
        guest,
        FRESH + "h = lookup_struct('iphdr')(p)\n"
        "p8(p, 0x45)\n"
        "print(h.version, h.ihl)\n"
        "h.ihl = 15\n"
        "print(hex(p8(p)), h.version, h.ihl)\n"
        "h.version = 6\n"
        "print(hex(p8(p)), p8(p + 1))\n"
        "kfree(p)\n",
    )
    assert found == ["4 5", "0x4f 4 15", "0x6f 0"]


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("lookup_struct('task_strukt')",
         "KeyError: no struct 'task_strukt'; did you mean task_struct?"),
        ("lookup_struct('zzzzzz')", "KeyError: no struct 'zzzzzz'"),
        ("task_struct(init_task).comn", "AttributeError: struct task_struct has no member 'comn'"),
        ("task_struct(0).pid", "ValueError: NULL deref! task_struct.pid"),
        ("task_struct(0).pid = 1", "ValueError: NULL deref! task_struct.pid"),
        ("list_head(8).next", "OSError: (14, 'bad address 0x8 (list_head.next)')"),
        ("list_head(0x8000000000000000).prev = 0",
         "OSError: (14, 'bad address 0x8000000000000008 (list_head.prev)')"),
        ("task_struct(init_task).comm[16]",
         "IndexError: task_struct.comm: index 16 of an array of 16"),
        ("task_struct(init_task).comm[-1]", "IndexError: task_struct.comm: negative index -1"),
        ("task_struct(init_task).pid = 1 << 31",
         "ValueError: task_struct.pid: value does not fit in 32 signed bits"),
        ("lookup_struct('iphdr')(8).ihl = 16",
         "ValueError: iphdr.ihl: value does not fit in 4 unsigned bits"),
        ("net_device(8).reg_state = 'x'", "TypeError: net_device.reg_state: cannot store 'str'"),
        ("task_struct(init_task).mm = 'x'",
         "TypeError: task_struct.mm: cannot store 'str' in a pointer"),
        ("task_struct(init_task).tasks = 0",
         "TypeError: task_struct.tasks: a whole struct cannot be assigned"),
        ("task_struct('x')", "TypeError: 'str' is not an address"),
        ("sizeof(8)", "TypeError: 'int' is no struct, nor its name"),
        ("offsetof('task_struct', 'comm[16]')",
         "IndexError: task_struct.comm[16]: '[16]' is out of range"),
        ("offsetof('task_struct', 'nope.x')",
         "AttributeError: task_struct has no member 'nope.x' (at 'nope.x')"),
        ("offsetof('iphdr', 'ihl')", "TypeError: 'ihl' is a bitfield"),
        ("list_for_each(init_task, 'task_struct', 'pid')",
         "TypeError: 'pid' is no list_head, hlist_node, llist_node or rb_node"),
        ("per_cpu('runqueues', 999)", "ValueError: there is no CPU 999"),
    ],
)  # fmt: skip
def test_mistakes(guest: LiveGuest, code: str, last: str) -> None:
    assert error(guest, code) == last


def test_scalars_are_exact(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "p = kmalloc(sizeof('task_struct'), 0xdc0)\n"
        "t = task_struct(p)\n"
        "t.pid = -5\n"
        "print(t.pid, hex(p32(p + offsetof(task_struct, 'pid'))))\n"
        "t.start_time = (1 << 64) - 1\n"
        "print(t.start_time == (1 << 64) - 1)\n"
        "t.mm = init_mm\n"
        "print(t.mm == init_mm, bool(t.mm), int(t.mm.pgd) == int(init_top_pgt))\n"
        "t.mm = None\n"
        "print(bool(t.mm))\n"
        "print(hasattr(t, 'comm'), hasattr(t, 'nope'))\n"
        "t.comm = b'abc'\n"
        "print(str(t.comm), t.comm[0], t.comm[0:3], t.comm.read(4), list(t.comm)[2:5])\n"
        "kfree(p)\n",
    )  # fmt: skip
    assert found == [
        "-5 0xfffffffb",
        "True",
        "True True True",
        "False",
        "True False",
        "abc 97 [97, 98, 99] b'abc\\x00' [99, 0, 0]",
    ]


def test_private_structs_come_from_btf(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "m = lookup_struct('mount')\n"
        "print(m.source, 'mnt_parent' in m.fields, m.size > 100)\n"
        "r = per_cpu('runqueues', 1)\n"
        "print(r.cpu, r.curr.__struct__.name, this_cpu('runqueues').cpu in (0, 1))\n",
    )
    assert found == ["btf True True", "1 task_struct True"]


def pahole(name: str, module: str | None) -> dict[str, tuple[int, int]]:
    """Return member -> (offset, size) as pahole reads them from BTF; bitfields are left out."""
    known = kernel.load()
    assert known.modules_dir and known.vmlinux
    command = ["pahole", "-F", "btf", "-C", name]
    if module:
        (path,) = Path(known.modules_dir).rglob(f"{module}.ko")
        command += ["--btf_base", known.vmlinux, str(path)]
    else:
        command.append(known.vmlinux)
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    name_in_c = r"(?:\(\*+)?(\w+)(?:\[\d*\])*(?:\)\(.*?\))?"
    member = r"^\t(?:[^\t\n].*?)?[ *)}]" + name_in_c + r";\s*/\*\s+(\d+)\s+(\d+) \*/"
    found = re.findall(member, text, re.MULTILINE)
    return {name: (int(offset), int(size)) for name, offset, size in found}


@pytest.mark.parametrize(
    ("name", "module", "least"),
    [
        ("mount", None, 20),
        ("rq", None, 40),
        ("virtnet_info", "virtio_net", 15),
        ("vring_virtqueue", "virtio_ring", 8),
    ],
)
def test_what_btf_alone_describes(
    guest: LiveGuest, name: str, module: str | None, least: int
) -> None:
    theirs = pahole(name, module)
    assert len(theirs) >= least
    where = f", {module!r}" if module else ""
    found = lines(
        guest,
        f"s = lookup_struct({name!r}{where})\nprint(s.source)\n"
        f"for f in {list(theirs)!r}: print(f, offsetof(s, f), sizeof(s, f))\n",
    )
    assert found == ["btf", *(f"{f} {at} {size}" for f, (at, size) in theirs.items())]
    if module:
        assert error(guest, f"lookup_struct({name!r})") == f"KeyError: no struct '{name}'"


def test_function_pointers_are_called(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "f = lookup_struct('file')(filp_open('/proc/version', 0, 0))\n"
        "print(f.f_op.llseek(f, 3, 0), f.f_pos)\n"
        "filp_close(f, None)\n",
    )
    assert found == ["3 3"]


def test_no_heap_per_struct(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "import gc\n"
        "names = ('inode', 'dentry', 'super_block', 'sk_buff', 'sock', 'page', 'module', 'cred')\n"
        "for n in names: lookup_struct(n)\n"
        "gc.collect(); a = gc.mem_alloc()\n"
        "for n in names: lookup_struct(n)\n"
        "gc.collect(); print(gc.mem_alloc() - a)\n",
    )
    assert int(found[0]) < 64


def test_the_table_is_the_running_kernels(guest: LiveGuest) -> None:
    found = lines(
        guest,
        "from kernel_ffi import layout_report\n"
        "r = layout_report()\n"
        "print(r['checked'] > 3000, r['differ'])\n",
    )
    assert found == ["True []"]


def test_a_field_does_not_shadow_python(guest: LiveGuest) -> None:
    """Names of structs come behind Python's and the kernel's symbols."""
    assert lines(guest, "print(type(list), type(net_device), type(init_task))") == [
        "<class 'type'> <class 'Struct'> <class 'Symbol'>"
    ]
