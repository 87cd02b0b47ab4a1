# SPDX-License-Identifier: GPL-2.0-or-later
"""A fault of a called kernel function is an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def kallsyms(guest: LiveGuest, name: str) -> int:
    """Address of a symbol as the kernel tells user space."""
    status, out = guest.sh(f"grep -w {name}$ /proc/kallsyms")
    assert status == 0
    return int(out.split()[0], 16)


def test_attributes_of_a_fault(guest: LiveGuest) -> None:
    out, err = guest.py(
        "import kernel_ffi\n"
        "try: strlen(0x10)\n"
        "except KernelFault as e:\n"
        "    print(e.kind, e.address, e.ip, e.call, e.errno, sep='|')\n"
        "    print(e.backtrace)\n"
        "    print(isinstance(e, OSError), kernel_ffi.KernelFault is KernelFault)\n"
    )
    assert not err, err
    first, trace, last = out.splitlines()
    kind, address, ip, call, errno = first.split("|")
    assert (kind, address, call, errno) == ("NULL dereference", "16", "strlen(0x10)", "14")
    # The first byte that strlen() reads, at its very beginning.
    assert int(ip) == kallsyms(guest, "strlen")
    assert trace.startswith("['strlen+0x0/0x")
    assert last == "True True"


def test_a_fault_is_readable(guest: LiveGuest) -> None:
    _, err = guest.py("def f(n): strlen(n)\nf(0x10)")
    lines = err.strip().splitlines()
    assert lines[3].startswith(
        "KernelFault: NULL dereference, read of address 0x10 in strlen+0x0/0x"
    )
    assert lines[4] == "  in the call strlen(0x10)"
    assert lines[5].startswith("    strlen+0x0/0x")


def test_faults_leave_no_trace_in_the_kernel(guest: LiveGuest) -> None:
    """Neither an oops in the log, nor a taint."""
    before = guest.sh("cat /proc/sys/kernel/tainted; dmesg | wc -l")
    out, err = guest.py(
        "n = 0\n"
        "for a in (0, 8, 0xdead000000000000, -4096, 1 << 46) * 20:\n"
        "    try: strlen(a)\n"
        "    except KernelFault: n += 1\n"
        "print(n, strlen('four'))\n"
    )
    assert (out, err) == ("100 4\n", "")
    assert guest.sh("cat /proc/sys/kernel/tainted; dmesg | wc -l") == before
