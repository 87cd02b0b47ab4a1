# SPDX-License-Identifier: GPL-2.0-or-later
"""kpy.ko in the running kernel: found in the kernel's list, described by its own kpy_debug_info."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gdb_kpy.core import debug_info, elf, linux_module
from gdb_kpy.core.errors import AbsentError, FaultError, NotReadyError
from gdb_kpy.target import symbols
from gdb_kpy.target.kernel import Kernel
from gdb_kpy.target.memory import Memory

NAME = "kpy"
_LOAD = "load it in the guest (`insmod kpy.ko`), then `kpy attach` again"
_BUILD_ID_SECTION = ".note.gnu.build-id"


@dataclass
class KpyModule:
    """The loaded module."""

    loaded: linux_module.Module
    sections: dict[str, int]
    build_id: str
    info: debug_info.DebugInfo
    file: Path | None = None  # the file its symbols come from
    file_note: str = ""  # why there are none, if there should be

    @property
    def text(self) -> int:
        """Return the start of its code."""
        return self.sections[".text"]

    @property
    def text_range(self) -> tuple[int, int]:
        """Return where its .text lies: up to the next section, as the kernel keeps no sizes."""
        later = [at for at in self.sections.values() if at > self.text]
        return self.text, min(later, default=self.text)


def offsets() -> linux_module.Offsets:
    """Take what is needed of ``struct module`` from the kernel's debug info."""
    names = (
        *("list", "name", "state", "syms", "num_syms", "gpl_syms", "num_gpl_syms"),
        *("extable", "num_exentries", "sect_attrs"),
    )
    found = symbols.offset_of("struct module", *names)
    attrs = symbols.offset_of("struct module_sect_attrs", "nsections", "attrs")
    attr = symbols.offset_of("struct module_sect_attr", "battr.attr.name", "address")
    return linux_module.Offsets(
        **found,
        **attrs,
        attr_size=symbols.size_of("struct module_sect_attr"),
        attr_name=attr["battr.attr.name"],
        attr_address=attr["address"],
        ksym_size=symbols.size_of("struct kernel_symbol"),
    )


def find(memory: Memory, kernel: Kernel, off: linux_module.Offsets) -> linux_module.Module:
    """Find kpy in the kernel's list of modules; raises when it is not there or not whole."""
    found = linux_module.find(memory.read, kernel.address("modules"), off, NAME)
    if found is None:
        raise NotReadyError("kpy.ko is not loaded in the guest", _LOAD)
    if found.state != linux_module.STATE_LIVE:
        what = linux_module.STATES.get(found.state, f"in state {found.state}")
        raise NotReadyError(f"kpy.ko is {what}", "`continue` until that is done")
    return found


def read(memory: Memory, found: linux_module.Module, off: linux_module.Offsets) -> KpyModule:
    """Read what the module tells about itself."""
    sections = linux_module.sections(memory.read, found, off)
    if ".text" not in sections:
        raise AbsentError("the kernel's list of kpy's sections has no .text")
    try:
        at = linux_module.exported(memory.read, found, off, "kpy_debug_info")
    except AbsentError:
        raise NotReadyError(
            "the loaded module named kpy exports no kpy_debug_info", "rebuild with make and reload"
        ) from None
    info = debug_info.parse(memory.read, at)
    return KpyModule(found, sections, build_id(memory, sections), info)


def build_id(memory: Memory, sections: dict[str, int]) -> str:
    """Read the build-id of the module that lies at these sections."""
    at = sections.get(_BUILD_ID_SECTION)
    if at is None:
        return ""
    try:
        return elf.build_id(memory.read(at, 36))
    except FaultError:
        return ""


def load_symbols(module: KpyModule, path: Path) -> None:
    """Give GDB the module's symbols if the file is the one that is loaded; else note why not."""
    file = elf.ElfFile(path)
    if module.build_id and file.build_id() != module.build_id:
        module.file_note = (
            f"no symbols: {path} has build-id {file.build_id() or 'none'}, "
            f"the loaded module {module.build_id} (give its file by -module)"
        )
        return
    addresses = {
        name: at
        for name, at in module.sections.items()
        if name.startswith((".text", ".data", ".bss", ".rodata", ".exit.text", ".noinstr"))
        and file.section(name) is not None
    }
    symbols.drop(module.text)
    symbols.load_module(path, addresses)
    module.file = path
