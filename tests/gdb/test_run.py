# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy exec`, kept results, and `kpy eval -run`, in the shared guest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import ATTEMPT, attempt, run_gdb

if TYPE_CHECKING:
    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest

LATER = (
    "python exec('import os, signal, threading, time\\n"
    "def later(s): threading.Thread(target=lambda: "
    "(time.sleep(s), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()')"
)


def answers(stdout: str) -> list[str]:
    """Return what came after the banner of `kpy attach`."""
    lines = [line for line in stdout.splitlines() if line]
    start = next(i for i, line in enumerate(lines) if line.startswith("Layouts:")) + 1
    return [line for line in lines[start:] if "detached]" not in line]


def test_results_are_kept_in_gdb_and_in_python(gdb: GdbRunner) -> None:
    done = gdb(
        "kpy forget",
        "kpy eval [5, 255]",
        "kpy eval 1 << 63",
        "kpy eval 'text \\'$kpy1\\''",
        "kpy eval $kpy1[1] + $kpy2 - len($kpy3) + len('$kpy1')",
        "print $kpy2 - 1",
        "print $kpy3",
        "kpy eval task_struct(init_task)",
        "print $kpy->comm",
        "print $kpy == &init_task",
        "kpy eval /x [-255, 'x10', {16: (17,)}]",
        "kpy eval /d 0x10",
        "kpy eval None",
        "print $kpy == 16",
    )
    assert done.returncode == 0, done.stderr
    found = answers(done.stdout)
    assert found[:6] == [
        "[5, 255]",
        str(1 << 63),
        "\"text '$kpy1'\"",
        str(255 + (1 << 63) - 12 + 5),
        f"$1 = {(1 << 63) - 1}",
        "$2 = \"text '$kpy1'\"",
    ]
    assert found[6].startswith("StructPtr(0x")
    assert found[7:] == [
        '$3 = "swapper/0\\000\\000\\000\\000\\000\\000"',
        "$4 = 1",
        "[-0xff, 'x10', {0x10: (0x11,)}]",
        "16",
        "None",
        "$5 = 1",
    ]


def test_kept_results_survive_collections_until_forgotten(guest: LiveGuest, gdb: GdbRunner) -> None:
    done = gdb(
        "kpy forget", "kpy eval bytearray(b'x' * 300000)", "kpy exec import gc; gc.collect()"
    )
    assert done.returncode == 0, done.stderr
    used = "import gc\ngc.collect()\nprint(gc.mem_alloc())"
    before = int(guest.py(used)[0])
    assert guest.py("print(len(__kpy__(1)), __kpy__(1)[-1])") == ("300000 120\n", "")
    done = gdb(ATTEMPT, "kpy forget 1", attempt("kpy eval $kpy1"), attempt("kpy eval $kpy"))
    assert "ERROR NameError: there is no result $kpy1" in done.stdout
    assert before - int(guest.py(used)[0]) > 290000


def test_eval_function(gdb: GdbRunner) -> None:
    done = gdb(
        'print $kpy_eval("6 * 7") + 1',
        "print $kpy_eval(\"'text'\")",
        'print $kpy_eval("[1, 2]")',
        'print $kpy_eval("task_struct(init_task)")->pid',
        ATTEMPT,
        attempt('print $kpy_eval("1 +")'),
        attempt('print $kpy_eval("missing_name_")'),
    )
    assert done.returncode == 0, done.stderr
    found = answers(done.stdout)
    assert found[:4] == ["$1 = 43", '$2 = "text"', '$3 = "[1, 2]"', "$4 = 0"]
    assert found[4].startswith("ERROR") and "SyntaxError: invalid syntax" in found[4]
    assert "NameError: name 'missing_name_' isn't defined" in found[5]


