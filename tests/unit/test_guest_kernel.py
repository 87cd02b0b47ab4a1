# SPDX-License-Identifier: GPL-2.0-or-later
"""Choosing a kernel: Debian's newest, a named one, one of the user's own."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest
from test_guest_elf import bzimage, elf_file

from guest import kernel, paths, setup
from guest.debian import Package
from guest.kernel import Kernel
from guest.say import UserError

REL = "6.1.0-9-cloud-amd64"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel, "BUILD", tmp_path / "build")
    return tmp_path


class FakeApt:
    """A mirror with two releases in bookworm and one in trixie."""

    index = {  # noqa: RUF012
        "bookworm": [
            Package("linux-image-cloud-amd64", "6.1.9-1", 1, f"linux-image-{REL} (= 6.1.9-1)"),
            Package(
                "linux-image-cloud-amd64",
                "6.1.8-1",
                1,
                "linux-image-6.1.0-8-cloud-amd64 (= 6.1.8-1)",
            ),
            Package(f"linux-image-{REL}", "6.1.9-1", 1, ""),
            Package(f"linux-image-{REL}-dbg", "6.1.9-1", 1, ""),
            Package(
                f"linux-headers-{REL}",
                "6.1.9-1",
                1,
                "linux-headers-6.1.0-9-common (= 6.1.9-1), linux-kbuild-6.1 (>= 6.1.9-1), gcc-12",
            ),
            Package("linux-headers-6.1.0-9-common", "6.1.9-1", 1, ""),
            Package("linux-kbuild-6.1", "6.1.9-2", 1, ""),
        ],
        "trixie": [
            Package("linux-image-6.12.1-cloud-amd64", "6.12.1-1", 1, ""),
            Package("linux-image-6.12.1-cloud-amd64-dbg", "6.12.1-1", 1, ""),
            Package("linux-headers-6.12.1-cloud-amd64", "6.12.1-1", 1, ""),
        ],
    }

    def __init__(self, release: str) -> None:
        self.release = release
        self.stamp = Path("/")

    def update(self) -> None:
        if self.release == "bullseye":
            raise UserError("cannot reach it")

    def packages(self, *names: str) -> list[Package]:
        return [p for p in self.index.get(self.release, []) if p.name in names]

    def names(self, pattern: str) -> list[str]:
        return [p.name for p in self.index.get(self.release, [])]


@pytest.fixture
def mirror(places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "Apt", FakeApt)
    return places


def test_newest_with_all_its_packages(mirror: Path) -> None:
    wanted = kernel.resolve(None)
    assert (wanted.release, wanted.version) == (REL, "6.1.9-1")
    assert [(p.name, p.version) for p in kernel.packages_of(wanted)] == [
        (f"linux-image-{REL}", "6.1.9-1"),
        (f"linux-image-{REL}-dbg", "6.1.9-1"),
        (f"linux-headers-{REL}", "6.1.9-1"),
        ("linux-headers-6.1.0-9-common", "6.1.9-1"),
        ("linux-kbuild-6.1", "6.1.9-2"),
    ]


def test_release_of_another_suite(mirror: Path) -> None:
    wanted = kernel.resolve("6.12.1-cloud-amd64")
    assert (wanted.version, wanted.apt.release) == ("6.12.1-1", "trixie")


def test_unknown_release_names_others(mirror: Path) -> None:
    with pytest.raises(UserError) as caught:
        kernel.resolve("6.1.0-7-cloud-amd64")
    line = str(caught.value)
    assert "no kernel release '6.1.0-7-cloud-amd64'" in line
    assert REL in line
    assert "6.12.1-cloud-amd64" in line
    assert "\n" not in line


def make_cached(places: Path) -> Kernel:
    folder = places / "cache/kpy/kernel" / REL
    (folder / "kdir").mkdir(parents=True)
    (folder / "vmlinux").write_text("vmlinux")
    found = Kernel(REL, "1", str(folder / "vmlinux"), "z", str(folder / "kdir"), "m", "ab")
    data = {**found._asdict(), "files": {"vmlinux": 7}}
    (folder / "kernel.json").write_text(json.dumps(data))
    return found


def test_cached_kernel_is_taken_quickly(
    places: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = make_cached(places)
    monkeypatch.setattr(kernel, "fetch", lambda krel: pytest.fail("fetched"))
    assert kernel.setup(REL) == found
    # Chosen now, and the files that make looks at stay untouched.
    stamp = places / "build" / "release"
    assert stamp.read_text() == REL + "\n"
    os.utime(stamp, (1, 1))
    started = time.monotonic()
    assert kernel.setup() == found
    assert time.monotonic() - started < 0.1
    assert stamp.stat().st_mtime == 1
    assert capfd.readouterr() == ("", "")
    assert kernel.load() == found
    data = json.loads((places / "build" / REL / "kernel.json").read_text())
    assert list(data) == list(Kernel._fields)


@pytest.mark.parametrize("damage", ["short", "gone"])
def test_damaged_cache_is_not_trusted(places: Path, damage: str) -> None:
    found = make_cached(places)
    if damage == "short":
        Path(str(found.vmlinux)).write_text("vml")
    else:
        Path(str(found.vmlinux)).unlink()
    assert kernel.cached(REL) is None


def test_half_results_go_away(tmp_path: Path) -> None:
    (tmp_path / "new.old").mkdir()
    with pytest.raises(KeyboardInterrupt), paths.scratch(tmp_path, "new") as new:
        assert not (tmp_path / "new.old").exists()
        (new / "vmlinux").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_makefile_becomes_relocatable() -> None:
    text = kernel.relocate_makefile("include /usr/src/linux-headers-6.1.0-9-common/Makefile\n")
    assert text == (
        "include $(dir $(realpath $(lastword $(MAKEFILE_LIST))))"
        "../linux-headers-6.1.0-9-common/Makefile\n"
    )


def test_other_build_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(elf_file())
    (tmp_path / "same").write_bytes(bzimage(gzip.compress(elf_file())))
    other = elf_file().replace(bytes(range(20)), bytes(20))
    (tmp_path / "other").write_bytes(bzimage(gzip.compress(other)))
    identity = bytes(range(20)).hex()
    assert kernel.same_build(tmp_path / "vmlinux", tmp_path / "same", REL) == identity
    with pytest.raises(UserError) as caught:
        kernel.same_build(tmp_path / "vmlinux", tmp_path / "other", REL)
    assert identity in str(caught.value)
    assert bytes(20).hex() in str(caught.value)


def make_tree(places: Path) -> Path:
    tree = places / "tree"
    (tree / "include/config").mkdir(parents=True)
    (tree / "include/config/kernel.release").write_text("6.6.6-mine\n")
    (tree / "vmlinux").write_bytes(elf_file())
    (tree / "arch/x86/boot").mkdir(parents=True)
    (tree / "arch/x86/boot/bzImage").write_bytes(bzimage(gzip.compress(elf_file())))
    (tree / "drivers/net").mkdir(parents=True)
    (tree / "drivers/net/virtio_net.ko").write_bytes(b"")
    return tree


def test_own_tree(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree = make_tree(places)
    found = kernel.setup(kdir=tree)
    assert found == Kernel(
        "6.6.6-mine",
        None,
        f"{tree}/vmlinux",
        f"{tree}/arch/x86/boot/bzImage",
        str(tree),
        str(tree),
        bytes(range(20)).hex(),
    )
    assert "has no DWARF" in capfd.readouterr().err
    # It stays the chosen one.
    assert kernel.setup() == found


def test_own_tree_tells_what_is_missing(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree = make_tree(places)
    (tree / "vmlinux").unlink()
    (tree / "arch/x86/boot/bzImage").unlink()
    found = kernel.setup(kdir=tree)
    assert (found.vmlinux, found.vmlinuz, found.build_id) == (None, None, None)
    told = capfd.readouterr().err
    assert "has no vmlinux" in told
    assert "no guest can boot" in told


@pytest.mark.parametrize("text", [None, "", "../evil\n", "a b"])
def test_no_tree(places: Path, text: str | None) -> None:
    tree = places / "tree"
    (tree / "include/config").mkdir(parents=True)
    if text is not None:
        (tree / "include/config/kernel.release").write_text(text)
    with pytest.raises(UserError):
        kernel.setup(kdir=tree)


def test_nothing_set_up(places: Path) -> None:
    with pytest.raises(UserError, match="run 'make kernel'"):
        kernel.load()


def test_make_passes_empty_choices(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Makefile exports KREL and KDIR even when they are empty."""
    asked: list[tuple[object, object]] = []
    monkeypatch.setattr(kernel, "setup", lambda krel, kdir: asked.append((krel, kdir)))
    monkeypatch.setattr("sys.argv", ["setup", "kernel"])
    monkeypatch.setenv("KREL", "")
    monkeypatch.setenv("KDIR", "")
    setup.main()
    monkeypatch.setenv("KDIR", "/src/linux")
    setup.main()
    assert asked == [(None, None), (None, Path("/src/linux"))]
