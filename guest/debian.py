# SPDX-License-Identifier: GPL-2.0-or-later
"""A private apt: Debian packages of any suite, unprivileged, signatures checked, nothing installed.

The mirror is the one of the machine's own apt configuration. Each suite family has its own
folder with sources, lists and state under the cache, so the machine's apt is never touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from guest.paths import cache_dir, make_dir, scratch, write_atomic
from guest.say import Progress, UserError, locked, note, size_text

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What each name stands for: (which of the machine's repositories, suite).
RELEASES = {
    "bookworm": (
        ("main", "bookworm"),
        ("main", "bookworm-updates"),
        ("security", "bookworm-security"),
    ),
    "bookworm-backports": (("main", "bookworm-backports"),),
    "bullseye": (("main", "bullseye"), ("security", "bullseye-security")),
    "trixie": (("main", "trixie"), ("security", "trixie-security")),
}
GONE = "the mirror no longer has a file that its lists name"
LISTS_MAX_AGE = 24 * 3600.0


class Repository(NamedTuple):
    """One repository of the machine's apt configuration."""

    uri: str
    suite: str
    components: frozenset[str]


class Package(NamedTuple):
    """One version of a binary package."""

    name: str
    version: str
    size: int
    depends: str


def apt_environment() -> dict[str, str]:
    """Return the environment for apt and dpkg: their messages are read by us, so in English."""
    env = dict(os.environ, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
    env.pop("APT_CONFIG", None)
    return env


def run_tool(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a Debian tool and return its output; an UserError carries its own complaint."""
    try:
        done = subprocess.run(
            command,
            env=env or apt_environment(),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise UserError(
            f"{command[0]} not found: kpy sets itself up with Debian's tools; run it on Debian 12"
        ) from None
    if done.returncode:
        raise UserError(explain(done.stderr or done.stdout, f"{command[0]} failed"))
    return done.stdout


def explain(output: str, otherwise: str) -> str:
    """Turn apt's many lines into one that names cause and remedy."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line[2:].strip() for line in lines if line.startswith("E:")] or [
        line[2:].strip() for line in lines if line.startswith(("W:", "Err:"))
    ]
    text = "\n".join(lines)
    if re.search(r"No space left|enough free space|disk quota", text, re.I):
        return (
            "the disk is full: free some space (kpy's cache is in " + f"{cache_dir()}), run again"
        )
    if re.search(r"Could not get lock|Unable to lock|frontend lock", "\n".join(errors)):
        return "apt is locked by another process: wait for it (or end it), then run again"
    if re.search(
        r"NO_PUBKEY|not signed|EXPKEYSIG|BADSIG|No good signature|signatures? (were|couldn)", text
    ):
        return (
            "the mirror's signature cannot be checked: install or update the package "
            f"debian-archive-keyring ({_first(errors)})"
        )
    if re.search(r"Release file .*(expired|not valid yet)", text):
        return (
            f"the mirror's index is out of date or this machine's clock is wrong: {_first(errors)}"
        )
    if " 404 " in text:
        return f"{GONE}: {otherwise}; run again for new lists"
    if re.search(
        r"Could not resolve|Temporary failure|Could not connect|Unable to connect|Connection "
        r"(failed|refused|timed out|reset)|Network is unreachable|Failed to fetch|Could not wait",
        text,
    ):
        found = re.search(r"[a-z+]+://[^\s/]+", text)
        where = f" {found.group(0)}" if found else ""
        return f"cannot reach the Debian mirror{where}: check the network or proxy, then run again"
    found = re.search(
        r"(?:Unable to locate|No packages found|find a source) ?(?:package for)? ?(.*)", text
    )
    if found:
        return f"the Debian mirror does not have it: {_first(errors)}"
    return f"{otherwise}: {_first(errors) or _first(lines[-1:])}"


def _first(lines: list[str]) -> str:
    return lines[0] if lines else ""


def parse_repositories(uris: str) -> list[Repository]:
    """Return the repositories in what `apt-get --print-uris update` prints."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in uris.splitlines():
        uri = line.split("'")[1] if line.count("'") >= 2 else ""
        if uri.startswith("cdrom:"):
            continue
        match = re.match(r"(.*?)/+dists/(.+)/InRelease$", uri)
        if match:
            found.setdefault((match.group(1), match.group(2)), set())
            continue
        for (base, suite), components in found.items():
            head = f"{base}/dists/{suite}/"
            match = re.match(r"([^/]+)/(?:binary-|source/)", uri[len(head) :])
            if uri.startswith(head) and match:
                components.add(match.group(1))
    return [Repository(base, suite, frozenset(parts)) for (base, suite), parts in found.items()]


def debian_mirrors(repositories: list[Repository]) -> dict[str, str]:
    """Pick Debian's own repositories: {'main': URI, 'security': URI}.

    Other vendors offer suites with Debian's names too: Debian's mirror is the one with a
    component main that offers most of Debian's suites. What is fetched must carry Debian's
    signature anyway.
    """
    names = re.compile(
        r"(bullseye|bookworm|trixie|forky|sid|stable|oldstable|testing|unstable)(-.*)?$"
    )
    scores: dict[str, int] = {}
    security = ""
    for repository in repositories:
        if "main" not in repository.components or not names.match(repository.suite):
            continue
        if repository.suite.endswith("-security"):
            security = security or repository.uri
            continue
        path = repository.uri.rstrip("/").rsplit("/", 1)[-1]
        scores[repository.uri] = scores.get(repository.uri, int(path == "debian")) + 1
    if not scores:
        raise UserError(
            "apt on this machine knows no Debian mirror (a source with suite bookworm and "
            "component main): add one to /etc/apt/sources.list, then run again"
        )
    mirrors = {"main": max(scores, key=lambda uri: scores[uri])}
    if security:
        mirrors["security"] = security
    return mirrors


class Apt:
    """The private apt of one Debian release; sources instead of binaries when asked."""

    def __init__(self, release: str, source: bool = False) -> None:
        self.release = release
        self.kind = "deb-src" if source else "deb"
        self.root = cache_dir() / "apt" / (release + ("-src" if source else ""))
        self.config = self.root / "apt.conf"
        self.stamp = self.root / "updated"

    def _environment(self) -> dict[str, str]:
        return dict(apt_environment(), APT_CONFIG=str(self.config))

    def _apt(self, *command: str, cwd: Path | None = None) -> str:
        return run_tool(*command, env=self._environment(), cwd=cwd)

    def _configure(self) -> None:
        for part in ("lists/partial", "archives/partial", "state", "parts"):
            make_dir(self.root / part)
        mirrors = debian_mirrors(parse_repositories(run_tool("apt-get", "--print-uris", "update")))
        signed = f" [signed-by={KEYRING}]" if KEYRING.exists() else ""
        sources = "".join(
            f"{self.kind}{signed} {mirrors[which]} {suite} main\n"
            for which, suite in RELEASES[self.release]
            if which in mirrors
        )
        # The machine's way to the network (proxies, timeouts, clock checks) is kept, its hooks
        # and index targets are not: they belong to the machine's own lists.
        network = "".join(
            line + "\n"
            for line in run_tool("apt-config", "dump").splitlines()
            if line.startswith("Acquire::")
            and not line.startswith(("Acquire::IndexTargets", "Acquire::Languages"))
        )
        write_atomic(self.root / "status", "")
        old = self.root / "sources.list"
        if not old.exists() or old.read_text() != sources:
            self.stamp.unlink(missing_ok=True)
        write_atomic(old, sources)
        write_atomic(
            self.config,
            f'Dir::Etc::main "/dev/null";\nDir::Etc::parts "{self.root}/parts";\n'
            f'Dir::Etc::sourcelist "{old}";\nDir::Etc::sourceparts "/dev/null";\n'
            f'Dir::Etc::preferences "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::State "{self.root}/state";\nDir::State::lists "{self.root}/lists";\n'
            f'Dir::State::status "{self.root}/status";\nDir::Cache "{self.root}";\n'
            f'Dir::Cache::archives "{self.root}/archives";\n'
            'Acquire::Languages { "none"; };\nAcquire::Retries "2";\n'
            'Acquire::GzipIndexes "true";\n'
            # As root, apt would want to download as another user, who cannot enter our cache.
            'APT::Sandbox::User "root";\n' + network,
        )

    def update(self, max_age: float = LISTS_MAX_AGE) -> None:
        """Fetch the package lists unless they are younger than `max_age` seconds."""
        with locked(self.root / "lock", "updates kpy's package lists"):
            self._configure()
            try:
                age = time.time() - self.stamp.stat().st_mtime
            except OSError:
                age = float("inf")
            if 0 <= age < max_age:
                return
            check_space(self.root, 200_000_000)
            note(f"  package lists of {self.release}{' (sources)' * (self.kind == 'deb-src')}")
            try:
                self._apt("apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any")
            except UserError as error:
                if age == float("inf"):
                    raise
                note(f"  not updated, the lists of {age / 86400:.0f} days ago serve: {error}")
                return
            write_atomic(self.stamp, "")

    def packages(self, *names: str) -> list[Package]:
        """Return every version of the named packages, newest first by apt's order."""
        try:
            text = self._apt("apt-cache", "show", "--", *names)
        except UserError:
            return []
        found = []
        for block in text.split("\n\n"):
            fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", block, re.M))
            if "Package" in fields and "Version" in fields:
                found.append(
                    Package(
                        fields["Package"],
                        fields["Version"],
                        int(fields.get("Size", "0")),
                        fields.get("Depends", ""),
                    )
                )
        return found

    def names(self, pattern: str) -> list[str]:
        """Return the names of the packages that match a regular expression."""
        found = self._apt("apt-cache", "pkgnames").split()
        return sorted(name for name in found if re.fullmatch(pattern, name))

    def source_checksums(self, name: str, version: str) -> dict[str, str]:
        """Return {file: SHA-256} of a source package from the signed index."""
        text = self._apt("apt-cache", "showsrc", "--only-source", "--", name)
        for block in text.split("\n\n"):
            if re.search(rf"^Version: {re.escape(version)}$", block, re.M):
                found = re.search(r"^Checksums-Sha256:\s*\n((?: .*\n?)+)", block, re.M)
                lines = found.group(1).splitlines() if found else []
                return {line.split()[2]: line.split()[0] for line in lines}
        raise UserError(f"the Debian mirror does not have the source {name} {version}")

    def download(self, package: Package) -> Path:
        """Return the .deb of a package, downloaded and verified by apt when it is not there."""
        archives = self.root / "archives"
        name = f"{package.name}_{package.version.replace(':', '%3a')}"
        for path in archives.glob(f"{name}_*.deb"):
            if path.stat().st_size == package.size:
                return path
        make_dir(archives)
        check_space(archives, package.size)
        with locked(self.root / "lock", "downloads packages"), scratch(archives, "get") as folder:
            self._fetch(
                folder,
                f"download {package.name} {package.version}",
                package.size,
                "download",
                f"{package.name}={package.version}",
            )
            for path in folder.glob("*.deb"):
                return path.replace(archives / path.name)
        raise UserError(f"apt downloaded nothing for {package.name}: run again")

    def download_source(self, name: str, version: str, folder: Path) -> list[Path]:
        """Download a source package's upstream archive into a folder, verified by apt."""
        self._fetch(
            folder,
            f"download source {name} {version}",
            0,
            "source",
            "--download-only",
            "--tar-only",
            f"{name}={version}",
        )
        return sorted(folder.iterdir())

    def _fetch(self, folder: Path, what: str, size: int, *command: str) -> None:
        progress = Progress(what, size)
        log = folder / ".apt.log"
        with log.open("w+") as output:
            process = subprocess.Popen(
                ["apt-get", "-q", *command],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                while process.poll() is None:
                    time.sleep(0.05)
                    places = (folder, self.root / "archives" / "partial")
                    sizes = [_size(path) for place in places for path in place.glob("*")]
                    progress.update(max(sizes, default=0))
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
            output.seek(0)
            text = output.read()
        log.unlink()
        if process.returncode:
            if " 404 " in text:
                # The mirror moved on since our lists were made.
                self.stamp.unlink(missing_ok=True)
            raise UserError(explain(text, what))
        progress.finish()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def check_space(folder: Path, needed: int) -> None:
    """Refuse early when the disk cannot hold what is about to be written."""
    free = shutil.disk_usage(folder).free
    if free < needed + 20_000_000:
        raise UserError(
            f"not enough disk space in {folder}: {size_text(needed)} needed, "
            f"{size_text(free)} free; free some or set XDG_CACHE_HOME to another disk"
        )
