# SPDX-License-Identifier: GPL-2.0-or-later
"""A layout table that is not the running kernel's: found at load, said, and refused."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from test_repl import INSMOD
from wrong_table import move_members

from guest import kernel, paths, registry
from guest.agent import Agent

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

WRONG = ["path", "list_head", "qstr"]
REFUSED = (
    "differs from the running kernel's: the module was built for another one (see allow_mismatch)"
)


def test_unload_while_the_table_is_checked(guest: LiveGuest) -> None:
    """Before the check, in the middle of it, and behind it."""
    for delay in (0, 0.03, 0.05, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.5):
        status, out = guest.sh(f"rmmod kpy && {INSMOD}; sleep {delay}")
        assert status == 0, out
    code = (
        "from kernel_ffi import layout_report\n"
        "r = layout_report()\nprint(r['differ'], r['checked'] > 3000)\n"
    )
    assert py(guest, code) == "[] True"


def test_structs_are_used_before_the_check(guest: LiveGuest) -> None:
    """By a session that is there first, and by one that waits for the check."""
    status, out = guest.sh(f"rmmod kpy && {INSMOD}")
    assert status == 0, out
    code = (
        "from kernel_ffi import layout_report\n"
        "print(str(task_struct(init_task).comm))\nprint(layout_report()['differ'])\n"
    )
    assert py(guest, code) == "swapper/0\n[]"


@pytest.fixture(scope="module")
def wrong(guest: LiveGuest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGuest]:
    """Return the guest with a module whose table is wrong about three structs."""
    ko = tmp_path_factory.mktemp("wrong") / "kpy.ko"
    built = paths.BUILD / kernel.load().release / "kpy.ko"
    subprocess.run(["strip", "-g", built, "-o", ko], check=True)
    ko.write_bytes(move_members(ko, WRONG))
    Agent.of(registry.running(guest.name)).push(ko, "/tmp/wrong.ko")
    insmod = INSMOD.replace("/lib/kpy/kpy.ko", "/tmp/wrong.ko")
    status, out = guest.sh(f"rmmod kpy && {insmod}")
    try:
        assert status == 0, out
        yield guest
    finally:
        status, out = guest.sh(f"rmmod kpy; {INSMOD}; rm /tmp/wrong.ko")
        assert status == 0, out


def py(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(code)
    assert not err, err
    return out.strip()


def error(guest: LiveGuest, code: str) -> str:
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


def test_the_report_names_the_members(wrong: LiveGuest) -> None:
    code = (
        "from kernel_ffi import layout_report\n"
        "r = layout_report()\n"
        "print(sorted(r['differ']), r['checked'] > 3000)\n"
    )
    assert py(wrong, code) == "['list_head.prev', 'path.dentry', 'qstr.name'] True"


def test_dmesg_says_it_once(wrong: LiveGuest) -> None:
    py(wrong, "from kernel_ffi import layout_report\nlayout_report(); layout_report()")
    _, log = wrong.sh("dmesg | grep 'layout table'")
    said = re.findall(r"kpy: (.*)", log)
    assert len(said) == 1, log
    found = re.fullmatch(
        r"3 of (\d+) structs in the layout table differ from the running kernel's: (.*)", said[0]
    )
    assert found, said
    assert int(found.group(1)) > 3000
    assert sorted(found.group(2).split(", ")) == sorted(WRONG)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("lookup_struct('path')", "path.dentry"),
        ("path", "path.dentry"),
        ("sizeof('qstr')", "qstr.name"),
        ("offsetof('list_head', 'prev')", "list_head.prev"),
        ("container_of(0x1000, 'list_head', 'prev')", "list_head.prev"),
        # Through a struct that is right.
        ("file(filp_open('/proc/version', 0, 0)).f_path.dentry", "path.dentry"),
        ("task_struct(init_task).tasks.next", "list_head.prev"),
        ("task_struct(init_task).tasks.next = 0", "list_head.prev"),
    ],
)
def test_use_is_refused(wrong: LiveGuest, code: str, what: str) -> None:
    assert error(wrong, code) == f"LayoutError: {what} {REFUSED}"


def test_other_structs_are_used(wrong: LiveGuest) -> None:
    assert py(wrong, "print(str(task_struct(init_task).comm), sizeof('net_device') > 1000)") == (
        "swapper/0 True"
    )


def test_a_mismatch_can_be_allowed(wrong: LiveGuest) -> None:
    code = (
        "from kernel_ffi import allow_mismatch\n"
        "allow_mismatch(True)\n"
        "print(offsetof('path', 'mnt'), offsetof('path', 'dentry'))\n"
        "allow_mismatch(False)\n"
    )
    assert py(wrong, code) == "0 16"
    assert error(wrong, "offsetof('path', 'dentry')").startswith("LayoutError: path.dentry ")
