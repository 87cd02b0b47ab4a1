# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of kernel functions by prototype: arguments are checked, results converted."""

from __future__ import annotations

import re
import subprocess
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
        "print(d, d.__struct__.name, bool(d), d == int(d), int(d) == d, hash(d) == hash(int(d)))\n"
        "print(hex(int(d)), d + 8 - d, 8 + d == d + 8, d - d, p64(d) == p64(int(d)))\n"
        "dev_put = symbol('netdev_refcnt_read')\n"
        "print(dev_put(d) > 0)\n"
        "print(dev_get_by_name(init_net, 'none'), bool(dev_get_by_name(init_net, 'none')))\n"
        "f = filp_open('/nope', 0, 0)\n"
        "print(f, is_err(f), is_err(d), is_err(0), is_err(-2), is_err((1 << 64) - 4096))\n",
    )
    address = out[1].split()[0]
    struct = out[0].split(", ", 1)[1].rsplit(") ", 1)[0]
    assert out == [
        f"StructPtr({address}, {struct}) net_device True True True True",
        f"{address} 8 True 0 True",
        "True",
        f"StructPtr(0x0, {struct}) False",
        out[4],
    ]
    assert re.fullmatch(
        r"StructPtr\(ERR_PTR\(-ENOENT\), Struct\(\d+, 'file', ...\)\) True False False True False",
        out[4],
    )


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


