# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy status`: what GDB is attached to and what the guest is doing."""

from __future__ import annotations

import dataclasses

from gdb_kpy.commands.base import KpyCommand, paint, parse, show, show_json
from gdb_kpy.commands.layout import quick_line
from gdb_kpy.core.errors import KpyError
from gdb_kpy.target import report
from gdb_kpy.target import session as sessions
from gdb_kpy.target.report import HookReport, ModuleReport, Report, VcpuReport

_MOST_HOOKS = 20


class Status(KpyCommand):
    """Show what GDB is attached to: kernel, vCPUs, module, interpreter, hooks, layout table.

    Usage: kpy status [-json]

      -json  as JSON, for programs

    Example:
      kpy status

    """

    word = "status"
    options = ("-json",)

    def run(self, argument: str) -> None:
        """Collect and print."""
        options, words = parse(argument, flags=self.options)
        if words:
            raise KpyError(f"`kpy status` takes no argument ({words[0]})")
        with sessions.viewed() as session:
            found = report.report(session)
            check = quick_line(session) if found.module is not None else ("", True)
        if "-json" in options:
            show_json(dataclasses.asdict(found) | {"layout_check": check[0]})
        else:
            _show(found, check)


def _show(found: Report, check: tuple[str, bool]) -> None:
    kernel = found.kernel
    _line("guest", found.connection)
    _line("kernel", f"Linux {kernel.release}, KASLR offset {kernel.kaslr_offset:#x}")
    _line("symbols", f"{kernel.vmlinux} (build-id {kernel.build_id} verified)")
    for vcpu in found.vcpus:
        _line(f"CPU {'?' if vcpu.cpu is None else vcpu.cpu}", _vcpu(vcpu))
    if found.module is None:
        _line("module", paint(found.why_no_module, "warn"))
    else:
        _show_module(found.module, check)
    for note in found.notes:
        _line("note", paint(note, "warn"))


def _vcpu(vcpu: VcpuReport) -> str:
    text = f"{vcpu.state} in {vcpu.where}"
    if vcpu.state.startswith("kernel"):
        text += f", interrupts {'on' if vcpu.irqs_on else 'off'}"
    return f"{text}, task {vcpu.task} ({vcpu.pid})" if vcpu.pid is not None else text


def _show_module(module: ModuleReport, check: tuple[str, bool]) -> None:
    _line("module", f"kpy {module.version} at {module.text:#x}, debug ABI {module.abi}")
    _line("", module.symbols_note or f"symbols: {module.symbols or 'none (no file given)'}")
    _line("python", f"{'ready' if module.ready else 'not ready'}, GIL {module.gil}")
    _line("", ", ".join(f"{name} {value}" for name, value in module.counters.items()))
    for entry in module.entries:
        _line("", entry)
    if module.heap_blocks:
        _line("heap", f"{module.heap_used} of {module.heap_blocks} bytes are in use")
    for number, hook in enumerate(module.hooks[:_MOST_HOOKS]):
        _line("" if number else "hooks", _hook(hook))
    if len(module.hooks) > _MOST_HOOKS:
        _line("", f"and {len(module.hooks) - _MOST_HOOKS} more: `kpy status -json`")
    for tier, state in module.tiers.items():
        _line(tier, state if state.startswith("available") else paint(state, "warn"))
    if module.layouts:
        known = module.layouts
        _line("layouts", f"{known['records']} structs and unions, {known['bytes']} bytes")
        _line("", f"built for {known['release']} by {known['compiler']}")
    text, good = check
    _line("", text.removeprefix("Layouts: ") if good else paint(text, "warn"))


def _hook(hook: HookReport) -> str:
    text = f"{hook.kind}{f' on {hook.target}' if hook.target else ''}: {hook.hits} hits"
    if hook.missed:
        text += f", {hook.missed} missed"
    return text if hook.state == "enabled" else f"{text}, {hook.state}"


def _line(label: str, text: str) -> None:
    show(f"{paint(f'{label:<8}', 'head')} {text}")
