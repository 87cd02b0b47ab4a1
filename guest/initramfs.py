# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's root: busybox, the network driver, the module, and a shell agent.

Made without root rights and without cpio; the same inputs give the same bytes. Each guest gets a
small second archive behind it with its own token and parameters.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from guest import elf
from guest.kernel import Kernel
from guest.paths import BUILD, make_dir, write_atomic
from guest.say import UserError

HERE = Path(__file__).resolve().parent
ROOTFS = HERE / "rootfs"
BUSYBOX = Path("/bin/busybox")
AGENT_PORT = 2222
REPL_PORT = 9999
DRIVER = "virtio_net"
# virtio_pci finds the device; nothing that virtio_net needs names it.
BUS = "virtio_pci"

S_DIR, S_FILE, S_LINK, S_CHAR = 0o040000, 0o100000, 0o120000, 0o020000


class Cpio:
    """A newc cpio archive in memory."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.seen: set[str] = set()

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        raw = name.encode() + b"\0"
        numbers = (
            len(self.seen) + 1,  # inode
            mode,
            0,
            0,
            1,
            0,  # time: none, so that equal inputs give equal archives
            len(data),
            0,
            0,
            *device,
            len(raw),
            0,
        )
        header = b"070701" + b"".join(b"%08X" % number for number in numbers)
        self.seen.add(name)
        for part in (header + raw, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Add a folder, after its parents."""
        parent = name.rpartition("/")[0]
        if parent and parent not in self.seen:
            self.folder(parent)
        if name not in self.seen:
            self._entry(name, S_DIR | mode, b"")

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self.folder(name.rpartition("/")[0])
        self._entry(name, S_FILE | mode, data)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._entry(name, S_LINK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        """Add a character device."""
        self.folder(name.rpartition("/")[0])
        self._entry(name, S_CHAR | 0o600, b"", (major, minor))

    def bytes(self) -> bytes:
        """Return the archive."""
        data = b"".join(self.parts)
        trailer = Cpio()
        trailer._entry("TRAILER!!!", 0, b"")
        data += trailer.parts[0]
        return data + b"\0" * (-len(data) % 512)


def find_modules(modules_dir: Path, names: tuple[str, ...]) -> list[Path]:
    """Return the module files for `names` and all they depend on, in loading order.

    A name without a file is taken as built into the kernel.
    """
    files: dict[str, Path] = {}
    for path in sorted(modules_dir.rglob("*.ko*")):
        if path.name.endswith((".ko", ".ko.xz", ".ko.gz")):
            files.setdefault(path.name.split(".ko")[0].replace("-", "_"), path)
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in order or name in above or name not in files:
            return
        for needed in elf.module_depends(elf.read_module(files[name])):
            visit(needed.replace("-", "_"), (*above, name))
        order.append(name)

    for name in names:
        visit(name, ())
    return [files[name] for name in order]


def stripped(module: Path) -> bytes:
    """Return a module without its debug information, which is many times its size."""
    with tempfile.NamedTemporaryFile(suffix=".ko") as output:
        try:
            done = subprocess.run(
                ["strip", "--strip-debug", "-o", output.name, str(module)],
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            raise UserError("the program 'strip' is missing: run 'make packages'") from None
        if done.returncode:
            raise UserError(f"cannot strip {module}: {done.stderr.strip()}")
        return Path(output.name).read_bytes()


def applets(busybox: Path) -> list[str]:
    """Return the names busybox answers to."""
    try:
        done = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UserError(f"{busybox} does not run: run 'make packages'") from None
    return done.stdout.split()


def compose(kernel: Kernel, module: Path | None, busybox: Path) -> bytes:
    """Return the uncompressed archive."""
    archive = Cpio()
    for name in ("bin", "sbin", "proc", "sys", "dev", "tmp", "run", "root", "etc", "lib/modules"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    for name in applets(busybox):
        if name != "busybox":
            archive.link(f"bin/{name}", "busybox")
    archive.link("init", "bin/busybox")
    archive.file("etc/inittab", (ROOTFS / "inittab").read_bytes())
    archive.file("etc/rc", (ROOTFS / "rc").read_bytes(), 0o755)
    archive.file("sbin/agent", (ROOTFS / "agent").read_bytes(), 0o755)
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")
    archive.file("etc/hosts", b"127.0.0.1 localhost\n")
    drivers = find_modules(Path(kernel.modules_dir), (BUS, DRIVER)) if kernel.modules_dir else []
    names = []
    for path in drivers:
        names.append(path.name.split(".ko")[0] + ".ko")
        archive.file(f"lib/modules/{names[-1]}", elf.read_module(path))
    archive.file("etc/modules", "".join(name + "\n" for name in names).encode())
    if module:
        archive.file("lib/kpy/kpy.ko", stripped(module))
    return archive.bytes()


def fingerprint(kernel: Kernel, module: Path | None, busybox: Path) -> str:
    """Return a digest over what the archive is made from."""
    digest = hashlib.sha256()
    parts = [busybox, Path(__file__), *sorted(ROOTFS.iterdir()), *([module] if module else [])]
    for path in parts:
        info = path.stat()
        digest.update(f"{path} {info.st_size} {info.st_mtime_ns}\n".encode())
    digest.update(f"{kernel.modules_dir} {kernel.build_id} {kernel.package_version}".encode())
    return digest.hexdigest()


def build(kernel: Kernel, module: Path | None) -> Path:
    """Return the initramfs of a kernel, remade when one of its inputs changed."""
    found = shutil.which("busybox", path="/bin:/usr/bin:/sbin:/usr/sbin")
    busybox = Path(found) if found else BUSYBOX
    if not busybox.is_file():
        raise UserError("busybox is missing: run 'make packages'")
    folder = make_dir(BUILD / kernel.release)
    name = "initramfs.cpio.gz" if module else "initramfs-no-module.cpio.gz"
    path, stamp = folder / name, folder / f".{name}.stamp"
    wanted = fingerprint(kernel, module, busybox)
    if path.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return path
    data = gzip.compress(compose(kernel, module, busybox), compresslevel=1, mtime=0)
    write_atomic(path, data)
    write_atomic(stamp, wanted)
    return path


def private_part(settings: dict[str, str]) -> bytes:
    """Return the archive with one guest's own settings, as shell assignments."""
    text = ""
    for key, value in settings.items():
        if "'" in value or "\n" in value:
            raise UserError(f"a guest's setting cannot hold quotes or newlines: {key}={value!r}")
        text += f"{key}='{value}'\n"
    archive = Cpio()
    archive.folder("etc")
    archive.file("etc/kpy.conf", text.encode(), 0o600)
    return archive.bytes()


def write_for_guest(target: Path, base: Path, settings: dict[str, str]) -> None:
    """Write the initramfs of one guest: the common one and its private part."""
    data = base.read_bytes()
    data += b"\0" * (-len(data) % 4)
    write_atomic(target, data + private_part(settings), 0o600)
