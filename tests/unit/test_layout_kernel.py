# SPDX-License-Identifier: GPL-2.0-or-later
"""The real table against the real kernel: its DWARF, and pahole's reading of its BTF."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout import compare, open_dwarf, require_build_id
from struct_layout.__main__ import main
from struct_layout.btf import open_btf
from struct_layout.causes import explain
from struct_layout.dwarf import DwarfSource
from struct_layout.model import Pointer, Record, Typedef, size_of, strip
from struct_layout.prints import write_prints
from struct_layout.table import Table
from struct_layout.view import flatten, spell


@pytest.fixture(scope="module")
def kernel() -> dict[str, str]:
    return kit.kernel()


@pytest.fixture(scope="module")
def path(kernel: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table that make built; without it, one built now."""
    built = Path(kernel["folder"]) / "layout.table"
    if built.exists():
        return built
    output = tmp_path_factory.mktemp("kernel") / "layout.table"
    assert main(["build", "--kdir", kernel["kdir"], "--plugin", str(kit.plugin()),
                 "-o", str(output)]) == 0  # fmt: skip
    return output


@pytest.fixture(scope="module")
def table(path: Path) -> Table:
    return Table(path.read_bytes())


@pytest.fixture(scope="module")
def dwarf(kernel: dict[str, str]) -> DwarfSource:
    return open_dwarf(kernel["vmlinux"])


def test_the_whole_table_equals_dwarf(table: Table, dwarf: DwarfSource) -> None:
    start = time.monotonic()
    result = compare(table, dwarf)
    took = time.monotonic() - start
    assert result.ok, result.render_text()
    types, members = result.counts(), result.member_counts()
    assert types["equal"] > 5000
    assert members["equal"] > 30000
    assert took < 60


def test_the_fingerprints_are_those_of_the_table(table: Table, path: Path) -> None:
    """The build takes them from what it made the table of, and not from the table."""
    assert path.with_name(path.name + ".prints").read_bytes() == write_prints(table)


def test_the_three_of_the_demo(table: Table, dwarf: DwarfSource) -> None:
    result = compare(table, dwarf, ["task_struct", "file", "net_device"])
    assert result.ok
    verdicts = {type.name: type for type in result.types}
    assert verdicts["struct task_struct"].members["equal"] > 200
    assert verdicts["struct net_device"].members["equal"] > 140
    assert verdicts["struct file"].members["equal"] >= 20
    assert verdicts["struct list_head"].verdict == "equal"  # lies inside them


def test_the_whole_table_equals_what_pahole_reads(table: Table, kernel: dict[str, str]) -> None:
    theirs = kit.pahole(Path(kernel["vmlinux"]), "-F", "btf")
    compared = 0
    for ours in table.records():
        name = f"{ours.kind} {ours.name}"
        if ours.incomplete or ours.local or name not in theirs:
            continue
        size, members = theirs[name]
        assert ours.size == size, name
        flat = {f.path: f for f in flatten(ours) if "." not in f.path}
        assert set(flat) == set(members), name
        for member, place in members.items():
            mine = flat[member]
            assert (mine.offset, mine.bits) == (place.offset, place.bits), f"{name}.{member}"
            if mine.bits is None:
                assert (size_of(mine.type) or 0) == place.size, f"{name}.{member}"
            compared += 1
    assert compared > 9000


def test_nothing_is_missing_of_what_gcc_sees(
    table: Table, kernel: dict[str, str], tmp_path: Path
) -> None:
    """The same headers with -g: the same types, members and constants."""
    (tmp_path / "core.c").write_text((kit.ROOT / "struct_layout/headers/core.c").read_text())
    (tmp_path / "Kbuild").write_text(
        "obj-m := core.o\nCFLAGS_core.o := -g -gdwarf-5 -fno-eliminate-unused-debug-types\n"
    )
    kit.run("make", "-s", "-C", kernel["kdir"], f"M={tmp_path}", f"CC={kit.GCC}", "core.o")
    linked = tmp_path / "core.elf"
    kit.run("ld", "--unresolved-symbols=ignore-all", "-e0", tmp_path / "core.o", "-o", linked)
    dwarf = open_dwarf(linked)
    result = compare(table, dwarf)
    assert result.ok, result.render_text()
    assert result.counts()["equal"] > 2400
    assert result.member_counts()["equal"] > 16000

    def complete(source: Table | DwarfSource) -> set[tuple[str, str]]:
        return {
            (type.__class__.__name__, name)
            for name in source.type_names()
            for type in source.find(name)
            if isinstance(type, Typedef) or not type.incomplete
        }

    # The table may have been built with more headers (LAYOUT_HEADERS=).
    assert complete(dwarf) <= complete(table)


