# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's memory and string functions with pointers into a process, in its context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest

Reader = Callable[[str], tuple[str, list[str]]]

# The article's /dev/null, with a body that a test gives. "say" goes to the list `seen`.
READ_NULL = """
import kernel_ffi as k
seen = []
text = b"who said /dev/null must be empty?\\n"
def read(file, buf, n, pos):
{body}
    return len(text)
c = k.callback(read)
slot = [null_fops + i for i in range(0, 256, 8) if p64(null_fops + i) == int(read_null)][0]
p64(slot, c.ptr())
"""


@pytest.fixture
def dev_null(guest: LiveGuest) -> Iterator[Reader]:
    """Return a function: runs a body for a read of /dev/null; gives what was read, and seen."""

    def run(body: str) -> tuple[str, list[str]]:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        out, err = guest.py(READ_NULL.format(body=lines))
        assert not err, err
        _, got = guest.sh("head -c 34 /dev/null | tr '\\0' '.'")
        out, err = guest.py("print(*seen, c.last_error, sep='\\n')")
        assert not err, err
        return got, out.splitlines()

    yield run
    guest.py("p64(slot, int(read_null)); c.rm()")
    assert guest.sh("head -c 34 /dev/null")[1] == ""


def test_memcpy_to_a_user_buffer(dev_null: Reader) -> None:
    got, seen = dev_null("memcpy(buf, text, len(text))")
    assert (got, seen) == ("who said /dev/null must be empty?\n", ["None"])


def test_the_others(dev_null: Reader) -> None:
    got, seen = dev_null(
        "memset(buf, 0x2d, n)\n"
        "seen.append(strcpy(buf, 'abc') == buf)\n"
        "seen.append((strlen(buf), strnlen(buf, 2), strcmp(buf, 'abc'), strncmp(buf, 'abd', 2)))\n"
        "seen.append((memcmp(buf, b'abc', 3), memchr(buf, 0x63, 9) - buf, k.str(buf)))\n"
        "memmove(buf + 4, buf, 3); strncpy(buf + 8, 'xyz', 6); memcpy(buf + 16, buf, 3)\n"
        "other = k.buffer(8); memcpy(other, buf, 3); seen.append(bytes(other[0:3]))\n"
        "p16(buf + 20, 0x4241)"
    )
    assert seen == ["True", "(3, 2, 0, 0)", "(0, 2, 'abc')", "b'abc'", "None"]
    assert got == "abc.abc-xyz...--abc-AB------------"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("memcpy(0x1000, text, 4)", "write to user address 0x1000 in "),
        ("memcpy(buf, 0x1000, 4)", "read of user address 0x1000 in "),
        ("memcpy(buf, 8, 4)", "NULL dereference, read of address 0x8 in "),
        ("strlen(0x1000)", "read of user address 0x1000 in strlen+0x0/0x"),
        ("memset(buf, 0, 1 << 40)", "write to user address 0x"),
    ],
)
def test_bad_pointers(dev_null: Reader, code: str, text: str) -> None:
    _, seen = dev_null(f"try: {code}\nexcept KernelFault as e: seen.append(str(e))")
    assert seen[0].startswith(text)
