# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy print` in the shared guest: what it says is what the REPL's repr() says."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from conftest import run_gdb
from print_values import SETUP, expressions

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest

UNLIMITED = ("set kpy max-items 0", "set kpy max-depth 0")


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("[Inferior ")]


def answers(stdout: str) -> list[list[str]]:
    """The lines of each command's output, by the marks echoed before them."""
    return [lines(part) for part in stdout.split("@@@\n")[1:]]


def marked(expressions: list[str], options: str = "") -> list[str]:
    """Commands that print each expression behind a mark, and go on after an error."""
    found = []
    for expression in expressions:
        found.append("echo @@@\\n")
        found.append(f"python import gdb; say({f'kpy print{options} {expression}'!r})")
    return found


SAY = """python
import gdb
def say(command):
    try:
        gdb.execute(command)
    except gdb.error as error:
        print("error:", error)
end
"""


@pytest.fixture
def printer(gdb: GdbRunner, tmp_path_factory: pytest.TempPathFactory) -> GdbRunner:
    """A GDB that has ``say``, which goes on after errors."""
    script = tmp_path_factory.mktemp("say") / "say.gdb"
    script.write_text(SAY)

    def run(*commands: str, timeout: float = 60) -> object:
        return gdb(f"source {script}", *commands, timeout=timeout)

    return run  # type: ignore[return-value]


@pytest.fixture(scope="module")
def values(guest: LiveGuest) -> list[str]:
    """Make the values in the guest; return what its repr() says of each."""
    code = SETUP + "V = []\n"
    code += "".join(f"V.append({expression})\n" for expression in expressions())
    out, err = guest.py(code + "gc.collect()\nfor v in V:\n    print(repr(v))\n")
    assert not err, err
    found = out.splitlines()
    assert len(found) == len(expressions()) >= 250
    return found


def test_every_kind_of_value_prints_as_in_the_repl(
    values: list[str], printer: GdbRunner, guest: LiveGuest
) -> None:
    done = printer(*UNLIMITED, *marked([f"V[{i}]" for i in range(len(values))]))
    printed = [answer[0] for answer in answers(done.stdout)]
    wrong = [
        (expression, want, got)
        for expression, want, got in zip(expressions(), values, printed, strict=True)
        if want != got
    ]
    assert not wrong, wrong[:5]


#: Evaluated here and in the guest.
EXPRESSIONS = """
V[3] + 1 | -V[0] - 7 // 2 | 7 % -3 | -7 % 3 | ~5 | 2 ** 70 >> 3 | 5 & 3 | 5 | 3 ^ 9 | 1 << 65
0x10 | not V | V and 1 | 0 or "x" | 1 if [] else 2 | 1 if V else 2 | 1 < 2 < 3 | 1 < 3 < 2
"a" < "b" | (1, 2) < (1, 3) | [1] == [1] | {"a": 1} == {"a": 1} | 1 == True | "1" == 1
b"a" == "a" | text[0] | text[-1] | text[2:5] | text[:3] + "z" | "ab" * 3 | [1, 2] + [3]
(1,) * 3 | "on" in text | "zz" in text | "one" in view_of | 2 in [1, 2] | 3 not in [1, 2]
view_of["two"] | len(V) | len(text) | len(view_of) | len(made) | len(range(5)) | len("€uro")
int("0x1f", 16) | int(True) | str(5) | str("s") | repr("s") | str(None) | str([1, "a"])
hex(255) | hex(-1) | bin(5) | oct(8) | abs(-3) | ord("a") | chr(8364) | type(1) | type("")
type(V) | type(V) == list | type(None) | type(init) | type(1 << 80) | sum([1, 2, 3])
min([3, 1]) | max([3, 1]) | list((1, 2)) | tuple([1, 2]) | bytes([1, 2, 3]) | Derived.own
Derived.shared | Derived.other | Derived.__name__ | Derived.__bases__ | Base.method
sys.version_info[0] | sys.implementation.name | sys.implementation[1] | errno.ENOENT
collections.deque | Point.__name__ | plain.__name__ | generator.__name__ | made[0] | made[-1]
view_of | init.pid | init.comm[1] | str(init.comm) | init.comm == "swapper/0" | init.comm[0:4]
lo.mtu + 1 | str(lo.name) | lo.rtnl_link_state | lo.rtnl_link_state.name
lo.rtnl_link_state + 1 | init.tasks.next == init.tasks.prev | int(init) == int(init_task)
init_task + 8 | 8 + init_task | init_task - init_task | int(printk) | printk.name
printk.exported | printk.module | printk.address == int(printk) | sizeof("task_struct")
sizeof(task_struct) | sizeof("task_struct", "comm") | sizeof(init.comm)
offsetof("net_device", "stats.rx_bytes") | offsetof(task_struct, "comm[3]")
container_of(int(init) + 16, "task_struct", "pid") == 0 | task_struct.name | task_struct.size
task_struct.kind | list_head.fields | init.cpus_mask.bits[0]
p32(int(init) + offsetof("task_struct", "pid")) | p8(init) | watch.hits | watch.enabled
gone.enabled | watch.total_ns | watch.missed_by | watch.recursions | watch.kind | watch.target
watch.handler | watch.missed | watch.last_error | symbol("ksize") | linux_banner
ValueError("x", 2).args if 0 else 1 | V[5] in V | [V[0], "b"] | {"k": V[1]} | {7} | (V[2],)
(1, 2)[1] | [1, 2, 3][-2:] | "abc"[1:] | {"a": {"b": 2}}["a"]["b"] | list_head | net_device
init.mm | task_struct(0) | net_device(int(lo)).ifindex | init.real_parent.pid
init.se.load.weight | (5) | not 0 and "yes" | jiffies_64.value > 10**9 | lo.proto_down
lo.threaded | lo.wol_enabled | init.in_execve | init.sched_remote_wakeup | init.personality
init.policy | init.on_rq | init.prio | lo.operstate
"""


