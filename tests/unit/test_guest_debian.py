# SPDX-License-Identifier: GPL-2.0-or-later
"""The private apt: which mirror it takes, what it says, that half downloads are not trusted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guest import debian, packages
from guest.debian import Apt, Package, Repository
from guest.say import UserError

URIS = """\
'http://mirror.test/debian/dists/bookworm/InRelease' x 0
'http://mirror.test/debian/dists/bookworm-updates/InRelease' x 0
'http://mirror.test/debian-security/dists/bookworm-security/InRelease' x 0
'https://vendor.test/linux/debian/dists/bookworm/InRelease' x 0
'https://vendor.test/sdk/dists/sdk-bookworm/InRelease' x 0
'http://mirror.test/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0
'http://mirror.test/debian/dists/bookworm/main/source/Sources.xz' x 0
'http://mirror.test/debian/dists/bookworm/non-free-firmware/binary-amd64/Packages.xz' x 0
'http://mirror.test/debian/dists/bookworm-updates/main/binary-amd64/Packages.xz' x 0
'http://mirror.test/debian-security/dists/bookworm-security/main/binary-amd64/Packages.xz' x 0
'https://vendor.test/linux/debian/dists/bookworm/stable/binary-amd64/Packages.xz' x 0
'https://vendor.test/sdk/dists/sdk-bookworm/main/binary-amd64/Packages.xz' x 0
"""


def test_repositories() -> None:
    found = debian.parse_repositories(URIS)
    assert found[0] == Repository(
        "http://mirror.test/debian", "bookworm", frozenset({"main", "non-free-firmware"})
    )
    assert [repository.suite for repository in found][2:] == [
        "bookworm-security",
        "bookworm",
        "sdk-bookworm",
    ]


def test_mirrors() -> None:
    assert debian.debian_mirrors(debian.parse_repositories(URIS)) == {
        "main": "http://mirror.test/debian",
        "security": "http://mirror.test/debian-security",
    }


def test_mirror_without_the_usual_name() -> None:
    uris = "'http://x.test/d12/dists/stable/InRelease' x 0\n"
    uris += "'http://x.test/d12/dists/stable/main/binary-amd64/Packages.xz' x 0\n"
    assert debian.debian_mirrors(debian.parse_repositories(uris)) == {"main": "http://x.test/d12"}


@pytest.mark.parametrize("text", ["", "'cdrom:[x]/dists/bookworm/InRelease' x 0", URIS[-150:]])
def test_no_mirror(text: str) -> None:
    with pytest.raises(UserError, match="knows no Debian mirror"):
        debian.debian_mirrors(debian.parse_repositories(text))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (
            "Err:1 http://m.test/debian bookworm InRelease\nE: Failed to fetch http://m.test/debian/x",
            "cannot reach the Debian mirror http://m.test: check the network or proxy",
        ),
        (
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1",
            "apt is locked",
        ),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "the disk is full"),
        ("E: Write error - write (28: No space left on device)", "the disk is full"),
        ("E: Unable to locate package nothing", "the Debian mirror does not have it"),
        ("W: GPG error: NO_PUBKEY 1234", "debian-archive-keyring"),
        ("E: Release file for x is not valid yet (invalid for another 2d)", "clock is wrong"),
        ("E: Something new\nE: and more", "it failed: Something new"),
        ("", "it failed: "),
    ],
)
def test_apt_in_one_line(text: str, remedy: str) -> None:
    line = debian.explain(text, "it failed")
    assert remedy in line
    assert "\n" not in line


def fake_tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **tools: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, script in tools.items():
        path = folder / name.replace("_", "-")
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


GOOD = 'case "$*" in *--print-uris*) cat <<"X"\n' + URIS + "X\n;; esac\n"


def test_update_is_skipped_while_fresh(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = cache / "log"
    fake_tools(cache / "bin", monkeypatch, apt_get=f'echo "$@" >>{log}\n' + GOOD)
    Apt("bookworm").update()
    Apt("bookworm").update()
    assert log.read_text().count("update -o") == 1
    sources = (cache / "cache/kpy/apt/bookworm/sources.list").read_text()
    assert sources.count("\n") == 3
    assert "http://mirror.test/debian bookworm-updates main" in sources
    assert "http://mirror.test/debian-security bookworm-security main" in sources
    assert "vendor" not in sources
    assert "/etc/apt" not in (cache / "cache/kpy/apt/bookworm/apt.conf").read_text()


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = (
        GOOD
        + 'case "$*" in *update\\ -o*) echo "E: Failed to fetch http://m.test/x"; exit 100; esac'
    )
    fake_tools(cache / "bin", monkeypatch, apt_get=fails)
    with pytest.raises(UserError, match="cannot reach the Debian mirror"):
        Apt("bookworm").update()
    # With lists from before, they serve.
    stamp = cache / "cache/kpy/apt/bookworm/updated"
    stamp.write_text("")
    os.utime(stamp, (0, 0))
    Apt("bookworm").update()


def test_interrupted_download_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = "printf half >thing_1_amd64.deb; echo 'E: Failed to fetch http://m.test/x' >&2; exit 100"
    fake_tools(cache / "bin", monkeypatch, apt_get=half)
    with pytest.raises(UserError, match="cannot reach"):
        Apt("bookworm").download(Package("thing", "1", 8, ""))
    assert not list((cache / "cache/kpy/apt/bookworm/archives").rglob("*.deb"))
    fake_tools(cache / "bin", monkeypatch, apt_get="printf complete >thing_1_amd64.deb")
    path = Apt("bookworm").download(Package("thing", "1", 8, ""))
    assert path.read_text() == "complete"
    # What is there with the right size is taken; anything else is fetched anew.
    fake_tools(cache / "bin", monkeypatch, apt_get="exit 1")
    assert Apt("bookworm").download(Package("thing", "1", 8, "")) == path
    path.write_text("hal")
    with pytest.raises(UserError):
        Apt("bookworm").download(Package("thing", "1", 8, ""))


def test_package_gone_from_the_mirror(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = cache / "cache/kpy/apt/bookworm/updated"
    stamp.parent.mkdir(parents=True)
    stamp.write_text("")
    gone = "echo 'E: Failed to fetch http://m.test/x  404  Not Found' >&2; exit 100"
    fake_tools(cache / "bin", monkeypatch, apt_get=gone)
    with pytest.raises(UserError, match="no longer has a file"):
        Apt("bookworm").download(Package("thing", "1", 8, ""))
    assert not stamp.exists()


def test_no_disk_space(cache: Path) -> None:
    with pytest.raises(UserError, match="not enough disk space"):
        debian.check_space(cache, 1 << 60)


def test_not_a_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="run it on Debian 12"):
        debian.run_tool("apt-get", "--print-uris", "update")
    with pytest.raises(UserError, match="run it on Debian 12"):
        packages.missing(["gdb"])


# ---- packages ----


def test_nothing_missing_is_quiet(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    every = " ".join(name for group in packages.GROUPS.values() for name in group)
    fake_tools(
        cache / "bin",
        monkeypatch,
        dpkg_query=f'for p in {every}; do echo "$p installed"; done',
        apt_get="echo never; exit 1",
    )
    packages.install(list(packages.GROUPS))
    assert capfd.readouterr() == ("", "")


def test_neither_root_nor_sudo(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "root_command", lambda: None)
    fake_tools(cache / "bin", monkeypatch, dpkg_query="echo gdb installed\necho make not-installed")
    with pytest.raises(UserError) as caught:
        packages.install(["test"])
    assert str(caught.value).endswith("apt-get install --no-install-recommends socat")


def test_installs_with_a_lock_limit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = cache / "log"
    monkeypatch.setattr(packages, "root_command", list)
    fake_tools(
        cache / "bin",
        monkeypatch,
        dpkg_query=f"[ -s {log} ] && echo socat installed; exit 1",
        apt_cache="printf 'socat:\\n  Installed: (none)\\n  Candidate: 1\\n'",
        apt_get=f'echo "$@" >>{log}',
    )
    packages.install(["test"])
    (line,) = log.read_text().splitlines()
    assert "DPkg::Lock::Timeout=120" in line
    assert line.endswith("install -y --no-install-recommends socat")


def test_updates_first_when_a_package_is_unknown(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = cache / "log"
    monkeypatch.setattr(packages, "root_command", list)
    fake_tools(
        cache / "bin",
        monkeypatch,
        dpkg_query=f"[ -s {log} ] && echo socat installed; exit 1",
        apt_cache="exit 0",
        apt_get=f'echo "$@" >>{log}',
    )
    packages.install(["test"])
    assert [line.split()[5] for line in log.read_text().splitlines()] == ["update", "install"]


def test_outdated_package_lists(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists name a version that the mirror has replaced since."""
    log = cache / "log"
    monkeypatch.setattr(packages, "root_command", list)
    fake_tools(
        cache / "bin",
        monkeypatch,
        dpkg_query=f"grep -q again {log} 2>/dev/null && echo socat installed; exit 1",
        apt_cache="printf 'socat:\\n  Candidate: 1\\n'",
        apt_get='case "$*" in *update*) touch "$0.new" ;; esac\n'
        'if [ -e "$0.new" ]; then '
        f"echo again >>{log}; else "
        "echo 'E: Failed to fetch http://m.test/x  404  Not Found'; exit 100; fi",
    )
    packages.install(["test"])
    assert "again" in log.read_text()


def test_held_lock_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "root_command", list)
    fake_tools(
        cache / "bin",
        monkeypatch,
        dpkg_query="exit 1",
        apt_cache="printf 'socat:\\n  Candidate: 1\\n'",
        apt_get="echo 'Waiting for cache lock: Could not get lock'; "
        "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. Held by process 7'; exit 100",
    )
    with pytest.raises(UserError, match="apt is locked by another process"):
        packages.install(["test"])


def test_no_mirror_host_is_written_down() -> None:
    root = Path(__file__).resolve().parent.parent.parent
    words = ["debian" + ".org", "snapshot" + ".debian", "pypi" + ".org", "python" + "hosted"]
    for word in words:
        found = subprocess.run(
            ["git", "grep", "-lF", word], cwd=root, capture_output=True, text=True
        )
        if found.returncode > 1:
            pytest.skip("not a git checkout")
        assert found.stdout == "", f"{word} is written in {found.stdout}"
