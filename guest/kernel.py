# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's kernel: Debian's image, headers and DWARF of one version, or a tree of the user's.

Nothing is installed: packages are unpacked under the cache, and build/<release>/kernel.json says
where everything is.
"""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from guest import elf
from guest.debian import RELEASES, Apt, Package, apt_environment, check_space, explain, run_tool
from guest.paths import (
    BUILD,
    cache_dir,
    dump_json,
    make_dir,
    read_json,
    scratch,
    write_atomic,
    write_if_changed,
)
from guest.say import Progress, UserError, locked, note

FLAVOUR = "cloud-amd64"
# vmlinux with DWARF, unpacked headers and modules, with some room.
UNPACKED_SIZE = 900_000_000


class Kernel(NamedTuple):
    """Where the parts of one kernel are; None for what a user's own tree does not have."""

    release: str
    package_version: str | None
    vmlinux: str | None
    vmlinuz: str | None
    kdir: str
    modules_dir: str | None
    build_id: str | None


def load(release: str | None = None) -> Kernel:
    """Return the kernel that was set up (`release`, or the chosen one)."""
    name = release or chosen_release()
    data = read_json(BUILD / name / "kernel.json") if name else None
    if data is None:
        raise UserError("no kernel is set up: run 'make kernel' (or 'make')")
    return _parsed(data)


def _parsed(data: dict[str, Any]) -> Kernel:
    return Kernel(*(data.get(key) for key in Kernel._fields))  # type: ignore[arg-type]


def chosen_release() -> str | None:
    """Return the release in build/release."""
    try:
        return (BUILD / "release").read_text().strip() or None
    except OSError:
        return None


def record(kernel: Kernel) -> None:
    """Make a kernel the chosen one."""
    write_if_changed(BUILD / kernel.release / "kernel.json", dump_json(kernel._asdict()))
    write_if_changed(BUILD / "release", kernel.release + "\n")


def cached(release: str) -> Kernel | None:
    """Return a kernel from the cache, if it is there with all its files."""
    folder = cache_dir() / "kernel" / release
    data = read_json(folder / "kernel.json")
    if data is None:
        return None
    for name, size in data.get("files", {}).items():
        try:
            if (folder / name).stat().st_size != size:
                return None
        except OSError:
            return None
    return _parsed(data)


def setup(krel: str | None = None, kdir: Path | None = None) -> Kernel:
    """Have a kernel ready and chosen: the named one, the recorded one, or Debian's newest."""
    if kdir:
        own = from_tree(kdir)
        record(own)
        return own
    if krel == "newest":
        krel = None
    elif not krel:
        krel = chosen_release()
        data = read_json(BUILD / krel / "kernel.json") if krel else None
        if data and not data.get("package_version") and Path(str(data.get("kdir"))).is_dir():
            return _parsed(data)
    kernel = (cached(krel) if krel else None) or fetch(krel)
    record(kernel)
    return kernel


# ---- Debian's kernels ----


class Wanted(NamedTuple):
    """A kernel found on the mirror."""

    release: str
    version: str
    apt: Apt


def resolve(krel: str | None) -> Wanted:
    """Find a kernel release on the mirror, or Debian 12's newest."""
    apt = Apt("bookworm")
    apt.update()
    if krel is None:
        for package in apt.packages(f"linux-image-{FLAVOUR}"):
            found = re.search(r"linux-image-(\S+) \(= (\S+)\)", package.depends)
            if found:
                return Wanted(found.group(1), found.group(2), apt)
        raise UserError(f"the Debian mirror has no linux-image-{FLAVOUR} for bookworm")
    for name in RELEASES:
        apt = Apt(name)
        try:
            apt.update()
        except UserError as error:
            note(f"  {name}: {error}")
            continue
        versions = [package.version for package in apt.packages(f"linux-image-{krel}")]
        if versions and apt.packages(f"linux-image-{krel}-dbg"):
            return Wanted(krel, versions[0], apt)
    raise UserError(f"no kernel release '{krel}' on the mirror: {suggest(krel, available())}")