def test_expressions_give_what_the_repl_gives(
    values: list[str], printer: GdbRunner, guest: LiveGuest
) -> None:
    wanted = [e.strip() for line in EXPRESSIONS.splitlines() for e in line.split(" | ")]
    wanted = [e for e in wanted if e]
    code = "".join(f"print(repr({expression}))\n" for expression in wanted)
    out, err = guest.py(code)
    assert not err, err
    said = out.splitlines()
    assert len(said) == len(wanted) > 150
    done = printer(*UNLIMITED, *marked(wanted))
    wrong = [
        (expression, want, got)
        for expression, want, got in zip(wanted, said, answers(done.stdout), strict=True)
        if want != got[0]
    ]
    assert not wrong, wrong[:5]


MISTAKES = [
    ("", "nothing to print: `kpy print EXPRESSION`, as in `kpy print 6*7`"),
    ("/y 1", "unknown format /y (known: /x, /d)"),
    ("1 +", "SyntaxError: invalid syntax"),
    ("x = 1", "SyntaxError: invalid syntax, near '= 1'"),
    ("nothing_like_that", "NameError: name 'nothing_like_that' isn't defined"),
    ("sys.nothing", "AttributeError: 'module' object has no attribute 'nothing'"),
    ("(1).real_", "AttributeError: 'int' object has no attribute 'real_'"),
    ("init.nothing", "AttributeError: struct task_struct has no member 'nothing'"),
    ("task_struct(0).pid", "ValueError: NULL deref! task_struct.pid"),
    ("task_struct(8).pid", "OSError: (14, 'bad address 0x"),
    ("p64(8)", "OSError: (14, 'bad address 0x8')"),
    ("init.comm[16]", "IndexError: index 16 of an array of 16"),
    ("init.comm[-1]", "IndexError: negative index -1"),
    ("[1][5]", "IndexError: list index out of range"),
    ("V[10**6]", "IndexError: list index out of range"),
    ("view_of['three']", "KeyError: 'three'"),
    ("1 // 0", "ZeroDivisionError: divide by zero"),
    ("1 / 2", "TypeError: the kernel's Python has no floats: use //"),
    ("1.5", "SyntaxError: the kernel's Python has no floats"),
    ("2 ** 10 ** 9", "MemoryError: the result is too long"),
    ("'a' * 10**9", "MemoryError: the result is too long"),
    ("1 << 10**9", "MemoryError: the result is too long"),
    ("'a' + 1", "TypeError: unsupported types for +: 'str', 'int'"),
    ("len(5)", "TypeError: object of type 'int' has no len()"),
    ("len()", "TypeError: len() takes 1 arguments, not 0"),
    (
        "[i for i in V]",
        "SyntaxError: a comprehension is not evaluated by reading memory: `kpy eval`",
    ),
    ("plain(1)", "TypeError: <function plain at 0x"),
    (
        "Derived(1).n",
        "TypeError: <class 'Derived'> is not called by reading memory: `kpy eval` runs",
    ),
    ("base.prop", "AttributeError: 'prop' is a property, not run here: `kpy eval` does"),
    ("sizeof('no_such_struct')", "KeyError: no struct 'no_such_struct' in the layout table"),
    ("sizeof('task_struct', 'x')", "AttributeError: struct task_struct has no member 'x'"),
    ("symbol('no_such')", "NameError: kernel symbol 'no_such' not found"),
    ("(" * 300 + ")" * 300, "SyntaxError: "),
    ("-" * 3000 + "1", "SyntaxError: "),
    ("\\0", "SyntaxError: "),
    ("-raw 5", "TypeError: -raw needs an object that the expression leads to"),
    ("-members 5", "-members needs a struct: `kpy print -members NAME(ADDRESS)`"),
]


