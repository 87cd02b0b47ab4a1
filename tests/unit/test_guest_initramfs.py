# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs: what is in it, in which order drivers load, that it is remade when it must."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from guest import initramfs
from guest.kernel import Kernel
from guest.say import UserError


def entries(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Read a newc archive, or several in a row: {name: (mode, content)}."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at + 110 <= len(data):
        if data[at : at + 6] != b"070701":
            assert data[at : at + 4] == bytes(4)
            at += 4
            continue
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) & ~3
        found[name] = (fields[1], data[start : start + fields[6]])
        at = (start + fields[6] + 3) & ~3
    return found


def module(folder: Path, name: str, *needs: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"\0depends=" + ",".join(needs).encode() + b"\0")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(initramfs, "BUILD", tmp_path / "build")
    modules = tmp_path / "modules"
    module(modules / "net", "virtio_net.ko", "virtio", "net_failover", "virtio_ring")
    module(modules / "net", "net_failover.ko", "failover")
    module(modules / "net", "failover.ko")
    module(modules / "virtio", "virtio.ko")
    module(modules / "virtio", "virtio_ring.ko", "virtio")
    module(modules / "virtio", "virtio_pci.ko", "virtio", "virtio-pci-modern-dev")
    module(modules / "virtio", "virtio_pci_modern_dev.ko")
    return Kernel("6.1", "1", "v", "z", "k", str(modules), "ab")


def test_loading_order(kernel: Kernel) -> None:
    found = initramfs.find_modules(Path(str(kernel.modules_dir)), ("virtio_pci", "virtio_net"))
    names = [path.name for path in found]
    assert names == [
        "virtio.ko",
        "virtio_pci_modern_dev.ko",
        "virtio_pci.ko",
        "failover.ko",
        "net_failover.ko",
        "virtio_ring.ko",
        "virtio_net.ko",
    ]


def test_built_in_and_circular_modules(tmp_path: Path) -> None:
    module(tmp_path, "a.ko", "b", "builtin")
    module(tmp_path, "b.ko", "a")
    found = initramfs.find_modules(tmp_path, ("a", "none"))
    assert [path.name for path in found] == ["b.ko", "a.ko"]


def test_content(kernel: Kernel) -> None:
    path = initramfs.build(kernel, None)
    found = entries(gzip.decompress(path.read_bytes()))
    assert found["init"] == (0o120777, b"bin/busybox")
    assert found["etc/rc"][0] == 0o100755
    assert found["etc/modules"][1].split()[-1] == b"virtio_net.ko"
    assert "lib/modules/virtio_net.ko" in found
    assert found["bin/sh"] == (0o120777, b"busybox")
    assert "lib/kpy/kpy.ko" not in found
    assert "TRAILER!!!" in found
    # Every folder comes before what is in it.
    names = list(found)
    for place, name in enumerate(names):
        parent = name.rpartition("/")[0]
        assert not parent or parent in names[:place]


def test_same_inputs_same_bytes(kernel: Kernel) -> None:
    path = initramfs.build(kernel, None)
    before = path.read_bytes()
    path.unlink()
    assert initramfs.build(kernel, None).read_bytes() == before


def test_remade_when_the_module_changes(kernel: Kernel, tmp_path: Path) -> None:
    compiler = shutil.which("gcc-12") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no compiler to make a module-like object with")
    module_file = tmp_path / "kpy.ko"

    def compile_module(text: str) -> None:
        subprocess.run(
            [compiler, "-g", "-c", "-x", "c", "-", "-o", module_file],
            input=text,
            text=True,
            check=True,
        )

    compile_module("int first;")
    path = initramfs.build(kernel, module_file)
    before = path.stat()
    assert initramfs.build(kernel, module_file).stat().st_ino == before.st_ino
    compile_module("int second_one;")
    os.utime(module_file, (1, 1))
    found = entries(gzip.decompress(initramfs.build(kernel, module_file).read_bytes()))
    packed = found["lib/kpy/kpy.ko"][1]
    assert b"second_one" in packed
    assert b"debug_info" not in packed


def test_private_part_follows_the_common_one(kernel: Kernel, tmp_path: Path) -> None:
    target = tmp_path / "initrd"
    base = tmp_path / "base"
    base.write_bytes(b"x" * 7)
    initramfs.write_for_guest(target, base, {"TOKEN": "secret", "LOAD": "a=b c=d"})
    data = target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert data.startswith(b"x" * 7 + b"\0")
    mode, text = entries(data[8:])["etc/kpy.conf"]
    assert (mode, text) == (0o100600, b"TOKEN='secret'\nLOAD='a=b c=d'\n")


@pytest.mark.parametrize("value", ["it's", "a\nb"])
def test_settings_that_a_shell_would_misread(value: str) -> None:
    with pytest.raises(UserError):
        initramfs.private_part({"X": value})


@pytest.mark.parametrize("name", ["rc", "agent"])
def test_scripts_are_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", initramfs.ROOTFS / name], capture_output=True)
    assert done.returncode == 0, done.stderr