def test_prototypes_are_those_that_pfunct_prints(guest: LiveGuest) -> None:
    """A decoder of BTF that is not ours: that of the package dwarves."""
    done = subprocess.run(
        ["pfunct", "-F", "btf", "-P", str(guest.info["vmlinux"])],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    # pfunct writes "const T * p" for both "const T *p" and "T *const p".
    plain = re.compile(r"\bconst\b|[\s;]")
    known: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        text = plain.sub("", line)
        # The name comes before the parameters; a result that is a function pointer wraps it.
        found = re.search(r"\b(\w+)\(", line)
        if found and "(*" not in line.split(found.group(0))[0]:
            known.setdefault(found.group(1), set()).add(text)
    names = [name for name in sorted(known) if len(known[name]) == 1][::25]
    assert len(names) > 1000
    lines(guest, f"names = {' '.join(names)!r}.split()")
    out = lines(
        guest,
        "for name in names:\n"
        "    try:\n"
        "        print(name, symbol(name).prototype, sep='|')\n"
        "    except (NameError, ValueError, TypeError):\n"
        "        pass\n",
    )
    compared = 0
    for line in out:
        name, prototype = line.split("|")
        text = plain.sub("", prototype)
        # Assembly has "void f(void)" in BTF; then we know it from the headers, or not at all.
        if known[name] != {f"void{name}(void)"}:
            assert text in known[name]
            compared += 1
    assert compared > 1000


def test_declarations_in_c_syntax(guest: LiveGuest) -> None:
    assert lines(
        guest,
        "for name in ('kallsyms_on_each_symbol', 'on_each_cpu_cond_mask', 'sort', 'panic',\n"
        "             'register_virtio_device', 'call_usermodehelper'):\n"
        "    print(symbol(name).prototype)\n",
    ) == [
        (
            "int kallsyms_on_each_symbol(int (*fn)(void *, const char *, struct module *, "
            "long unsigned int), void *data)"
        ),
        (
            "void on_each_cpu_cond_mask(smp_cond_func_t cond_func, smp_call_func_t func, "
            "void *info, bool wait, const struct cpumask *mask)"
        ),
        (
            "void sort(void *base, size_t num, size_t size, cmp_func_t cmp_func, "
            "swap_func_t swap_func)"
        ),
        "void panic(const char *fmt, ...)",
        "int register_virtio_device(struct virtio_device *dev)",
        "int call_usermodehelper(const char *path, char **argv, char **envp, int wait)",
    ]


def test_help_prints_the_declaration(guest: LiveGuest) -> None:
    out = lines(
        guest,
        "help(ksize)\nhelp(symbol('virtnet_open'))\nhelp(jiffies_64)\n"
        "help(symbol('parse_header', 0))\nprint(hex(int(ksize)))\n",
    )
    assert out[0] == "size_t ksize(const void *objp);"
    assert out[1] == f"    at {out[-1]} in vmlinux, exported"
    assert out[2] == "int virtnet_open(struct net_device *dev);"
    assert out[3].endswith(" in virtio_net")
    assert out[4] == "u64 jiffies_64;"


def test_bytearrays_end_with_nul_for_the_kernel(guest: LiveGuest) -> None:
    """Also when they fill their blocks of the heap, and after they grew."""
    assert lines(
        guest,
        "wrong = []\n"
        "for n in range(1, 200):\n"
        "    b = bytearray(b'x' * n)\n"
        "    if strlen(b) != n:\n"
        "        wrong.append(n)\n"
        "    b.append(65)\n"
        "    b.extend(b'yyy')\n"
        "    if strlen(b) != n + 4 or b != b'x' * n + b'Ayyy':\n"
        "        wrong.append(-n)\n"
        "print(wrong)\n",
    ) == ["[]"]


def test_variables_have_their_declared_type(guest: LiveGuest) -> None:
    _, cpus = guest.sh("grep -c ^processor /proc/cpuinfo")
    _, timeout = guest.sh("cat /proc/sys/kernel/panic")
    assert lines(
        guest,
        "import kernel_ffi as k\n"
        "v = k.var('panic_timeout')\n"
        "print(v.type, v.value, nr_cpu_ids.value)\n"
        "v.value = -7\n"
        "print(v.value, panic_timeout.value, p32(panic_timeout))\n",
    ) == [f"int {int(timeout)} {int(cpus)}", f"-7 -7 {2**32 - 7}"]
    try:
        assert guest.sh("cat /proc/sys/kernel/panic")[1].strip() == "-7"
    finally:
        lines(guest, f"panic_timeout.value = {int(timeout)}")
    assert guest.sh("cat /proc/sys/kernel/panic")[1] == timeout
    assert lines(
        guest,
        "print(k.var('current_task').value == k.current())\n"
        "print([k.var('cpu_number', cpu=i).value for i in (0, 1)])\n"
        "print(k.var(symbol('cpu_number'), 1), 0 < jiffies_64.value - p64(jiffies_64) + 1 < 9)\n",
    )[:2] == ["True", "[0, 1]"]


def test_variables_that_are_structs_and_arrays(guest: LiveGuest) -> None:
    """As members of structs are."""
    assert lines(
        guest,
        "import kernel_ffi as k\n"
        "t = k.var('init_task')\n"
        "print(t.type, t.value == init_task, str(t.value.comm), init_mm.value.__struct__.name)\n"
        "print(k.var('runqueues', 1).value == per_cpu('runqueues', 1))\n"
        "print(system_state.value.name, str(linux_banner.value).split()[:2])\n",
    ) == [
        "struct task_struct True swapper/0 mm_struct",
        "True",
        "SYSTEM_RUNNING ['Linux', 'version']",
    ]


@pytest.mark.parametrize(
    ("code", "last"),
    [
        (
            "k.var('panic_timeout').value = 1 << 32",
            "ValueError: panic_timeout: value does not fit in 32 signed bits",
        ),
        (
            "panic_timeout.value = 'x'",
            "TypeError: panic_timeout: cannot store 'str'",
        ),
        ("k.var('ksize')", "TypeError: 'ksize' is a function: size_t ksize(const void *objp)"),
        (
            "k.var('tick_do_timer_cpu')",
            ("TypeError: the type of 'tick_do_timer_cpu' is not known: read it with p8() to p64()"),
        ),
        ("k.var('cpu_number', 9)", "ValueError: no CPU 9"),
        ("k.var('no_such_variable_')", "NameError: kernel symbol 'no_such_variable_' not found"),
    ],
)
def test_wrong_use_of_variables(guest: LiveGuest, code: str, last: str) -> None:
    assert error(guest, "import kernel_ffi as k\n" + code) == last
