# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person types at the prompt: editing, history, completion, help, the raw modes."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
from test_repl import PROMPT, Friendly

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

UP, DOWN, LEFT, HOME, END, DELETE = (
    b"\x1b[A",
    b"\x1b[B",
    b"\x1b[D",
    b"\x1b[H",
    b"\x1b[F",
    b"\x1b[3~",
)


def shown(repl: Friendly, typed: bytes) -> str:
    """Type, press enter, and return the last line printed before the prompt."""
    repl.send(typed + b"\r")
    return repl.until(PROMPT).decode().replace("\r", "").split("\n")[-1]


def test_editing_keys(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        assert shown(repl, b"12" + LEFT + b"0") == "102"
        assert shown(repl, b"23" + HOME + b"1" + END + b"4") == "1234"
        assert shown(repl, b"567" + HOME + DELETE) == "67"
        assert shown(repl, b"89\x7f") == "8"  # backspace
        # Emacs: start and end of line, kill to the end, back and forward, delete, yank word back.
        assert shown(repl, b"23\x011\x054") == "1234"
        assert shown(repl, b"1234\x02\x02\x0b") == "12"
        assert shown(repl, b"1 + 1\x02\x042") == "3"
        assert shown(repl, b"40 + 2\x1bb\x1bb9") == str(940 + 2)  # two words back


def test_history(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        assert shown(repl, b"111 + 1") == "112"
        assert shown(repl, b"222 + 2") == "224"
        assert shown(repl, UP) == "224"
        assert shown(repl, UP + UP) == "112"
        assert shown(repl, UP + UP + DOWN) in ("224", "112")


def test_completion(guest: LiveGuest) -> None:
    guest.py("distinctive_name = 12345\nimport json\nclass Klass:\n    unusual_attribute = 77\n")
    with Friendly(guest) as repl:
        assert shown(repl, b"distinctiv\t") == "12345"
        assert shown(repl, b"Klass.unus\t") == "77"
        assert shown(repl, b"json.dum\t").startswith("<function")
        # Several candidates are listed, and the line is kept.
        repl.send(b"json.\t")
        listed = repl.until(b">>> json.")
        assert b"dumps" in listed
        assert b"loads" in listed
        assert shown(repl, b"loads('7')") == "7"


def test_completion_reads_no_kernel_memory(guest: LiveGuest) -> None:
    """An object that would fault when asked is not asked."""
    guest.py("import kernel_ffi as k\nat_nothing = Symbol('at_nothing', 8)\n")
    with Friendly(guest) as repl:
        repl.send(b"at_nothing.\t")
        time.sleep(0.3)
        repl.send(b"name\r")
        assert "at_nothing" in repl.until(PROMPT).decode()
    assert guest.py("print(6 * 7)") == ("42\n", "")


def test_underscore_help_and_indentation(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        assert shown(repl, b"6 * 7") == "42"
        assert shown(repl, b"_ + 1") == "43"
        repl.send(b"help()\r")
        assert "kernel symbol" in repl.until(PROMPT).decode()
        repl.send(b"help('modules')\r")
        modules = repl.until(PROMPT).decode().split()
        for name in ("kernel_ffi", "json", "re", "struct", "_thread", "gc", "sys", "time"):
            assert name in modules
        # The editor indents: a backspace takes that back, and an empty line ends the block.
        repl.send(b"for i in range(2):\rprint('row', i)\r\x7f\r")
        assert repl.until(PROMPT).decode().endswith("row 0\r\nrow 1\r")


def test_ctrl_d_ends_the_session_and_globals_stay(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        shown(repl, b"kept_over_sessions = 'yes'")
        repl.send(b"\x04")
        with pytest.raises(EOFError):
            repl.until(b"never")
    with Friendly(guest) as repl:
        assert shown(repl, b"kept_over_sessions") == "'yes'"


def test_raw_and_raw_paste_modes(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        repl.send(b"\x01")
        repl.until(b"raw REPL; CTRL-B to exit\r\n>")
        repl.send(b"print('raw', 1)\x04")
        repl.until(b"OK")
        assert repl.until(b"\x04") == b"raw 1\r\n"
        assert repl.until(b"\x04>") == b""
        repl.send(b"1 +\x04")
        assert repl.until(b"OK") == b""
        assert repl.until(b"\x04") == b""
        assert b"SyntaxError" in repl.until(b"\x04>")
        # Raw paste: a window is granted, the source streamed, the end acknowledged.
        repl.send(b"\x05A\x01")
        repl.until(b"R\x01")
        head = take(repl, 3)
        window = head[0] | head[1] << 8
        assert window > 0
        assert head[2:] == b"\x01"
        source = b"print('pasted', " + b"1 + " * 100 + b"0)\n"
        sent = 0
        budget = 2 * window
        while sent < len(source):
            part = source[sent : sent + budget]
            repl.send(part)
            sent += len(part)
            budget -= len(part)
            while budget == 0 and sent < len(source):
                assert take(repl, 1) == b"\x01"
                budget += window
        repl.send(b"\x04")
        assert repl.until(b"\x04").strip(b"\x01") == b""
        assert repl.until(b"\x04") == b"pasted 100\r\n"
        assert repl.until(b"\x04>") == b""
        repl.send(b"\x02")
        assert b"MicroPython" in repl.until(b">>> ")


def take(repl: Friendly, count: int) -> bytes:
    """Return the next bytes."""
    while len(repl.unread) < count:
        repl.unread += repl.socket.recv(4096)
    data, repl.unread = repl.unread[:count], repl.unread[count:]
    return data


def test_typing_ahead_is_not_lost(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        repl.send(b"import time; time.sleep_ms(300)\r'later'\r")
        repl.until(PROMPT)
        assert "'later'" in repl.until(PROMPT).decode()


def test_half_closed_connection_ends_the_session(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        repl.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            repl.until(b"never")