def test_mistakes_are_one_line_each(values: list[str], printer: GdbRunner) -> None:
    done = printer(*marked([expression for expression, _said in MISTAKES]))
    assert "Traceback" not in done.stdout + done.stderr
    for (expression, said), answer in zip(MISTAKES, answers(done.stdout), strict=True):
        assert len(answer) == 1, (expression, answer)
        assert answer[0].startswith(f"error: {said}"), (expression[:40], answer)


def test_huge_deep_and_cyclic_objects_are_cut(guest: LiveGuest, printer: GdbRunner) -> None:
    code = """
huge = list(range(10000))
long_text = "x" * 5000
cyclic = [1]
cyclic.append(cyclic)
loop = {"me": None}
loop["me"] = (loop,)
nested = []
for i in range(500):
    nested = [nested]
wide = [["ab"] * 300] * 300
"""
    assert guest.py(code) == ("", "")
    names = ["huge", "long_text", "cyclic", "loop", "nested", "wide", "huge[9998:]", "len(huge)"]
    done = printer("set kpy max-items 3", "set kpy max-depth 2", *marked(names))
    huge, text, cyclic, loop, nested, wide, tail, length = (a[0] for a in answers(done.stdout))
    assert huge == "[0, 1, 2, ... 9997 more]"
    assert text == "'xxx'... 4997 more"
    assert cyclic == "[1, [...]]"
    assert loop == "{'me': ({...},)}"
    assert nested == "[[[[...]]]]"
    assert wide == "[" + "['ab', 'ab', 'ab', ... 297 more], " * 3 + "... 297 more]"
    assert tail == "[9998, 9999]"
    assert length == "10000"
    done = printer(*marked(["huge", "wide", "nested"]))
    huge, wide, nested = (a[0] for a in answers(done.stdout))
    assert huge.endswith(" 199, ... 9800 more]")
    assert len(wide) < 60_000
    assert nested == "[" * 11 + "[...]" + "]" * 11


COUNT = """python
import gdb, time
from gdb_kpy.target import session as sessions
def counted(command):
    memory = sessions.current().memory
    memory.drop()
    gdb.execute("kpy print marker")
    before = memory.reads
    gdb.execute(command)
    print("reads:", memory.reads - before)
end
"""


def test_large_lists_are_read_in_bulk(guest: LiveGuest, printer: GdbRunner, tmp_path: Path) -> None:
    code = """
marker = 5
huge = list(range(10000))
texts = ["text %d" % i for i in range(10000)]
"""
    assert guest.py(code) == ("", "")
    script = tmp_path / "count.gdb"
    script.write_text(COUNT)
    commands = [f"python counted('kpy print {name}')" for name in ("huge", "texts", "huge")]
    done = printer(f"source {script}", *commands)
    reads = [int(line.split()[1]) for line in lines(done.stdout) if line.startswith("reads:")]
    assert len(reads) == 3, done.stdout + done.stderr
    ints, strings, again = reads
    assert max(ints, again) <= 5, reads
    # Where its strings lie in the heap depends on what was there before; 400 one by one.
    assert strings <= 12, reads


