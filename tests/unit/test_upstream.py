# SPDX-License-Identifier: GPL-2.0-or-later
"""The pinned MicroPython source: verified, unpacked whole or not at all, patched anew."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from guest.say import UserError  # noqa: E402
from micropython import upstream  # noqa: E402

PATCH = """--- a/py/vm.c
+++ b/py/vm.c
@@ -1,2 +1,2 @@
 one
-two
+{}
"""


def make_archive(path: Path, files: dict[str, str], top: str = "micropython-1/") -> upstream.Pin:
    with tarfile.open(path, "w:xz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return upstream.Pin("micropython", "trixie", "1-1", path.name, digest)


@pytest.fixture
def pin(tmp_path: Path) -> upstream.Pin:
    return make_archive(tmp_path / "m.orig.tar.xz", {"py/vm.c": "one\ntwo\n", "LICENSE": "MIT\n"})


def write_patch(tmp_path: Path, word: str, name: str = "0001-x.patch") -> Path:
    path = tmp_path / name
    path.write_text(PATCH.format(word))
    return path


def test_the_pin_is_whole() -> None:
    pin = upstream.read_pin()
    assert (pin.package, pin.version) == ("micropython", "1.25.0+ds-1")
    assert len(pin.sha256) == 64


@pytest.mark.parametrize("text", ["{}", "", '{"package": 1}'])
def test_broken_pin(tmp_path: Path, text: str) -> None:
    (tmp_path / "pin.json").write_text(text)
    with pytest.raises(UserError):
        upstream.read_pin(tmp_path / "pin.json")


def test_truncated_checksum_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "micropython" / "upstream.json").read_text()
    (tmp_path / "pin.json").write_text(text.replace("bea", "be"))
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        upstream.read_pin(tmp_path / "pin.json")


def test_unpacks_and_skips_when_valid(tmp_path: Path, pin: upstream.Pin) -> None:
    folder = upstream.prepare(pin, [], tmp_path)
    assert folder == tmp_path / "1-1"
    assert (folder / "py/vm.c").read_text() == "one\ntwo\n"
    before = (folder / "py/vm.c").stat().st_ino
    assert upstream.prepare(pin, [], tmp_path) == folder
    assert (folder / "py/vm.c").stat().st_ino == before


def test_changed_patch_is_applied_to_pristine_sources(tmp_path: Path, pin: upstream.Pin) -> None:
    folder = upstream.prepare(pin, [write_patch(tmp_path, "three")], tmp_path)
    assert (folder / "py/vm.c").read_text() == "one\nthree\n"
    other = upstream.prepare(pin, [write_patch(tmp_path, "four")], tmp_path)
    assert (other / "py/vm.c").read_text() == "one\nfour\n"
    plain = upstream.prepare(pin, [], tmp_path)
    assert (plain / "py/vm.c").read_text() == "one\ntwo\n"
    assert (folder / "py/vm.c").read_text() == "one\nthree\n"
    assert not list(tmp_path.glob("unpack.*"))


def test_patch_that_does_not_apply_leaves_the_old_sources(
    tmp_path: Path, pin: upstream.Pin
) -> None:
    folder = upstream.prepare(pin, [], tmp_path)
    bad = tmp_path / "bad.patch"
    bad.write_text(PATCH.format("x").replace("-two", "-no such line"))
    with pytest.raises(UserError, match=r"patches/bad\.patch does not apply"):
        upstream.prepare(pin, [bad], tmp_path)
    assert (folder / "py/vm.c").read_text() == "one\ntwo\n"
    assert upstream.prepare(pin, [], tmp_path) == folder


def test_damaged_archive_is_not_trusted(
    tmp_path: Path, pin: upstream.Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / pin.archive
    archive.write_bytes(archive.read_bytes()[:-10])
    asked: list[str] = []

    class NoNetwork:
        def __init__(self, release: str, source: bool) -> None:
            asked.append(release)

        def update(self) -> None:
            raise UserError("cannot reach the Debian mirror")

    monkeypatch.setattr(upstream, "Apt", NoNetwork)
    with pytest.raises(UserError, match="cannot reach"):
        upstream.prepare(pin, [], tmp_path)
    assert asked == ["trixie"]
    assert not (tmp_path / "1-1").exists()


def test_other_checksum_in_the_index(
    tmp_path: Path, pin: upstream.Pin, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / pin.archive).unlink()

    class Other:
        def __init__(self, release: str, source: bool) -> None: ...

        def update(self) -> None: ...

        def source_checksums(self, name: str, version: str) -> dict[str, str]:
            return {pin.archive: "0" * 64}

    monkeypatch.setattr(upstream, "Apt", Other)
    with pytest.raises(UserError, match="json pins"):
        upstream.prepare(pin, [], tmp_path)


def test_member_outside_its_folder(tmp_path: Path) -> None:
    pin = make_archive(tmp_path / "e.tar.xz", {"../../evil": "x"})
    with pytest.raises(UserError, match="outside its folder"):
        upstream.prepare(pin, [], tmp_path)
    assert not (tmp_path.parent / "evil").exists()


def test_link_replaces_links_and_folders(tmp_path: Path) -> None:
    target, name = tmp_path / "a", tmp_path / "build" / "micropython"
    target.mkdir()
    name.mkdir(parents=True)
    (name / "file").write_text("")
    upstream.link(target, name)
    assert os.readlink(name) == str(target)  # noqa: PTH115
    upstream.link(tmp_path / "b", name)
    assert os.readlink(name) == str(tmp_path / "b")  # noqa: PTH115