def available() -> dict[str, list[str]]:
    """Return the kernel releases with debug information, by Debian release, oldest first."""
    found = {}
    for name in RELEASES:
        apt = Apt(name)
        if not apt.stamp.exists():
            continue
        names = set(apt.names(r"linux-(image|headers)-\d.*"))
        found[name] = sorted(
            (
                release
                for release in (n[len("linux-image-") : -len("-dbg")] for n in names)
                # Meta packages have shorter numbers.
                if re.match(r"\d+\.\d+\.\d", release)
                and f"linux-image-{release}-dbg" in names
                and f"linux-headers-{release}" in names
            ),
            key=lambda r: [int(part) for part in re.findall(r"\d+", r)],
        )
    return found


def suggest(krel: str, releases: dict[str, list[str]]) -> str:
    """Name the releases that look like `krel`, else the newest cloud kernel of each suite."""
    every = [release for group in releases.values() for release in group]
    near = difflib.get_close_matches(krel, every, n=4, cutoff=0.75)
    newest = [
        next((release for release in reversed(group) if "cloud" in release), "")
        for group in releases.values()
    ]
    names = list(dict.fromkeys([*near, *filter(None, newest)]))
    return "there are e.g. " + ", ".join(names) if names else "and it offers none at all"


def fetch(krel: str | None) -> Kernel:
    """Download a kernel's packages and unpack what we need of them into the cache."""
    root = make_dir(cache_dir() / "kernel")
    with locked(root / "lock", "sets up a kernel"):
        note("kernel: look up the release")
        wanted = resolve(krel)
        there = cached(wanted.release)
        if there:
            return there
        note(f"kernel: {wanted.release}, version {wanted.version}")
        image, debug, *headers = packages_of(wanted)
        total = sum(package.size for package in (image, debug, *headers))
        check_space(root, total + UNPACKED_SIZE)
        files = {p.name: wanted.apt.download(p) for p in (image, *headers, debug)}
        with scratch(root, "new") as folder:
            new = folder / "kernel"
            new.mkdir()
            unpack_image(files[image.name], wanted.release, new)
            unpack_headers([files[p.name] for p in headers], wanted.release, new)
            unpack_vmlinux(files[debug.name], wanted.release, new / "vmlinux")
            identity = same_build(new / "vmlinux", new / "vmlinuz", wanted.release)
            place = root / wanted.release
            kernel = Kernel(
                wanted.release,
                wanted.version,
                str(place / "vmlinux"),
                str(place / "vmlinuz"),
                str(place / "kdir"),
                str(place / "modules"),
                identity,
            )
            sizes = {
                name: (new / name).stat().st_size
                for name in ("vmlinux", "vmlinuz", "kdir/Makefile", "kdir/.config")
            }
            data = {**kernel._asdict(), "files": sizes, "debug_package": str(files[debug.name])}
            write_atomic(new / "kernel.json", dump_json(data))
            if place.exists():
                shutil.rmtree(place)
            new.rename(place)
    return kernel


def packages_of(wanted: Wanted) -> list[Package]:
    """Return the packages image, debug, headers…, all of the same version."""

    def exact(name: str, version: str | None) -> Package:
        for package in wanted.apt.packages(name):
            if version in (None, package.version):
                return package
        raise UserError(f"the mirror has no {name} {version or ''}; try another KREL")

    image = exact(f"linux-image-{wanted.release}", wanted.version)
    debug = exact(f"linux-image-{wanted.release}-dbg", wanted.version)
    headers = [exact(f"linux-headers-{wanted.release}", wanted.version)]
    needs = r"(linux-(?:headers|kbuild)-[^\s,(|]+)(?: \((=|>=) ([^)]+)\))?"
    for name, relation, version in re.findall(needs, headers[0].depends):
        headers.append(exact(name, version if relation == "=" else None))
    return [image, debug, *headers]


def unpack_image(deb: Path, release: str, new: Path) -> None:
    """Take kernel, configuration and modules from the image package."""
    note("  unpack kernel and modules")
    raw = new / "raw"
    run_tool("dpkg-deb", "-x", str(deb), str(raw))
    (raw / "boot" / f"vmlinuz-{release}").rename(new / "vmlinuz")
    (raw / "boot" / f"config-{release}").rename(new / "config")
    for base in (raw / "lib", raw / "usr" / "lib"):
        if (base / "modules" / release).is_dir():
            (base / "modules" / release).rename(new / "modules")
    shutil.rmtree(raw)