def test_formats_raw_objects_and_what_repr_does_not_tell(
    values: list[str], printer: GdbRunner, guest: LiveGuest
) -> None:
    code = """
thing = Derived(255)
thing.items = [16, (255,)]
small_list = [16]
"""
    assert guest.py(code) == ("", "")
    plain = printer(*marked(["thing", "made", "init.comm", "memoryview_of_it"]))
    thing, made, comm, missing = answers(plain.stdout)
    assert re.fullmatch(r"<Derived object at ffa[0-9a-f]+>", thing[0])
    assert sorted(thing[1:]) == ["  .items = [16, (255,)]", "  .n = 255", "  .text = 'some'"]
    assert made == ["<deque>", "  [2, 3, 4, 5, 6]"]
    assert comm[1] == "  'swapper/0'"
    assert missing == ["error: NameError: name 'memoryview_of_it' isn't defined"]
    hexadecimal = printer(*marked(["thing.items", "255", "init_task", "lo.reg_state"], "/x"))
    items, number, symbol, state = (a[0] for a in answers(hexadecimal.stdout))
    assert (items, number, state) == ("[0x10, (0xff,)]", "0xff", "0x1")
    address = int(guest.py("print(int(init_task))")[0])
    assert symbol == hex(address)
    decimal = printer(*marked(["init_task", "thing.n"], " /d"))
    assert [a[0] for a in answers(decimal.stdout)] == [str(address), "255"]
    raw = printer(*marked(["small_list", "thing"], " -raw"))
    listed, instance = answers(raw.stdout)
    place = int(guest.py("print(id(small_list))")[0])
    assert listed[0].startswith(f"word {place:#x}: list object, type at 0xffffffffc")
    assert [line.split()[1:3] for line in listed[1:]][1] == ["len", "="]
    assert listed[2].endswith("len = 0x1")
    assert "Derived object" in instance[0]
    members = printer(*marked(["task_struct(init_task)"], " -members"))
    (members_of,) = answers(members.stdout)
    assert "  .pid = 0" in members_of
    assert "  .comm = 'swapper/0'" in members_of
    assert "  .thread_info = {...}" in members_of
    assert len(members_of) > 150


def test_the_convenience_function(values: list[str], gdb: GdbRunner) -> None:
    done = gdb(
        'print $kpy_print("len(view_of) + 1")',
        'print $kpy_print("text")',
        'print $kpy_print("view_of")',
        'print/x $kpy_print("1 << 63")',
        'print $kpy_print("-5")',
        'print $kpy_print("1 << 70")',
        "print $kpy_print(\"view_of['two']\") == 2",
        'print $kpy_print("init")->pid == 0',
        'print *(unsigned long *) $kpy_print("jiffies_64") > 1000',
    )
    assert done.returncode == 0, done.stderr
    printed = [line.split(" = ", 1)[1] for line in lines(done.stdout) if line.startswith("$")]
    assert printed[0] == "3"
    assert printed[1].startswith('"non-interned text')
    assert sorted(printed[2][2:-2].split(", ")) == ["'one': 1", "'two': 2"]
    assert printed[3:] == ["0x8000000000000000", "-5", '"1180591620717411303424"', "1", "1", "1"]
    bad = gdb('print $kpy_print("nothing_like_that")')
    assert bad.returncode == 1
    assert lines(bad.stderr)[-1] == "NameError: name 'nothing_like_that' isn't defined"


@contextlib.contextmanager
def running(guest: LiveGuest, code: str) -> Iterator[None]:
    """Run Python in the guest meanwhile; it ends when ``over`` becomes true."""
    done: list[tuple[str, str]] = []
    assert guest.py("import gc\nover = False\nturn = 0\nmarker = [1, 'two']") == ("", "")
    busy = threading.Thread(target=lambda: done.append(guest.py(code, timeout=200)))
    busy.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        if "paused" in guest.monitor("info status"):  # by a GDB that did not end well
            guest.monitor("cont")
        guest.py("over = True")
        busy.join(60)
    assert done == [("", "")]


def test_results_of_kpy_eval(guest: LiveGuest, printer: GdbRunner) -> None:
    done = printer(
        "kpy forget",
        *marked(["$kpy"]),
        "kpy eval [7, 'kept']",
        "kpy eval 2**70",
        *marked(["$kpy", "$kpy1[1]", "$kpy2 + 1", "$kpy9", "'$kpy1'"]),
        "kpy forget",
        *marked(["$kpy1"]),
    )
    assert [answer[0] for answer in answers(done.stdout)] == [
        "error: NameError: there is no result yet",
        str(2**70),
        "'kept'",
        str(2**70 + 1),
        "error: NameError: there is no result $kpy9",
        "'$kpy1'",
        "error: NameError: there is no result $kpy1",
    ]


def test_a_condition_of_a_breakpoint_sees_each_value(guest: LiveGuest, gdb: GdbRunner) -> None:
    """Each evaluation reads anew, though GDB tells nobody that the guest ran between them."""
    with running(guest, "while not over:\n    turn += 1\n    gc.collect()\n"):
        done = gdb(
            'print $first = $kpy_print("turn")',
            'break gc_collect if $kpy_print("turn") >= $first + 5',
            "continue",
            'print $kpy_print("turn") - $first',
            "delete",
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout)[-1].split(" = ")[1] == "5"