@pytest.mark.parametrize(
    "name",
    [
        "task_struct", "file", "inode", "dentry", "super_block", "path", "filename", "cred",
        "mm_struct", "vm_area_struct", "page", "module", "net_device", "sk_buff", "sock", "net",
        "list_head", "hlist_node", "rb_node", "xarray", "idr", "rw_semaphore", "semaphore",
        "mutex", "spinlock_t", "completion", "wait_queue_head", "timer_list", "hrtimer",
        "work_struct", "delayed_work", "irq_work", "kprobe", "kretprobe", "ftrace_ops", "pt_regs",
        "file_operations", "proc_ops", "seq_file", "cdev", "device", "nsproxy", "pid",
        "pid_namespace", "files_struct", "fs_struct", "tcp_sock", "tracepoint", "kobject",
    ],
)  # fmt: skip
def test_what_people_look_for_is_there(table: Table, name: str) -> None:
    (found,) = [strip(type) for type in table.find(name)]
    assert isinstance(found, Record) and found.size and found.members


def test_what_a_user_reads_of_it(table: Table) -> None:
    (task,) = table.find("task_struct")
    assert isinstance(task, Record)
    members = {flat.path: flat for flat in flatten(task)}
    assert spell(members["comm"].type, "comm") == "char comm[16]"
    real_parent = strip(members["real_parent"].type)
    assert isinstance(real_parent, Pointer) and real_parent.target is task
    assert members["sched_reset_on_fork"].bits == 1
    constant = table.constant("TASK_COMM_LEN")
    assert constant is not None and constant[1] == 16
    memcpy = table.declaration("memcpy")  # of assembler: BTF has it not
    assert memcpy is not None
    assert spell(memcpy.type, "memcpy") == "void *memcpy(void *, const void *, size_t)"
    assert table.declaration("vfs_read") is None  # BTF has it
    null_fops = table.declaration("jiffies_64")
    assert null_fops is not None and spell(strip(null_fops.type)) == "long long unsigned int"
    offset = table.declaration("this_cpu_off")
    assert offset is not None and offset.percpu


def test_it_says_what_it_was_built_from(table: Table, kernel: dict[str, str]) -> None:
    assert table.identity.release == kernel["release"]
    assert table.identity.compiler.startswith("gcc-12 ")
    assert table.identity.digest != bytes(32)
    assert table.size < 1_500_000


def test_the_vmlinux_is_of_the_build(kernel: dict[str, str]) -> None:
    require_build_id(kernel["vmlinux"], kernel["build_id"])


