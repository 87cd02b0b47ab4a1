# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy attach`: connect to a guest and find its kernel and module."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gdb_kpy.commands.base import COMPLETE_FILENAME, KpyCommand, paint, parse, show, tell
from gdb_kpy.commands.layout import quick_line
from gdb_kpy.core import qemu_core
from gdb_kpy.core.errors import KpyError, NotReadyError
from gdb_kpy.target import session as sessions
from gdb_kpy.target.session import Candidate
from guest import paths, registry

_VALUED = ("-vmlinux", "-module")


class Attach(KpyCommand):
    """Attach to a guest: connect, find and verify its kernel, load symbols, find kpy.ko.

    Usage: kpy attach [NAME | SOCKET | HOST:PORT | CORE] [-vmlinux FILE] [-module FILE]

    Without an address: the guest started by `python3 -m guest up`; NAME is that of another one.
    CORE is a file that `dump-guest-memory -p` of QEMU's monitor wrote.
    The kernel's place (KASLR) is found by itself, and the vmlinux is compared with the running
    kernel by build-id.
      -vmlinux FILE  the kernel with debug info; needed when the guest is not one of ours
      -module FILE   kpy.ko with debug info, for its C symbols
    Attach again after loading or reloading the module, or to switch guests.

    Example:
      kpy attach
      kpy attach localhost:1234 -vmlinux ~/vmlinux

    """

    word = "attach"
    options = _VALUED

    def complete_word(self, before: Sequence[str], last: str) -> Sequence[str] | int:
        """Complete names of guests and files."""
        names = [g.name for g in registry.guests() if g.alive and g.name.startswith(last)]
        return names if names and not (before and before[-1] in _VALUED) else COMPLETE_FILENAME

    def run(self, argument: str) -> None:
        """Attach and say to what."""
        options, words = parse(argument, valued=_VALUED)
        if len(words) > 1:
            raise KpyError(f"one address is enough, not {len(words)} ({' '.join(words)})")
        core = Path(words[0]).expanduser() if words and _is_core(words[0]) else None
        address, candidates = ("", _built()) if core else _where(words[0] if words else None)
        if "-vmlinux" in options:
            module = candidates[0].module if candidates else None
            candidates = [Candidate(_path(options["-vmlinux"]), module)]
        module_file = _path(options["-module"]) if "-module" in options else None
        if core is not None:
            session = sessions.attach_core(core, candidates, module_file, tell)
        else:
            session = sessions.attach(address, candidates, module_file, tell)
        with sessions.viewed():
            _report(session)


def _is_core(word: str) -> bool:
    path = Path(word).expanduser()
    return path.is_file() and qemu_core.is_core(path)


def _path(word: str) -> Path:
    path = Path(word).expanduser().absolute()
    if not path.is_file():
        raise NotReadyError(f"no file {path}", "give an existing file")
    return path


def _where(address: str | None) -> tuple[str, list[Candidate]]:
    """Return the address to connect to and the kernels that may run there."""
    if address is None:
        info = _only_guest().info
        return str(info["gdb_socket"]), [_candidate(info)]
    for guest in registry.guests():
        socket = str(guest.info.get("gdb_socket"))
        if guest.name == address and guest.alive:
            return socket, [_candidate(guest.info)]
        if _same(socket, address):
            return address, [_candidate(guest.info)]
    return address, _built()


def _only_guest() -> registry.Guest:
    """Return the running guest that needs no name: the default one, or the only one."""
    alive = [guest for guest in registry.guests() if guest.alive]
    if len(alive) > 1 and all(guest.name != registry.DEFAULT_NAME for guest in alive):
        names = ", ".join(guest.name for guest in alive)
        raise NotReadyError(f"several guests run ({names})", "`kpy attach NAME`")
    return registry.running()


def _candidate(info: dict[str, object]) -> Candidate:
    module = info.get("module")
    return Candidate(Path(str(info["vmlinux"])), Path(str(module)) if module else None)


def _same(socket: str, address: str) -> bool:
    try:
        return Path(socket).samefile(address)
    except OSError:
        return False


def _built() -> list[Candidate]:
    """Return the kernels that modules were built for here."""
    found = []
    for path in sorted(paths.BUILD.glob("*/kernel.json")):
        try:
            vmlinux = Path(json.loads(path.read_text())["vmlinux"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        module = path.with_name("kpy.ko")
        if vmlinux.is_file():
            found.append(Candidate(vmlinux, module if module.is_file() else None))
    return found


def _report(session: sessions.Session) -> None:
    kernel = session.kernel
    cpus = len(session.stub.threads())
    verb = "Opened" if isinstance(session, sessions.CoreSession) else "Attached to"
    show(
        f"{verb} {paint(session.stub.name, 'name')}: Linux {kernel.release}, "
        f"{cpus} vCPU{'s' if cpus != 1 else ''}."
    )
    show(
        f"Kernel symbols: {kernel.path} (build-id {kernel.build_id[:12]} verified), "
        f"KASLR offset {kernel.offset:#x}."
    )
    try:
        module = session.module()
    except NotReadyError as error:
        tell(paint(f"Kernel symbols only: {error}.", "warn"))
        return
    where = f"symbols from {module.file}" if module.file else module.file_note or "no symbols"
    show(f"Module: kpy {module.info.version} (debug ABI {module.info.abi}), {where}.")
    if module.info.release != kernel.release:
        tell(paint(f"The module was built for {module.info.release}.", "warn"))
    line, good = quick_line(session)
    if good:
        show(line)
    else:
        tell(paint(line, "warn"))
