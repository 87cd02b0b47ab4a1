# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy layout show|list|find|push|pop`, `$kpy_offsetof`, and what `kpy attach` says of layouts."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT, build_module, run_gdb

from guest import registry
from guest.agent import Agent

if TYPE_CHECKING:
    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what was printed after the lines of `kpy attach`."""
    lines = done.stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("Layouts: "))
    return [line for line in lines[first + 1 :] if not line.startswith("[Inferior")]


@contextlib.contextmanager
def loaded(guest: LiveGuest, module: Path) -> Iterator[None]:
    """Load a module for a while."""
    Agent.of(registry.running(guest.name)).push(module, "/tmp/private.ko")
    status, out = guest.sh("insmod /tmp/private.ko")
    assert status == 0, out
    try:
        yield
    finally:
        status, out = guest.sh("rmmod private")
        assert status == 0, out


def test_attach_says_whether_layouts_are_right(gdb: GdbRunner) -> None:
    done = gdb()
    assert re.search(
        r"\nLayouts: \d{4} types of the module are the kernel's \(BTF\)\.", done.stdout
    )


@pytest.mark.parametrize("source", ["btf", "both"])
def test_check_of_sources(gdb: GdbRunner, source: str) -> None:
    done = gdb(f"kpy layout check -source {source} task_struct file net_device", timeout=200)
    assert done.returncode == 0, done.stderr
    assert "layouts, plugin and btf: 104 types: 104 equal, 0 differs" in done.stdout
    assert ("layouts: 104 types: 104 equal" in done.stdout) == (source == "both")


def test_the_whole_table_equals_the_guests_btf(gdb: GdbRunner) -> None:
    done = gdb("kpy layout check -json -source btf", timeout=200)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    assert found["ok"] and found["sources"] == ["plugin", "btf"]
    assert found["types"]["equal"] > 5000 and found["members"]["equal"] > 30000


def test_a_type_of_a_module_in_its_btf(guest: LiveGuest, gdb: GdbRunner, tmp_path: Path) -> None:
    """A struct that only the BTF of a loaded module has is not unknown."""
    module = build_module("private", tmp_path, btf=True)
    with loaded(guest, module):
        done = gdb("kpy layout show -source btf kpy_private", "kpy layout show -source btf path")
        assert done.returncode == 0, done.stderr
        assert "struct kpy_private {" in done.stdout and "u16 low;" in done.stdout
        assert "The module's table does not have it; this is btf's." in done.stderr
    assert gdb("kpy layout show -source btf kpy_private").returncode == 1


def test_show(gdb: GdbRunner) -> None:
    done = gdb("kpy layout show path", "kpy layout show struct list_head", "kpy layout show pid_t")
    assert done.returncode == 0, done.stderr
    assert said(done)[:4] == [
        "struct path {",
        "        struct vfsmount *mnt;                     /* 0x0 8 */",
        "        struct dentry *dentry;                    /* 0x8 8 */",
        "};                                                /* 16 bytes, aligned to 8 */",
    ]
    data = gdb("kpy layout show -json path").stdout
    (path,) = json.loads(data[data.index("\n[{") :].split("\n[Inf")[0])
    assert [member["offset"] for member in path["members"]] == [0, 8]


def test_list(gdb: GdbRunner) -> None:
    done = gdb("kpy layout list net_dev*")
    assert "net_device" in said(done) and "net_device_ops" in said(done)
    assert all(line.startswith("net_dev") for line in said(done))
    done = gdb("kpy layout list -differs list_*")
    assert done.returncode == 0 and said(done) == [] and "None differs." in done.stderr


def test_find(gdb: GdbRunner) -> None:
    done = gdb(
        "kpy layout find task_struct+0xb80",
        "kpy layout find struct list_head + 8",
        "kpy layout find &init_task.comm[2]",
        "kpy layout find init_task.se.vruntime",
        "kpy layout find &init_task",
    )
    lines = said(done)
    assert lines[0].startswith("task_struct.") and lines[1] == "list_head.prev  struct list_head *"
    assert lines[2] == "init_task.comm[2]  char"
    assert lines[3] == "init_task.se.vruntime  u64"
    assert lines[4].startswith("init_task.thread_info.")


def test_offsets_are_those_of_gdb(gdb: GdbRunner) -> None:
    """Of members of random types; GDB computes the other side from DWARF by itself."""
    chance = random.Random(7)
    members = ["task_struct.se.vruntime", "task_struct.comm[3]", "net_device.name", "inode.i_rdev",
               "file.f_path.dentry", "page.lru.prev", "mm_struct.pgd"]  # fmt: skip
    chance.shuffle(members)
    commands = []
    for each in members:
        struct, member = each.split(".", 1)
        commands.append(
            f'printf "%d %d\\n", $kpy_offsetof("{struct}", "{member}"), '
            f"(long)&((struct {struct} *)0)->{member}"
        )
    lines = said(gdb(*commands))
    assert len(lines) == len(members)
    for line in lines:
        ours, theirs = line.split()
        assert ours == theirs, line


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("kpy layout", "check or what?"),
        ("kpy layout frob", "no command `kpy layout frob`"),
        ("kpy layout show", "show what?"),
        ("kpy layout show task_strukt", "unknown type 'task_strukt'; did you mean task_struct"),
        ("kpy layout show -source x path", "no source 'x' (known: dwarf, btf)"),
        ("kpy layout check -source", "-source needs a value after it"),
        ("kpy layout list zzz*", "no type in the layout table matches 'zzz*'"),
        ("kpy layout list a b", "one pattern is enough"),
        ("kpy layout find", "find what?"),
        ("kpy layout find list_head+16", "offset 0x10 is outside of struct list_head"),
        ("kpy layout find nothing at all", "'nothing at all' gives no address"),
        ("kpy layout find 0x10000000000", "0x10000000000 is in no variable of the kernel"),
        ("kpy layout pop", "nothing is pushed"),
        ("kpy layout push -file /none x", "no file /none"),
        ("kpy layout push no_such_struct", "unknown type 'no_such_struct'"),
        ("kpy layout push list_head", "struct list_head is in the module's table already"),
        ('print $kpy_offsetof("list_head", "up")', "struct list_head has no member up"),
        ('print $kpy_offsetof("nope", "up")', "unknown type 'nope'"),
        ('print $kpy_offsetof("list_head")', 'usage: $kpy_offsetof("STRUCT", "MEMBER")'),
    ],
)
def test_mistakes_end_in_one_line(gdb: GdbRunner, command: str, message: str) -> None:
    done = gdb(command)
    assert done.returncode == 1
    last = [line for line in done.stderr.splitlines() if line][-1]
    assert last.startswith(message) or message in last, done.stderr
    assert "Traceback" not in done.stderr


def test_while_the_guest_runs(gdb: GdbRunner) -> None:
    done = gdb("continue &", "kpy layout check list_head", "kpy layout show path", "interrupt")
    assert done.stderr.count("the guest is running") >= 2 or "continue &" in done.stderr


def test_without_attaching() -> None:
    for command in ("check", "show path", "list", "find path+0", "push x", "pop"):
        done = run_gdb(f"kpy layout {command}")
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].startswith("GDB is not attached to a guest")


def test_help_has_an_example() -> None:
    for word in ("check", "show", "list", "find", "push", "pop"):
        done = run_gdb(f"help kpy layout {word}")
        assert "Usage: kpy layout " + word in done.stdout and "Example:" in done.stdout
    assert "$kpy_offsetof" in run_gdb("help function kpy_offsetof").stdout


def test_completion(gdb: GdbRunner) -> None:
    done = gdb(
        "complete kpy layout show task_str",
        "complete kpy layout check -source b",
        "complete kpy layout check -a",
        "complete kpy layout p",
    )
    lines = said(done)
    assert "kpy layout show task_struct" in lines
    assert [line for line in lines if "-source" in line] == [
        "kpy layout check -source both",
        "kpy layout check -source btf",
    ]
    assert "kpy layout check -all" in lines
    assert {"kpy layout pop", "kpy layout push"} <= set(lines)


def test_ctrl_c_ends_the_indexing(guest: LiveGuest, tmp_path: Path) -> None:
    """A cold check takes seconds; it stops at once, says so, and leaves no half index."""
    script = tmp_path / "check.gdb"
    script.write_text(
        "python import os, threading, signal\n"
        "python threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "kpy layout check\n"
    )
    attach = f"kpy attach {guest.info['gdb_socket']}"
    index = Path.home() / ".cache/kpy/gdb-index"
    done = run_gdb(
        f"set index-cache directory {index}", attach, f"source {script}",
        env={"XDG_CACHE_HOME": str(tmp_path)}, timeout=120,
    )  # fmt: skip
    assert "interrupted" in done.stderr or "Quit" in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "layouts: " not in done.stdout
    assert not list((tmp_path / "kpy").glob("dwarf-index/*"))


def test_a_core_of_the_guest(guest: LiveGuest, tmp_path: Path) -> None:
    """QEMU's own dump: the table, in pages all over it, and the BTF are found and agree."""
    core = tmp_path / "core"
    guest.monitor(f"dump-guest-memory -p {core}")
    command = ["-m", "struct_layout", "check", "--core", core, "--vmlinux", guest.info["vmlinux"]]
    try:
        done = subprocess.run(
            [sys.executable, *command, "--source", "btf"],
            cwd=ROOT, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
    finally:
        core.unlink()
    assert done.returncode == 0, done.stderr
    found = re.search(r"plugin and btf: \d+ types: (\d+) equal, 0 differs", done.stdout)
    assert found and int(found[1]) > 5000


# ---- Push ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """tests/guest/modules/private.c with its debug information."""
    yield build_module("private", tmp_path_factory.mktemp("private"), strip=False)


def test_push_and_pop(guest: LiveGuest, gdb: GdbRunner, private: Path) -> None:
    """A struct of a module without BTF: unknown, pushed, read member by member, popped."""
    stripped = private.with_suffix(".stripped.ko")
    subprocess.run(["strip", "-g", private, "-o", stripped], check=True)
    with loaded(guest, stripped):
        _push_and_pop(guest, gdb, private)


def _push_and_pop(guest: LiveGuest, gdb: GdbRunner, private: Path) -> None:
    out, error = guest.py("lookup_struct('kpy_private')")
    assert "no struct 'kpy_private'" in error
    done = gdb(
        f"kpy layout push -file {private} kpy_private",
        "kpy layout push",
        'kpy eval lookup_struct("kpy_private").size',
    )
    assert done.returncode == 0, done.stderr
    assert said(done)[:2] == ["pushed struct kpy_private", "struct kpy_private"]
    size = int(said(done)[2])
    code = """
p = lookup_struct("kpy_private")(kpy_private_object)
print(p.number, p.flag, p.width, p.inner.low, p.inner.high, p.shade, bytes(p.name)[:5])
print(p.list.next == p.list.prev, p.many[3], p.next.number)
"""
    out, error = guest.py(code)
    assert not error, error
    first, second = out.splitlines()
    assert first.startswith("-7 1 5 18 52 ") and first.endswith("b'hello'")
    assert second == "True 33 -7"
    expected = run_gdb(f"file {private}", "print sizeof(struct kpy_private)").stdout
    assert f" = {size}\n" in expected
    # Pushed again it is the same; popped it is gone, but what was looked up stays.
    done = gdb(f"kpy layout push -file {private} kpy_private", "kpy layout pop kpy_private")
    assert said(done) == ["pushed struct kpy_private", "popped struct kpy_private"]
    _, error = guest.py("lookup_struct('kpy_private')")
    assert "no struct 'kpy_private'" in error
    out, error = guest.py("print(p.number)")
    assert (out, error) == ("-7\n", "") or "p" in error


def test_pushes_are_bounded(gdb: GdbRunner, tmp_path: Path) -> None:
    source = tmp_path / "large.c"
    fields = "".join(f"int member_with_a_long_name_{n};" for n in range(2000))
    source.write_text(f"struct kpy_large {{ {fields} }} large;\n")
    subprocess.run(["gcc-12", "-g", "-shared", "-o", source.with_suffix(".so"), source], check=True)
    done = gdb(f"kpy layout push -file {source.with_suffix('.so')} kpy_large")
    assert done.returncode == 1
    assert "the most of one push is 32768: push fewer structs at once" in done.stderr
    many = tmp_path / "many.c"
    many.write_text("".join(f"struct kpy_many{n} {{ int a{n}; }} m{n};\n" for n in range(70)))
    subprocess.run(["gcc-12", "-g", "-shared", "-o", many.with_suffix(".so"), many], check=True)
    commands = [f"kpy layout push -file {many.with_suffix('.so')} kpy_many{n}" for n in range(70)]
    script = tmp_path / "push.gdb"
    script.write_text(
        "".join(f"python\ntry: gdb.execute({c!r})\nexcept gdb.error as e: print(e)\nend\n"
                for c in commands)
    )  # fmt: skip
    done = gdb(f"source {script}", "kpy layout pop " + " ".join(f"kpy_many{n}" for n in range(40)))
    assert 50 < done.stdout.count("pushed struct kpy_many") < 65
    assert "there is no more room" in done.stdout and "reload the module" in done.stdout