def test_the_command(
    path: Path, kernel: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    check = ["check", "--table", str(path), "--vmlinux", kernel["vmlinux"]]
    assert main([*check, "task_struct", "file", "net_device"]) == 0
    assert "0 differs" in capsys.readouterr().out
    assert main([*check, "task_strukt"]) == 2
    message = capsys.readouterr().err
    assert "unknown type 'task_strukt'; did you mean task_struct" in message
    assert message.count("\n") == 1


def test_the_table_in_the_module(path: Path, kernel: dict[str, str]) -> None:
    from struct_layout.sources import load_table

    module = Path(kernel["folder"]) / "kpy.ko"
    if not module.exists():
        pytest.skip("no kpy.ko was built: run make")
    inside = load_table(module)
    assert inside.identity == Table(path.read_bytes()).identity
    assert inside.find("task_struct")


CONFIGURED = "-DCONFIG_DEBUG_MUTEXES=1 -DCONFIG_DEBUG_RWSEMS=1 -DCONFIG_LATENCYTOP=1"


def test_a_table_of_another_configuration(kernel: dict[str, str], tmp_path: Path) -> None:
    """The kernel's headers with other options: what differs is what pahole says differs.

    GCC compiles them with -g for pahole, and with the plugin for the table.
    """
    records = tmp_path / "records"
    (tmp_path / "core.c").write_text((kit.ROOT / "struct_layout/headers/core.c").read_text())
    (tmp_path / "Kbuild").write_text(
        f"obj-m := core.o\nCFLAGS_core.o := {CONFIGURED} -g -gdwarf-5 "
        "-fno-eliminate-unused-debug-types "
        f"-fplugin={kit.plugin()} -fplugin-arg-kpy_layout-output={records}\n"
    )
    kit.run("make", "-s", "-C", kernel["kdir"], f"M={tmp_path}", f"CC={kit.GCC}", "core.o")
    other = kit.table_from(records)
    result = compare(other, open_dwarf(kernel["vmlinux"]))
    found = {
        each.name
        for each in result.types
        if any(
            d.what in ("offset", "size", "bit position", "bit width", "presence", "array length")
            for d in each.differences
        )
        and each.name.startswith(("struct", "union"))
    }
    theirs = kit.pahole(tmp_path / "core.o")
    kernels = kit.pahole(Path(kernel["vmlinux"]), "-F", "btf")
    both = set(theirs) & set(kernels)
    wrong = {name for name in both if theirs[name] != kernels[name]}
    assert len(both) > 1500 and len(wrong) > 50
    assert {name for name in found if name in both} == wrong
    why = explain(result.types)
    causes = {name for name in why if why[name].causes}
    assert causes == {"struct mutex", "struct rw_semaphore", "struct task_struct"}
    text = result.render_text()
    assert text.splitlines()[1] in ("struct mutex: differs", "struct rw_semaphore: differs")
    assert len(text.splitlines()) < 40


def test_the_dwarf_and_the_btf_of_a_kernel_say_the_same(
    kernel: dict[str, str], dwarf: DwarfSource
) -> None:
    """pahole made the BTF of that DWARF: its writer and our readers agree on every type."""
    btf = open_btf(kernel["vmlinux"])
    result = compare(dwarf, btf, labels=("dwarf", "btf"), both_ways=True)
    assert result.ok, result.render_text()
    assert result.counts()["equal"] > 10000 and result.member_counts()["equal"] > 59000
    assert result.counts()["only in dwarf"] == 0 and result.counts()["only in btf"] < 20


def test_as_many_types_as_pahole_counts(kernel: dict[str, str]) -> None:
    btf = open_btf(kernel["vmlinux"])
    ours = {
        (type.kind, name)
        for name in btf.type_names()
        for type in btf.find(name)
        if isinstance(type, Record) and not type.incomplete
    }
    sizes = kit.run("pahole", "-F", "btf", "--sizes", kernel["vmlinux"]).splitlines()
    assert {name for _, name in ours} == {line.split("\t")[0] for line in sizes if line}


FIELDS = """python
import gdb, json
def members(kind, base):
    for field in kind.fields():
        inner = field.type.strip_typedefs()
        if field.name:
            yield [field.name, base + field.bitpos, field.bitsize, field.type.sizeof]
        elif inner.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            yield from members(inner, base + field.bitpos)
found = {}
for name in json.load(open(NAMES)):
    kind = gdb.lookup_type(name)
    found[name] = [kind.sizeof, list(members(kind, 0))]
json.dump(found, open(FOUND, "w"))
end
"""


def test_a_hundred_random_types_are_what_gdb_says(
    table: Table, dwarf: DwarfSource, kernel: dict[str, str], tmp_path: Path
) -> None:
    """What `ptype /o` prints, of GDB's own reader of DWARF: our table and our reader, by member."""
    chance = random.Random(100)
    names = [
        f"{type.kind} {type.name}"
        for type in table.records()
        if type.name and not type.local and not type.incomplete and type.members
        and len(dwarf.find(type.name)) == 1 and isinstance(dwarf.find(type.name)[0], Record)
    ]  # fmt: skip
    chosen = sorted(chance.sample(names, 100))
    (tmp_path / "names.json").write_text(json.dumps(chosen))
    script = tmp_path / "fields.gdb"
    script.write_text(
        FIELDS.replace("NAMES", repr(str(tmp_path / "names.json"))).replace(
            "FOUND", repr(str(tmp_path / "found.json"))
        )
    )
    cache = Path.home() / ".cache/kpy/gdb-index"
    kit.run("gdb", "-nx", "-q", "-batch", "-iex", f"set index-cache directory {cache}",
            "-iex", "set index-cache enabled on", kernel["vmlinux"], "-x", script)  # fmt: skip
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found) == 100
    compared = 0
    for title, (size, theirs) in found.items():
        name = title.split()[1]
        for source in (table, dwarf):
            ours = next(t for t in source.find(name) if isinstance(t, Record))
            assert ours.size == size, title
            flat = {f.path: f for f in flatten(ours) if "." not in f.path}
            assert set(flat) == {member[0] for member in theirs}, title
            for member, offset, bits, width in theirs:
                mine = flat[member]
                assert (mine.offset, mine.bits or 0) == (offset, bits), f"{title}.{member}"
                if not bits:
                    assert (size_of(mine.type) or 0) == width, f"{title}.{member}"
                compared += 1
    assert compared > 1000