@pytest.mark.parametrize("place", ["gc_collect", "gc_collect_root", "gc_alloc", "mp_store_name"])
def test_inside_the_interpreter_and_the_collector(
    guest: LiveGuest, gdb: GdbRunner, place: str
) -> None:
    with running(guest, "while not over:\n    turn += 1\n    [turn]\n    gc.collect()\n"):
        done = gdb(
            f"break {place}",
            "continue",
            "kpy print marker",
            "kpy print turn > 0",
            "kpy print task_struct(init_task).comm",
            "info registers rip",
            "delete",
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    assert f"in {place}" in done.stdout or f"{place} (" in done.stdout
    assert "[1, 'two']\nTrue\nArrayPtr(0x" in done.stdout
    assert guest.trouble() == []


def test_an_object_that_was_overwritten(guest: LiveGuest, printer: GdbRunner) -> None:
    """What a stray write leaves is shown as such, and all else as ever."""
    assert guest.py("victim = [1, 2]\nholder = [victim, 'whole']") == ("", "")
    place = int(guest.py("print(id(victim))")[0])
    words = "(unsigned long *)"
    commands = [
        f"set $kept = *{words}{place + 16}",
        f"set *{words}{place + 16} = 0x4141414141414141",
        *marked(["holder", "len(holder)", "victim[0]"]),
        f"set *{words}{place + 16} = $kept",
        f"set $kept = *{words}{place}",
        f"set *{words}{place} = 0x10",
        *marked(["holder", "victim", "victim.x"]),
        f"set *{words}{place} = $kept",
        *marked(["holder"]),
    ]
    done = printer(*commands)
    found = answers(done.stdout)
    assert found[0] == [f"[<corrupt list at {place:#x}: {0x4141414141414141}>, 'whole']"]
    assert found[1] == ["2"]
    assert found[2][0].startswith("error: ") and len(found[2]) == 1
    assert found[3] == [f"[<corrupt object at {place:#x}: 0x10>, 'whole']"]
    assert found[4][0].startswith("error: object at ") and f"{place:#x}" in found[4][0]
    assert found[5][0].startswith("error: object at ")
    assert found[6] == ["[[1, 2], 'whole']"]
    assert "Traceback" not in done.stdout + done.stderr


def test_completion(values: list[str], gdb: GdbRunner) -> None:
    done = gdb(
        "complete kpy print view_o",
        "complete kpy print base.te",
        "complete kpy print len(init.com",
        "complete kpy print lo.dev.kobj.na",
        "complete kpy print sys.impl",
        "complete kpy print Derived.sh",
        "complete kpy print watch.hi",
        "complete kpy print -ra",
        "complete kpy print/x init.pi",
        "complete kpy print nothing.x",
        "complete kpy eval view_o",
        "complete kpy eval -run len(base.te",
        "complete kpy eval -un",
    )
    assert done.returncode == 0, done.stderr
    said = lines(done.stdout)
    for wanted in (
        "kpy print view_of",
        "kpy print base.text",
        "kpy print len(init.comm",
        "kpy print lo.dev.kobj.name",
        "kpy print sys.implementation",
        "kpy print Derived.shared",
        "kpy print watch.hits",
        "kpy print -raw",
        "kpy print/x init.pid",
        "kpy eval view_of",
        "kpy eval -run len(base.text",
        "kpy eval -unsafe",
    ):
        assert wanted in said, said
    assert not any("nothing" in line for line in said)


def test_help_and_settings(gdb: GdbRunner) -> None:
    done = gdb("help kpy print", "show kpy max-items", "set kpy max-items 5", "show kpy")
    assert done.returncode == 0
    assert "Usage: kpy print [/x | /d] [-raw] [-members] EXPRESSION" in done.stdout
    assert "Example:" in done.stdout
    assert "kpy max-items is 200." in done.stdout
    assert {"kpy max-items is 5.", "kpy max-depth is 10."} <= set(lines(done.stdout))


def test_without_a_guest_or_module() -> None:
    done = run_gdb("kpy print 1")
    assert done.returncode == 1
    assert lines(done.stderr)[-1].startswith("GDB is not attached to a guest: `kpy attach`")
    done = run_gdb("complete kpy print x")
    assert "Traceback" not in done.stderr
