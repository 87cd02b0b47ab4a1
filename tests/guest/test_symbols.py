# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of the kernel: found, listed, completed and misspelt, against /proc/kallsyms."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest
from test_calls import error, lines
from test_repl import PROMPT, Friendly

if TYPE_CHECKING:
    from conftest import LiveGuest

pytestmark = pytest.mark.guest


class Known(NamedTuple):
    """A line of /proc/kallsyms."""

    address: int
    type: str
    module: str | None


@pytest.fixture(scope="module")
def kallsyms(guest: LiveGuest) -> dict[str, list[Known]]:
    """Return all symbols by name, as the kernel tells user space."""
    status, out = guest.sh("cat /proc/kallsyms", 120)
    assert status == 0
    table = defaultdict(list)
    for line in out.splitlines():
        words = line.split()
        module = words[3].strip("[]") if len(words) > 3 else None
        table[words[2]].append(Known(int(words[0], 16), words[1], module))
    return table


def test_repr_and_attributes(guest: LiveGuest, kallsyms: dict[str, list[Known]]) -> None:
    (ksize,) = kallsyms["ksize"]
    (driver,) = kallsyms["register_virtio_driver"]
    (virtnet,) = kallsyms["virtnet_open"]
    assert lines(
        guest,
        "names = 'ksize', 'register_virtio_driver', 'virtnet_open'\n"
        "for s in map(symbol, names):\n"
        "    print(s)\n"
        "    print(s.name, s.module, s.exported, s.address, s.prototype)\n"
        "print(Symbol('mine', 16))\n",
    ) == [
        f"Symbol('ksize', {ksize.address:#x}, exported)",
        f"ksize None True {ksize.address} size_t ksize(const void *objp)",
        f"Symbol('register_virtio_driver', {driver.address:#x}, module 'virtio', exported)",
        (
            f"register_virtio_driver virtio True {driver.address} "
            "int register_virtio_driver(struct virtio_driver *driver)"
        ),
        f"Symbol('virtnet_open', {virtnet.address:#x}, module 'virtio_net')",
        f"virtnet_open virtio_net False {virtnet.address} int virtnet_open(struct net_device *dev)",
        "Symbol('mine', 0x10)",
    ]


def test_exported_is_what_the_kernel_exports(
    guest: LiveGuest, kallsyms: dict[str, list[Known]]
) -> None:
    """The kernel lists __ksymtab_NAME for each export of vmlinux."""
    names = [name for name in kallsyms if len(kallsyms[name]) == 1 and name.isidentifier()]
    sample = [name for name in sorted(names) if kallsyms[name][0].module is None][::500]
    out = lines(guest, f"print([symbol(n).exported for n in {sample}])")
    assert out == [str([f"__ksymtab_{name}" in kallsyms for name in sample])]
    assert "True" in out[0]


def test_aliases(guest: LiveGuest, kallsyms: dict[str, list[Known]]) -> None:
    for name, real in (
        ("printk", "_printk"),
        ("copy_from_user", "_copy_from_user"),
        ("spin_lock", "_raw_spin_lock"),
        ("init_rwsem", "__init_rwsem"),
    ):
        out = lines(guest, f"print({name}.name, int({name}), symbol('{name}') == {name})")
        assert out == [f"{real} {kallsyms[real][0].address} True"]


