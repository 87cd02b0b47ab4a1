# SPDX-License-Identifier: GPL-2.0-or-later
"""What describes structs: the table in the live module's memory, the kernel's DWARF and BTF."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gdb

from gdb_kpy.core.errors import AbsentError, CorruptError, KpyError, NotReadyError
from gdb_kpy.core.memory import cstring, u32, u64
from gdb_kpy.target import symbols
from gdb_kpy.target.session import Session
from struct_layout.btf import BtfSource, open_btf
from struct_layout.cache import cache_folder, keep, keep_newest, kept
from struct_layout.compare import Source, compare
from struct_layout.differences import DIFFERS, EQUAL
from struct_layout.dwarf import DwarfSource, open_dwarf
from struct_layout.model import LayoutError
from struct_layout.several import Several
from struct_layout.table import Table
from struct_layout.trust import Trust
from struct_layout.trust import trust as compare_one
from struct_layout.verdicts import LABELS, code_digest

_MOST_BYTES = 64 << 20
_MOST_MODULES = 2000
_MODULE_NAME = 64
_MOST_KEPT = 100
Progress = Callable[[int, int], None]

# The table is constant, or should be: it is read again when the guest may have changed it, but
# decoded once. With what it is of: the loaded module's debug info, and the stop of the guest.
_kept: tuple[object, int, Table] | None = None
# And so are the others for one kernel, a name for each.
_kernels: dict[tuple[str, str], BtfSource | DwarfSource] = {}


def table(session: Session) -> Table:
    """Read and decode the table."""
    global _kept
    info = session.module().info
    now = session.memory.generation
    if _kept is not None and _kept[:2] == (info, now):
        return _kept[2]
    at, size = info["addr.layout_table"], info.layout_size
    if size == 0:
        raise NotReadyError("the module was built without a layout table", "rebuild with make")
    if not 0 < size <= _MOST_BYTES:
        raise CorruptError(at, "size of the layout table", f"at most {_MOST_BYTES}", size)
    raw = session.memory.read(at, size)
    try:
        found = _kept[2] if _kept is not None and _kept[2].data == raw else Table(raw)
    except LayoutError as error:
        raise KpyError(str(error)) from None
    _kept = (info, now, found)
    return found


def dwarf(session: Session, progress: Progress | None = None) -> DwarfSource:
    """Open the DWARF of the vmlinux, if it still is the one that was verified."""
    kernel = session.kernel
    known = _kernels.get(("dwarf", kernel.build_id))
    if isinstance(known, DwarfSource) and known.path == kernel.path and known.is_current():
        return known
    try:
        found = open_dwarf(kernel.path, progress=progress)
    except LayoutError as error:
        raise KpyError(str(error)) from None
    if found.build_id != kernel.build_id:
        found.close()
        raise NotReadyError(
            f"{kernel.path} changed: build-id {found.build_id}, the running kernel has "
            f"{kernel.build_id}",
            "`kpy attach` again",
        )
    _kernels["dwarf", kernel.build_id] = found
    return found


def with_modules(session: Session, progress: Progress | None = None) -> Source:
    """Return the kernel's DWARF and that of the modules whose files GDB has read."""
    return Several(dwarf(session, progress), _module_dwarf)


def _module_dwarf() -> list[DwarfSource]:
    found = []
    for objfile in gdb.objfiles():
        name = objfile.filename or ""
        if name.endswith((".ko", ".ko.debug")):
            key = ("module", name)
            known = _kernels.get(key)
            if not isinstance(known, DwarfSource) or not known.is_current():
                try:
                    known = open_dwarf(name)
                except LayoutError:
                    continue  # without debug information, or not a file anymore
                _kernels[key] = known
            found.append(known)
    return found


def btf(session: Session) -> BtfSource:
    """Read the kernel's BTF from the guest's memory."""
    kernel = session.kernel
    key = ("btf", kernel.build_id)
    known = _kernels.get(key)
    if isinstance(known, BtfSource):
        return known
    start, stop = kernel.find("__start_BTF"), kernel.find("__stop_BTF")
    if start is None or stop is None or stop <= start:
        raise AbsentError("this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)", "use -source dwarf")
    if stop - start > _MOST_BYTES:
        raise CorruptError(start, "size of the BTF", f"at most {_MOST_BYTES}", stop - start)
    try:
        found = BtfSource(session.memory.read(start, stop - start), name="the kernel's BTF")
    except LayoutError as error:
        raise KpyError(str(error)) from None
    _kernels[key] = found
    return found


