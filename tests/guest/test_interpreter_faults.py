# SPDX-License-Identifier: GPL-2.0-or-later
"""A fault of the interpreter itself, while it holds the GIL: it starts anew, the kernel goes on."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from test_repl import Friendly

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

# A buffer over memory that is gone: buffers are used without a check at each access.
TRAP = """
import uctypes, kernel_ffi, time, _thread
def trap():
    p = vmalloc(4096)
    b = uctypes.bytearray_at(p, 4096)
    vfree(p)
    vm_unmap_aliases()
    return b
b = trap()
def fall():
    b[5]
"""
FROM = {
    "session": "fall()",
    "thread": "_thread.start_new_thread(fall, ())",
    "softirq": "h = kernel_ffi.timer(1, fall)",
    "hardirq": "h = kernel_ffi.irq_work(fall)",
}
MESSAGE = re.compile(
    r"kpy: the interpreter failed: page fault, read of address 0x[0-9a-f]+5 in mp_\w+\+0x[^;]*"
    r"; it was restarted: globals are gone, hooks are removed"
)


def code(how: str) -> str:
    """Fault in a context; again, should the hook not get in at first."""
    return f"{TRAP}while True:\n    {FROM[how]}\n    time.sleep_ms(2000)\n"


def said(guest: LiveGuest, how: str) -> str:
    """Let the interpreter fault; return what the session that did it is told."""
    return guest.py(code(how), timeout=30)[1]


@pytest.mark.parametrize("how", FROM)
def test_the_session_is_told_and_works_on(guest: LiveGuest, how: str) -> None:
    with guest.repl() as repl:
        assert repl.exec("before = 1") == ("", "")
        _, err = repl.exec(code(how), 30)
        assert MESSAGE.match(err), err
        out, err = repl.exec("print(6 * 7, 'before' in globals())")
        assert (out, err) == ("42 False\n", "")


def test_other_sessions_are_told(guest: LiveGuest) -> None:
    with Friendly(guest) as other:
        assert other.line("my_own_name = 6") == []
        assert MESSAGE.match(said(guest, "session"))
        heard = other.until(b">>> ").decode()
        assert MESSAGE.search(heard), heard
        assert other.line("6 * 7") == ["42"]
        assert "NameError" in "".join(other.line("my_own_name"))


def test_hooks_are_removed(guest: LiveGuest) -> None:
    guest.py("import kernel_ffi; n = [0]\nh = kernel_ffi.timer(5, lambda: n[0], True)")
    assert MESSAGE.match(said(guest, "softirq"))
    out, err = guest.py(
        "import kernel_ffi; print(kernel_ffi.hooks(), kernel_ffi.stats()['in_flight'])"
    )
    assert (out, err) == ("[] 1\n", "")


def test_fifty_in_a_row(guest: LiveGuest) -> None:
    """From everywhere in turn, while another session computes; nothing is left behind."""

    def counts() -> dict[str, int]:
        _, out = guest.sh("ps | grep -c '[k]py-'; grep -c kpy /proc/vmallocinfo")
        threads, areas = map(int, out.split())
        return {"threads": threads, "areas": areas}

    said(guest, "session")
    time.sleep(0.5)
    before = counts()
    with Friendly(guest) as busy:
        for i in range(50):
            how = list(FROM)[i % len(FROM)]
            busy.start("while True: len([str(i) for i in range(100)])")
            assert MESSAGE.match(said(guest, how)), how
            assert MESSAGE.search(busy.until(b">>> ").decode())
    time.sleep(0.5)
    assert counts() == before
    assert guest.py("print(sum(range(10)))") == ("45\n", "")