def test_ambiguous_names(guest: LiveGuest, kallsyms: dict[str, list[Known]]) -> None:
    # Several static ones, and one that is exported beside a static one.
    several = kallsyms["parse_header"]
    assert len(several) == 2
    places = ", ".join(
        f"{i} at {address:#x}" for i, address in enumerate(sorted(k.address for k in several))
    )
    message = (
        f"ValueError: kernel symbol 'parse_header' has 2 definitions: {places}; "
        "symbol('parse_header', n) picks one"
    )
    assert error(guest, "parse_header") == message
    assert error(guest, "symbol('parse_header')") == message
    out = lines(guest, "print(*sorted(int(symbol('parse_header', n)) for n in (0, 1)))")
    assert [int(word) for word in out[0].split()] == sorted(k.address for k in several)
    assert error(guest, "symbol('parse_header', 2)").endswith("has 2 definitions")
    exported = next(k.address for k in kallsyms["kern_path"] if k.type == "T")
    assert len(kallsyms["kern_path"]) == 2
    assert lines(guest, "print(int(kern_path))") == [str(exported)]
    # Modules have names in common, and a module's name picks.
    modules = {k.module: k.address for k in kallsyms["cleanup_module"]}
    assert len(modules) > 2
    message = error(guest, "cleanup_module")
    for module, address in modules.items():
        assert f"{address:#x} in {module}" in message
        out = lines(guest, f"print(int(symbol('cleanup_module', module='{module}')))")
        assert out == [str(address)]
    assert error(guest, "symbol('ksize', module='virtio_net')") == (
        "NameError: kernel symbol 'ksize' not found in 'virtio_net'"
    )


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("prntk", "NameError: name 'prntk' isn't defined; did you mean 'printk'?"),
        ("symbol('ksiez')", "NameError: kernel symbol 'ksiez' not found; did you mean 'ksize'?"),
        (
            "symbol('cleanp_module')",
            "NameError: kernel symbol 'cleanp_module' not found; did you mean 'cleanup_module'?",
        ),
        ("symbol('zqxjkvwz')", "NameError: kernel symbol 'zqxjkvwz' not found"),
        ("zqxjkvwz", "NameError: name 'zqxjkvwz' isn't defined"),
        (
            "symbol('kzalloc')",
            (
                "NameError: kernel symbol 'kzalloc' not found: it is inline; "
                "use kmalloc(n) and memset()"
            ),
        ),
    ],
)
def test_unknown_names_come_with_near_ones(guest: LiveGuest, code: str, last: str) -> None:
    assert error(guest, code) == last


def test_symbols_lists_by_pattern(guest: LiveGuest, kallsyms: dict[str, list[Known]]) -> None:
    pattern = re.compile(r"register_.*_notifier")
    known = sorted({k.address for n, ks in kallsyms.items() if pattern.fullmatch(n) for k in ks})
    assert len(known) > 3
    out = lines(
        guest,
        "import kernel_ffi as k\n"
        "print([int(s) for s in k.symbols('register_*_notifier')])\n"
        "print(k.symbols('no_such_*'), len(k.symbols('*', 5)), k.symbols('*', limit=5)[5])\n"
        "print(k.symbols('ksiz?'))\n",
    )
    assert eval(out[0]) == known
    assert out[1] == "[] 6 Ellipsis"
    assert out[2] == f"[Symbol('ksize', {kallsyms['ksize'][0].address:#x}, exported)]"
    assert error(guest, "import kernel_ffi as k\nk.symbols('*', 0)") == (
        "ValueError: limit must be 1 to 100000"
    )


def test_lookup_names_addresses(guest: LiveGuest, kallsyms: dict[str, list[Known]]) -> None:
    following = min(
        k.address
        for ks in kallsyms.values()
        for k in ks
        if k.address > kallsyms["ksize"][0].address
    )
    size = following - kallsyms["ksize"][0].address
    assert lines(
        guest,
        "import kernel_ffi as k\n"
        "print(k.lookup(ksize + 5), k.lookup(ksize).offset)\n"
        "print(k.lookup(symbol('virtnet_open')).module)\n",
    ) == [f"(name='ksize', offset=5, size={size}, module=None) 0", "virtio_net"]
    assert error(guest, "import kernel_ffi as k\nk.lookup(5)") == (
        "ValueError: no kernel symbol at 0x5"
    )


def completed(repl: Friendly, typed: bytes, until: bytes) -> str:
    """Type, and return what the terminal shows up to a text."""
    repl.send(typed)
    return repl.until(until).decode().replace("\r", "") + until.decode()


def test_completion_of_kernel_names(guest: LiveGuest, kallsyms: dict[str, list[Known]]) -> None:
    with Friendly(guest) as repl:
        # The only one: completed.
        only = [name for name in kallsyms if name.startswith("register_virtio_dri")]
        assert only == ["register_virtio_driver"]
        repl.send(b"register_virtio_dri\t.name\r")
        assert "'register_virtio_driver'" in repl.until(PROMPT).decode()
        # Several: as far as they agree, then a list.
        several = sorted({n for n in kallsyms if n.startswith("virtnet_se") and "." not in n})
        assert len(several) > 2
        shown = completed(repl, b"virtnet_se\t\t", b">>> virtnet_se")
        for name in several:
            assert name in shown.split()
        repl.send(b"t_rx_mode\t.name\r")
        repl.until(b"'virtnet_set_rx_mode'")
        repl.until(PROMPT)
        # Very many: a bounded list, which says so.
        shown = completed(repl, b"__x64_sys_\t", b">>> __x64_sys_")
        assert 20 < shown.count("__x64_sys_") < 60
        whole = [n for n in kallsyms if n.startswith("__x64_sys_") and "." not in n]
        many = sum(len(kallsyms[n]) for n in whole)
        assert f"... of {many} kernel symbols" in shown
        # Beside Python's own names, in an expression, and not as an attribute.
        repl.send(b"\x03")
        repl.until(PROMPT)
        repl.send(b"register_virtio_mine = 5\r")
        repl.until(PROMPT)
        shown = completed(repl, b"1 + register_virtio_\t", b">>> 1 + register_virtio_")
        assert {"register_virtio_mine", "register_virtio_driver"} <= set(shown.split())
        repl.send(b"mine\r")
        assert "6" in repl.until(PROMPT).decode()
        repl.send(b"register_virtio_mine = None\r")
        repl.until(PROMPT)
        repl.send(b"init_task.register_virtio_dri\t\r")
        assert "no attribute 'register_virtio_dri'" in repl.until(PROMPT).decode()