def all_btf(session: Session) -> Source:
    """Return the kernel's BTF and that of all loaded modules, from memory."""
    base = btf(session)
    return Several(base, lambda: _module_btf(session, base))


def _module_btf(session: Session, base: BtfSource) -> list[BtfSource]:
    """Read what the kernel keeps of its modules' BTF, from its own list of them."""
    head = session.kernel.find("btf_modules")
    if head is None:
        return []  # CONFIG_DEBUG_INFO_BTF_MODULES is off
    entry = symbols.offset_of("struct btf_module", "list", "btf", "module")
    inner = symbols.offset_of("struct btf", "data", "data_size")
    read = session.memory.read
    found: list[BtfSource] = []
    at = u64(read, head)
    for _ in range(_MOST_MODULES):
        if at == head:
            break
        place = at - entry["list"]
        about, module = u64(read, place + entry["btf"]), u64(read, place + entry["module"])
        size, data = u32(read, about + inner["data_size"]), u64(read, about + inner["data"])
        name = cstring(read, module + session.offsets.name, _MODULE_NAME)
        if 0 < size <= _MOST_BYTES:
            # One that was made for another kernel describes nothing here.
            with contextlib.suppress(LayoutError):
                found.append(BtfSource(read(data, size), base, f"the BTF of {name}"))
        at = u64(read, at)
    return found


def quick_btf(session: Session) -> BtfSource:
    """Return the BTF of the vmlinux file, which is that of the kernel as its build-id says."""
    kernel = session.kernel
    known = _kernels.get(("btf", kernel.build_id)) or _kernels.get(("file", kernel.build_id))
    if isinstance(known, BtfSource):
        return known
    try:
        found = open_btf(kernel.path)
    except LayoutError as error:
        raise KpyError(str(error)) from None
    _kernels["file", kernel.build_id] = found
    return found


class Quick(NamedTuple):
    """What the quick check found."""

    equal: int
    differing: list[str]


def quick_check(session: Session) -> Quick:
    """Compare the whole table with the BTF of the vmlinux file; done before, it is looked up."""
    found = table(session)
    code = code_digest()
    digest = hashlib.sha256((code or b"") + found.data).hexdigest()
    file = cache_folder("layout-checks") / f"{session.kernel.build_id}-{digest[:40]}"
    known = None if code is None else kept(file)
    if known is not None:
        return Quick(**json.loads(known))
    try:
        result = compare(found, quick_btf(session), labels=LABELS)
    except LayoutError as error:
        raise KpyError(str(error)) from None
    quick = Quick(
        result.counts()[EQUAL], [each.name for each in result.types if each.verdict == DIFFERS]
    )
    if code is not None:
        keep(file, json.dumps(quick._asdict()))
        keep_newest(file.parent, _MOST_KEPT)
    return quick


def trust(session: Session, name: str) -> Trust:
    """Say whether a struct of the table may be relied on: milliseconds, once the table was read."""
    try:
        return compare_one(table(session), quick_btf(session), name, LABELS)
    except LayoutError as error:
        return Trust(None, str(error))
    except AbsentError:
        return compare_one(table(session), dwarf(session), name)


def debug_file(path: Path) -> DwarfSource:
    """Open the DWARF of another file, a module's."""
    try:
        return open_dwarf(path)
    except LayoutError as error:
        raise KpyError(str(error)) from None


def known_names() -> list[str]:
    """Return the names of types in the table if it was read already; does not read it."""
    return [] if _kept is None else _kept[2].type_names()


def identity(session: Session) -> dict[str, str | int]:
    """Say what the table was built from and how much is in it."""
    found = table(session)
    return {
        "release": found.identity.release,
        "compiler": found.identity.compiler,
        "digest": found.identity.digest.hex(),
        "bytes": found.size,
        **found.counts(),
    }