def unpack_headers(debs: list[Path], release: str, new: Path) -> None:
    """Unpack the headers so that Kbuild accepts them where they are, at any place."""
    note("  unpack headers")
    tree = new / "headers"
    for deb in debs:
        run_tool("dpkg-deb", "-x", str(deb), str(tree))
    shutil.rmtree(tree / "usr" / "share", ignore_errors=True)
    (new / "kdir").symlink_to(f"headers/usr/src/linux-headers-{release}")
    makefile = new / "kdir" / "Makefile"
    makefile.write_text(relocate_makefile(makefile.read_text()))
    for path in (new / "kdir").iterdir():
        if path.is_symlink() and not path.exists():
            raise UserError(f"the headers of {release} have a link to nowhere: {path.name}")


def relocate_makefile(text: str) -> str:
    """Make the include of the common headers relative to the Makefile itself."""
    here = "$(dir $(realpath $(lastword $(MAKEFILE_LIST))))"
    return re.sub(r"^include /usr/src/", f"include {here}../", text, flags=re.M)


def unpack_vmlinux(deb: Path, release: str, target: Path) -> None:
    """Take only vmlinux from the debug package."""
    member = f"./usr/lib/debug/boot/vmlinux-{release}"
    progress = Progress("unpack vmlinux with debug information")
    with target.open("wb") as output, tempfile.TemporaryFile("w+") as errors:
        archive = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(deb)],
            env=apt_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        pick = subprocess.Popen(
            ["tar", "-x", "-O", "--occurrence=1", "-f", "-", member],
            env=apt_environment(),
            stdin=archive.stdout,
            stdout=output,
            stderr=errors,
        )
        if archive.stdout:
            archive.stdout.close()
        try:
            while pick.poll() is None:
                time.sleep(0.05)
                progress.update(target.stat().st_size)
        finally:
            for process in (pick, archive):
                if process.poll() is None:
                    process.terminate()
                process.wait()
        errors.seek(0)
        complaint = errors.read()
    if pick.returncode:
        raise UserError(explain(complaint, f"cannot take vmlinux from {deb.name}"))
    progress.total = target.stat().st_size
    progress.finish()


def same_build(vmlinux: Path, vmlinuz: Path, release: str) -> str | None:
    """Return the build-id of vmlinux; refuse when the boot image is of another build."""
    identity = elf.build_id(vmlinux)
    image = elf.bzimage_build_id(vmlinuz)
    if image and identity != image:
        raise UserError(
            f"vmlinux and the boot image of {release} are of different builds: build-id "
            f"{identity} in {vmlinux}, {image} in {vmlinuz}; rebuild or give matching ones"
        )
    return identity


# ---- a user's own tree ----


def from_tree(kdir: Path) -> Kernel:
    """Describe a kernel build or headers tree of the user's."""
    tree = kdir.expanduser().resolve()
    try:
        release = (tree / "include/config/kernel.release").read_text().strip()
    except OSError:
        raise UserError(
            f"{kdir} is no configured kernel tree (no include/config/kernel.release): "
            "give KDIR= a build tree after 'make modules_prepare', or a headers folder"
        ) from None
    if not re.fullmatch(r"[\w.+~-]+", release):
        raise UserError(f"{tree}/include/config/kernel.release holds no release: '{release}'")
    vmlinux = _existing(tree / "vmlinux", Path(f"/usr/lib/debug/boot/vmlinux-{release}"))
    vmlinuz = _existing(tree / "arch/x86/boot/bzImage", Path(f"/boot/vmlinuz-{release}"))
    modules = tree if _has_modules(tree) else _existing(Path(f"/lib/modules/{release}/kernel"))
    if vmlinux is None:
        note(f"kernel: {tree} has no vmlinux: no symbols for GDB and no layout check against DWARF")
    elif not elf.has_section(vmlinux, ".debug_info"):
        note(f"kernel: {vmlinux} has no DWARF (CONFIG_DEBUG_INFO): no layout check against it")
    if vmlinuz is None:
        note(f"kernel: {tree} has no arch/x86/boot/bzImage: the module builds, no guest can boot")
    identity = elf.build_id(vmlinux) if vmlinux else None
    if vmlinux and vmlinuz:
        identity = same_build(vmlinux, vmlinuz, release)
    return Kernel(
        release,
        None,
        str(vmlinux) if vmlinux else None,
        str(vmlinuz) if vmlinuz else None,
        str(tree),
        str(modules) if modules else None,
        identity,
    )


def _existing(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _has_modules(tree: Path) -> bool:
    return any((tree / "drivers").rglob("*.ko"))