def test_no_completion_of_kernel_names_without_auto_globals(guest: LiveGuest) -> None:
    with Friendly(guest) as repl:
        repl.send(b"import kernel_ffi; kernel_ffi.auto_globals(False)\r")
        repl.until(PROMPT)
        try:
            repl.send(b"register_virtio_dri\t\r")
            assert "name 'register_virtio_dri' isn't defined" in repl.until(PROMPT).decode()
        finally:
            repl.send(b"kernel_ffi.auto_globals(True)\r")
            repl.until(PROMPT)


def test_a_global_that_is_defined_later_comes_first(guest: LiveGuest) -> None:
    """Whatever is remembered of a name, Python's own globals come before the kernel's."""
    out = lines(
        guest,
        "import gc, kernel_ffi\n"
        "def get():\n"
        "    return int(ksize)\n"
        "kernel = int(symbol('ksize'))\n"
        "print(get() == kernel, get() == kernel)\n"
        "ksize = 5\n"
        "print(get(), get())\n"
        "del ksize\n"
        "print(get() == kernel)\n"
        "other_name = 1\n"
        "get()\n"
        "del other_name\n"
        "ksize = 7\n"
        "print(get())\n"
        "del ksize\n"
        "print(get() == kernel)\n"
        "kernel_ffi.auto_globals(False)\n"
        "try:\n"
        "    get()\n"
        "except NameError as e:\n"
        "    print(e)\n"
        "kernel_ffi.auto_globals(True)\n"
        "print(get() == kernel)\n"
        "for i in range(100):\n"
        "    exec('assert int(ksize) == kernel', {'kernel': kernel})\n"
        "    exec('assert ksize == 1', {'ksize': 1})\n"
        "    if i % 10 == 0:\n"
        "        gc.collect()\n",
    )
    assert out == [
        "True True",
        "5 5",
        "True",
        "7",
        "True",
        "name 'ksize' isn't defined",
        "True",
    ]


def test_addresses_are_formatted_as_integers(
    guest: LiveGuest, kallsyms: dict[str, list[Known]]
) -> None:
    """Symbols, struct pointers and plain ones, by every way of formatting."""
    out, err = guest.py(
        "d = dev_get_by_name(init_net, 'lo')\n"
        "for p in (jiffies_64, d, symbol('linux_banner'), d.dev_addr):\n"
        "    n = int(p)\n"
        "    made = (hex(p), oct(p), bin(p), '%x' % p, '%#x' % p, '%d' % p, '{:X}'.format(p),\n"
        "            f'{p:#x}', f'{p:>30d}', '{:b}'.format(p))\n"
        "    wanted = (hex(n), oct(n), bin(n), '%x' % n, '%#x' % n, '%d' % n, '{:X}'.format(n),\n"
        "              f'{n:#x}', f'{n:>30d}', '{:b}'.format(n))\n"
        "    print(made == wanted, f'{p}' == '%s' % p, '{}'.format(p) == '%s' % p, hex(p))\n"
    )
    assert not err, err
    found = [line.split() for line in out.splitlines()]
    assert [line[:3] for line in found] == [["True"] * 3] * 4
    assert int(found[0][3], 16) == kallsyms["jiffies_64"][0].address


def test_formats_refuse_what_is_no_integer(guest: LiveGuest) -> None:
    for code in ("'{:x}'.format('a')", "'%x' % 'a'", "hex([])", "'{:d}'.format(None)"):
        _, err = guest.py(code)
        assert err.strip().splitlines()[-1].startswith(("ValueError", "TypeError")), err