def test_eval_function_in_the_condition_of_a_breakpoint(guest: LiveGuest, gdb: GdbRunner) -> None:
    guest.py("asked = []\ndef third():\n    asked.append(1)\n    return len(asked) == 3\n")
    guest.sh(
        "(for i in $(seq 200); do cat /proc/uptime > /dev/null; sleep 0.1; done) > /dev/null &"
    )
    done = gdb(
        'break do_filp_open if $kpy_eval("third()")',
        "continue",
        "kpy eval len(asked)",
        "info breakpoints",
        "delete",
    )
    assert done.returncode == 0, done.stderr
    assert "\n3\n" in done.stdout
    assert "breakpoint already hit 1 time" in done.stdout
    assert guest.py("print(len(asked))") == ("3\n", "")


def test_mi_command(gdb: GdbRunner) -> None:
    done = gdb(
        "kpy forget",
        "interpreter-exec mi \"-kpy-eval \\\"print('out') or {1: 'a'}\\\"\"",
        ATTEMPT,
        attempt('interpreter-exec mi "-kpy-eval 1/0j"'),
        attempt('interpreter-exec mi "-kpy-eval"'),
    )
    assert '^done,value="{1: \'a\'}",output="out\\n",kept="1"' in done.stdout
    assert '^error,msg="-kpy-eval EXPRESSION, in quotes"' in done.stdout


def test_exec_of_lines_and_of_a_file(guest: LiveGuest, tmp_path: Path) -> None:
    code = "def made_by_gdb(n):\n    if n:\n        return n * 2\n\n    return '  kept'\n"
    (tmp_path / "file.py").write_text(code + "print(made_by_gdb(0) + '!')\n")
    script = tmp_path / "script.gdb"
    script.write_text(
        f"kpy attach {guest.info['gdb_socket']}\n"
        f"kpy exec\n{code}print(made_by_gdb(21))\nend\n"
        f"kpy exec -file {tmp_path / 'file.py'}\n"
        "kpy exec a = 1; print(a, made_by_gdb(a))\n"
    )
    done = run_gdb(f"source {script}")
    assert done.returncode == 0, done.stderr
    assert answers(done.stdout) == ["42", "  kept!", "1 2"]
    assert guest.py("print(made_by_gdb(4))") == ("8\n", "")
    missing = run_gdb(f"kpy attach {guest.info['gdb_socket']}", "kpy exec -file /nowhere/x.py")
    assert missing.returncode == 1
    assert missing.stderr.strip().startswith("cannot read /nowhere/x.py: ")


def test_kernel_calls_run_with_the_guest(guest: LiveGuest, gdb: GdbRunner) -> None:
    done = gdb(
        ATTEMPT,
        attempt("kpy eval msleep(1)"),
        'kpy eval -run printk("from the debugger\\n")',
        "kpy eval -run msleep(20) or jiffies_64",
        "kpy exec -run import kernel_ffi; f = filp_open('/etc/passwd', 0, 0); filp_close(f, 0)",
        "kpy eval -run is_err(f), print('output')",
        attempt("kpy eval -run strlen(8)"),
        'kpy eval -unsafe simple_strtol("77", 0, 10)',
    )
    assert done.returncode == 0, done.stderr
    found = answers(done.stdout)
    assert found[0] == (
        "ERROR RuntimeError: call of msleep refused: the guest is frozen; `kpy eval -run` lets it "
        "run meanwhile, -unsafe calls all the same"
    )
    assert found[1] == str(len("from the debugger"))
    assert found[2].startswith("Symbol('jiffies_64', ")
    assert found[3:5] == ["output", "(False, None)"]
    assert found[5].startswith("ERROR") and found[-1] == "77"
    assert (
        "KernelFault: NULL dereference, read of address 0x8 in strlen" in done.stdout + done.stderr
    )
    assert "from the debugger" in guest.sh("dmesg | tail -n 20")[1]


