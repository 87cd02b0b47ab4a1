# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of kernel functions by prototype: arguments are checked, results converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


def lines(guest: LiveGuest, code: str) -> list[str]:
    """Run code that must succeed; return the lines it printed."""
    out, err = guest.py(code)
    assert not err, err
    return out.splitlines()


def error(guest: LiveGuest, code: str) -> str:
    """Run code that must fail; return the last line of the traceback."""
    out, err = guest.py(code)
    assert not out, out
    return err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "last"),
    [
        (
            "ksize(0, 1)",
            "TypeError: ksize() takes 1 argument, 2 given: size_t ksize(const void *objp)",
        ),
        (
            "simple_strtol('1')",
            (
                "TypeError: simple_strtol() takes 3 arguments, 1 given: "
                "long int simple_strtol(const char *cp, char **endp, unsigned int base)"
            ),
        ),
        (
            "snprintf()",
            (
                "TypeError: snprintf() takes at least 3 arguments, 0 given: "
                "int snprintf(char *buf, size_t size, const char *fmt, ...)"
            ),
        ),
        (
            "simple_strtol('1', 0, 'x')",
            (
                "TypeError: argument 3: cannot pass 'str' as 'unsigned int base': "
                "long int simple_strtol(const char *cp, char **endp, unsigned int base)"
            ),
        ),
        (
            "simple_strtol('1', 0, 1 << 32)",
            (
                "ValueError: argument 3: 4294967296 does not fit in 'unsigned int base': "
                "long int simple_strtol(const char *cp, char **endp, unsigned int base)"
            ),
        ),
        (
            "simple_strtol('1', 0, -(1 << 31) - 1)",
            (
                "ValueError: argument 3: -2147483649 does not fit in 'unsigned int base': "
                "long int simple_strtol(const char *cp, char **endp, unsigned int base)"
            ),
        ),
        (
            "timespec64_add_safe(1, 2)",
            (
                "TypeError: its result does not fit in a register: struct timespec64 "
                "timespec64_add_safe(const struct timespec64 lhs, const struct timespec64 rhs)"
            ),
        ),
        (
            "kernel_read_file_from_path_initns({}, 0, 0, 0, 0, 0)",
            (
                "TypeError: argument 1: cannot pass 'dict' as 'const char *path': "
                "ssize_t kernel_read_file_from_path_initns(const char *path, loff_t offset, "
                "void **buf, size_t buf_size, size_t *file_size, enum kernel_read_file_id id)"
            ),
        ),
        (
            "ksize({})",
            (
                "TypeError: argument 1: cannot pass 'dict' as 'const void *objp': "
                "size_t ksize(const void *objp)"
            ),
        ),
        # Assembly, of which BTF knows nothing: the prototype is the headers'.
        (
            "memset(0, 'x', 1)",
            "TypeError: argument 2: cannot pass 'str' as 'int': void *memset(void *, int, size_t)",
        ),
        # A function of a module.
        (
            "register_virtio_device()",
            (
                "TypeError: register_virtio_device() takes 1 argument, 0 given: "
                "int register_virtio_device(struct virtio_device *dev)"
            ),
        ),
    ],
)
def test_wrong_call_names_the_prototype(guest: LiveGuest, code: str, last: str) -> None:
    assert error(guest, code) == last


def test_results_have_the_declared_type(guest: LiveGuest) -> None:
    assert lines(
        guest,
        "print(simple_strtol('-5', 0, 10), simple_strtol.raw('-5', 0, 10))\n"
        "print(simple_strtoul('-5', 0, 10), strcmp('a', 'b'))\n"
        "print(rtnl_lock(), rtnl_is_locked(), rtnl_unlock())\n"
        "print(repr(kstrtobool.raw('maybe', bytearray(1))))\n",
    ) == [
        f"-5 {2**64 - 5}",
        "0 -1",
        "None 1 None",
        str(2**32 - 22),
    ]


def test_structs_of_one_word_are_numbers(guest: LiveGuest) -> None:
    assert lines(guest, "print(from_kuid(init_user_ns, 1000), make_kuid(init_user_ns, 7))") == [
        "1000 7"
    ]
    assert error(guest, "from_kuid(init_user_ns, 1 << 32)").startswith(
        "ValueError: argument 2: 4294967296 does not fit in 'kuid_t kuid': "
    )


def test_struct_pointers_are_typed(guest: LiveGuest) -> None:
    out = lines(
        guest,
        "d = dev_get_by_name(init_net, 'lo')\n"
        "print(d, d.type, bool(d), d == int(d), int(d) == d, hash(d) == hash(int(d)))\n"
        "print(hex(int(d)), d + 8 - d, 8 + d == d + 8, d - d, p64(d) == p64(int(d)))\n"
        "dev_put = symbol('netdev_refcnt_read')\n"
        "print(dev_put(d) > 0)\n"
        "print(dev_get_by_name(init_net, 'none'), bool(dev_get_by_name(init_net, 'none')))\n"
        "f = filp_open('/nope', 0, 0)\n"
        "print(f, is_err(f), is_err(d), is_err(0), is_err(-2), is_err((1 << 64) - 4096))\n",
    )
    address = out[1].split()[0]
    assert out == [
        f"Ptr(<struct net_device>, {address}) struct net_device True True True True",
        f"{address} 8 True 0 True",
        "True",
        "Ptr(<struct net_device>, 0x0) False",
        "Ptr(<struct file>, ERR_PTR(-ENOENT)) True False False True False",
    ]


def test_a_lock_may_be_initialised_without_its_key(guest: LiveGuest) -> None:
    """The article's scenario: C programs write init_rwsem(p), a macro that adds two arguments."""
    assert lines(
        guest,
        "p = symbol('__kmalloc')(64, 0xdc0)\n"
        "print(__init_rwsem(p))\n"
        "print(down_read(p), down_read(p), down_write_trylock(p))\n"
        "print(up_read(p), up_read(p), down_write_trylock(p), up_write(p))\n"
        "kfree(p)\n",
    ) == ["None", "None None 0", "None None 1 None"]
