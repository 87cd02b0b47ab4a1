# SPDX-License-Identifier: GPL-2.0-or-later
"""Tab behind a struct: its members, from the types alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from test_repl import PROMPT, Friendly

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


@pytest.fixture(autouse=True)
def structs(guest: LiveGuest) -> None:
    """Make structs at addresses where reading faults, and one where it does not."""
    _, err = guest.py(
        "bad_task = task_struct(8)\n"
        "no_task = task_struct(0)\n"
        "bad_page = lookup_struct('page')(8)\n"
        "bad_mount = lookup_struct('mount')(8)\n"
        "good_task = task_struct(init_task)\n"
    )
    assert not err


def shown(repl: Friendly, typed: bytes) -> str:
    repl.send(typed + b"\r")
    return repl.until(PROMPT).decode().replace("\r", "").split("\n")[-1]


def listed(repl: Friendly, typed: bytes) -> list[str]:
    """Type up to a Tab that lists names; return them, and leave the line empty."""
    repl.send(typed + b"\t")
    text = repl.until(b"\n>>> " + typed).decode()
    time.sleep(0.1)
    repl.send(b"\x03")
    repl.until(PROMPT)
    return text.split("\n", 1)[1].rsplit(">>> ", 1)[0].split()


def test_the_only_one_is_typed(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        assert shown(repl, b"good_task.real_par\t.pid") == "0"
        assert shown(repl, b"good_task.real_par\t.real_c\t.eui\t.val") == "0"
        assert shown(repl, b"print(good_task.normal_pr\t)") == "120"


def test_several_are_listed(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        names = listed(repl, b"good_task.exit_")
        assert names == ["exit_state", "exit_code", "exit_signal"]
        # As far as they agree they are typed.
        repl.send(b"good_task.blo\t")
        repl.until(b"good_task.blocked")
        repl.send(b"\x03")
        repl.until(PROMPT)


def test_all_members_of_a_struct(guest: LiveGuest) -> None:
    out, err = guest.py("print(' '.join(lookup_struct('path').fields))")
    assert not err
    with Friendly(guest) as repl:
        guest.py("a_path = lookup_struct('path')(8)\n")
        assert listed(repl, b"a_path.") == out.split()


def test_no_memory_is_read(guest: LiveGuest) -> None:
    """Through pointers, structs, anonymous members, and what only BTF describes."""
    with Friendly(guest) as repl:
        for typed, names in (
            (b"bad_task.mm.pg", {"pgd", "pgtables_bytes"}),
            (b"no_task.mm.pg", {"pgd", "pgtables_bytes"}),
            (b"bad_task.tasks.", {"next", "prev"}),
            (b"bad_page.compound_", {"compound_head", "compound_dtor", "compound_order"}),
            (b"bad_mount.mnt_parent.mnt_mount", {"mnt_mountpoint", "mnt_mounts"}),
        ):
            found = listed(repl, typed)
            assert names <= set(found), (typed, found)
            assert all(name.startswith(typed.decode().rsplit(".", 1)[1]) for name in found)
    assert guest.py("print(6 * 7)") == ("42\n", "")


def test_nothing_for_what_is_not_there(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        assert shown(repl, b"good_task.tgid\t") == "0"  # complete already
        assert shown(repl, b"good_task.no_such\t.x if 0 else 5") == "5"
        assert shown(repl, b"good_task.comm.x\t if 0 else 6") == "6"
        assert shown(repl, b"good_task.nope.x\t if 0 else 7") == "7"