def test_time_and_ctrl_c_end_it(guest: LiveGuest, gdb: GdbRunner) -> None:
    done = gdb(
        ATTEMPT,
        LATER,
        "set kpy eval-timeout 300",
        attempt("kpy eval -run msleep_interruptible(100000)"),
        attempt("kpy eval -run sum(1 for x in range(10**10))"),
        "set kpy eval-timeout 100000",
        "python later(1)",
        attempt("kpy eval -run msleep_interruptible(100000)"),
        "python later(1)",
        attempt("kpy eval -run sum(1 for x in range(10**10))"),
        "kpy eval -run 1 + 1",
        timeout=120,
    )
    ends = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert [end.split()[1] for end in ends] == ["TimeoutError:"] * 2 + ["KeyboardInterrupt:"] * 2
    assert done.stdout.splitlines()[-2].strip() == "2" or "\n2\n" in done.stdout
    assert guest.py("print('alive')") == ("alive\n", "")


def test_a_breakpoint_on_the_way(guest: LiveGuest, gdb: GdbRunner) -> None:
    """The stop is shown, the evaluation goes on when the guest does."""
    done = gdb(
        ATTEMPT,
        "break dev_get_by_name",
        attempt("kpy eval -run str(dev_get_by_name(init_net, 'lo').name)"),
        "backtrace 1",
        "info breakpoints",
        attempt("kpy eval -run 1"),
        "delete",
        "kpy eval -run",
        attempt("kpy eval -run"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert re.search(r"Breakpoint 1, (0x\w+ in )?dev_get_by_name", out)
    assert "ERROR the guest stopped before the answer was there" in out
    assert "#0  dev_get_by_name" in out
    assert "breakpoint already hit 1 time" in out
    assert "ERROR an earlier `kpy eval -run` is not done" in out
    assert answers(out)[-2] == "'lo'"
    assert "ERROR no evaluation is under way" in out


def test_an_answer_waits_for_who_asks(guest: LiveGuest, gdb: GdbRunner) -> None:
    """Of an evaluation that was cut short, and whose debugger went; once."""
    first = gdb(
        ATTEMPT,
        "break dev_get_by_name",
        attempt("kpy eval -run str(dev_get_by_name(init_net, 'lo').name)"),
        "delete",
        timeout=120,
    )
    assert "ERROR the guest stopped before the answer was there" in first.stdout
    assert guest.sh("sleep 0.5")[0] == 0
    second = gdb(
        ATTEMPT,
        "kpy status",
        "kpy eval -run",
        attempt("kpy eval -run"),
        "kpy eval -run 1 + 1",
        attempt("kpy eval -run"),
    )
    assert second.returncode == 0, second.stderr
    assert "`kpy eval -run` alone shows the answer that nobody took" in second.stdout
    found = answers(second.stdout)
    at = found.index("'lo'")
    assert found[at + 1].startswith("ERROR no evaluation is under way")
    assert found[at + 2] == "2"
    assert found[at + 3].startswith("ERROR no evaluation is under way")


def test_conditions_keep_nothing(gdb: GdbRunner) -> None:
    done = gdb(
        "kpy forget",
        'print $kpy_eval("[1, 2]")',
        'print $kpy_eval("3")',
        "kpy eval 'first'",
        "kpy eval $kpy1",
    )
    assert done.returncode == 0, done.stderr
    assert answers(done.stdout) == ['$1 = "[1, 2]"', "$2 = 3", "'first'", "'first'"]


def test_unload_ends_what_runs(guest: LiveGuest, gdb: GdbRunner) -> None:
    done = gdb(
        ATTEMPT,
        LATER,
        "set kpy eval-timeout 100000",
        "python later(1)",
        "python later(2)",
        attempt("kpy exec -run while True: pass"),
        timeout=120,
    )
    assert "KeyboardInterrupt" in done.stdout or "stopped before the answer" in done.stdout
    status, out = guest.sh("rmmod kpy && insmod /lib/kpy/kpy.ko server_addr=0.0.0.0:9999", 60)
    assert status == 0, out
    assert guest.py("print(6 * 7)") == ("42\n", "")
