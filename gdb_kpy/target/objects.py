# SPDX-License-Identifier: GPL-2.0-or-later
"""The interpreter's objects in the attached guest, and what the kernel knows about addresses."""

from __future__ import annotations

from gdb_kpy.core import linux_module
from gdb_kpy.core.c_values import Symbol
from gdb_kpy.core.debug_info import DebugInfo
from gdb_kpy.core.errors import AbsentError, FaultError, KpyError
from gdb_kpy.core.expression import Evaluator
from gdb_kpy.core.memory import u32, u64
from gdb_kpy.core.module_symbols import ModuleSymbols, Offsets
from gdb_kpy.core.names import Scope
from gdb_kpy.core.py_objects import Objects
from gdb_kpy.core.py_repr import Limits, Names, Repr
from gdb_kpy.target import layout, symbols
from gdb_kpy.target.session import Session
from struct_layout.table import Table

_EXPORT = "__ksymtab_"


class View:
    """Python objects of one loaded module; what is read is kept until the guest may have run."""

    def __init__(self, session: Session, info: DebugInfo) -> None:
        self._session = session
        self._modules: list[tuple[int, int, str]] | None = None
        self._version = session.memory.version
        self.info = info
        self.objects = Objects(session.memory.read, info, lambda: _table(session))
        self.names = Names(self._is_exported, self._module_of)
        self.scope = Scope(self.objects, self._kernel_symbol)
        self._symbols: ModuleSymbols | None = None

    def refresh(self) -> None:
        """Forget what may have changed since it was read."""
        if self._version != self._session.memory.version:
            self._version = self._session.memory.version
            self._modules = None
            self.objects.forget()

    def evaluator(self, repr: Repr) -> Evaluator:
        """Return what evaluates expressions; ``repr`` is for what they print on the way."""
        return Evaluator(self.objects, self.scope, self.names, repr)

    def repr(self, limits: Limits, radix: int = 0) -> Repr:
        """Return what writes values."""
        return Repr(self.objects, self.names, limits, radix)

    def _kernel_symbol(self, name: str) -> int | None:
        """Find a symbol in the kernel, else in its modules, the one loaded first first."""
        session = self._session
        found = session.kernel.find(name)
        if found is not None:
            return found
        try:
            if self._symbols is None:
                self._symbols = _module_symbols(session)
            modules = linux_module.walk(
                session.memory.read, session.kernel.address("modules"), session.offsets
            )
            for module in reversed(list(modules)):
                found = self._symbols.find(module.address, name)
                if found is not None:
                    return found
        except KpyError:
            pass  # a broken list of modules: what it had is not found
        return None

    def _is_exported(self, symbol: Symbol) -> bool:
        return self._kernel_symbol(symbol.name) == symbol.value and (
            self._kernel_symbol(_EXPORT + symbol.name) is not None
        )

    def _module_of(self, address: int) -> str | None:
        kernel = self._session.kernel
        start, end = kernel.find("_text"), kernel.find("_end")
        if start is not None and end is not None and start <= address < end:
            return None
        if self._modules is None:
            self._modules = _module_ranges(self._session)
        return next(
            (n for first, size, n in self._modules if first <= address < first + size), None
        )


_view: View | None = None


def view(session: Session) -> View:
    """Return the view of the loaded module; made anew when that is another one."""
    global _view
    info = session.module().info
    if _view is None or _view.info is not info:
        _view = View(session, info)
    _view.refresh()
    return _view


def _table(session: Session) -> Table | None:
    try:
        return layout.table(session)
    except KpyError:
        return None  # objects that need it say so


def _module_symbols(session: Session) -> ModuleSymbols:
    module = symbols.offset_of("struct module", "kallsyms")
    tables = symbols.offset_of("struct mod_kallsyms", "symtab", "num_symtab", "strtab")
    return ModuleSymbols(session.memory.read, Offsets(**module, **tables))


def _module_ranges(session: Session) -> list[tuple[int, int, str]]:
    """Return (address, size, name) of the memory of loaded modules."""
    read = session.memory.read
    try:
        off = symbols.offset_of("struct module", "core_layout.base", "core_layout.size")
        places = [(off["core_layout.base"], off["core_layout.size"])]
    except AbsentError:
        # Since commit ac3b43283923 (v6.4) text, data and read-only data are apart.
        first = symbols.offset_of("struct module", "mem")["mem"]
        each = symbols.offset_of("struct module_memory", "base", "size")
        step = symbols.size_of("struct module_memory")
        places = [
            (first + i * step + each["base"], first + i * step + each["size"]) for i in range(4)
        ]
    found = []
    try:
        for module in linux_module.walk(read, session.kernel.address("modules"), session.offsets):
            for base, size in places:
                found.append(
                    (
                        u64(read, module.address + base),
                        u32(read, module.address + size),
                        module.name,
                    )
                )
    except (FaultError, KpyError):
        pass  # a broken list of modules costs a detail
    return found
