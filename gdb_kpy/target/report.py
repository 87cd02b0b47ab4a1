# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kpy status` tells, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from gdb_kpy.core import heap, hooks
from gdb_kpy.core.errors import AbsentError, KpyError, NotReadyError
from gdb_kpy.core.mailbox import STATE_BUSY, STATE_DONE, STATE_POSTED, Mailbox
from gdb_kpy.core.memory import cstring, u32, u64
from gdb_kpy.core.vcpu import Mode, Vcpu
from gdb_kpy.target import gil, layout, objects, recover, symbols
from gdb_kpy.target.module import KpyModule
from gdb_kpy.target.session import Session

_COMM = 16


@dataclass(frozen=True)
class VcpuReport:
    """One vCPU."""

    cpu: int | None
    state: str
    irqs_on: bool
    where: str
    task: str
    pid: int | None


@dataclass(frozen=True)
class KernelReport:
    """The kernel and the file that describes it."""

    release: str
    build_id: str
    vmlinux: str
    kaslr_offset: int


@dataclass(frozen=True)
class HookReport:
    """One hook or callback."""

    kind: str
    target: str
    hits: int
    missed: int
    state: str


@dataclass(frozen=True)
class ModuleReport:
    """The module and what its interpreter is doing."""

    version: str
    abi: int
    release: str
    build_id: str
    text: int
    symbols: str
    symbols_note: str
    ready: bool
    gil: str
    tiers: dict[str, str]
    entries: list[str]
    counters: dict[str, int]
    layouts: dict[str, str | int]
    hooks: list[HookReport] = field(default_factory=list)
    heap_used: int = 0  # bytes
    heap_blocks: int = 0  # bytes


@dataclass
class Report:
    """Everything."""

    connection: str
    kernel: KernelReport
    vcpus: list[VcpuReport]
    module: ModuleReport | None = None
    why_no_module: str = ""
    notes: list[str] = field(default_factory=list)


def report(session: Session) -> Report:
    """Collect the report; kernel memory must be readable (`Session.view`)."""
    kernel = session.kernel
    found = Report(
        session.stub.name,
        KernelReport(kernel.release, kernel.build_id, str(kernel.path), kernel.offset),
        [],
    )
    try:
        found.vcpus = [_vcpu(session, vcpu) for vcpu in session.vcpus()]
    except NotReadyError as error:
        found.notes.append(str(error))
    try:
        loaded = session.module()
    except NotReadyError as error:
        found.why_no_module = str(error)
        return found
    found.module = _module(session, loaded, found.notes)
    if loaded.info.release != kernel.release:
        found.notes.append(f"the module was built for {loaded.info.release}")
    return found


def _vcpu(session: Session, vcpu: Vcpu) -> VcpuReport:
    rip = vcpu.registers["rip"]
    task, pid = _task(session, vcpu)
    in_user = vcpu.mode in (Mode.USER64, Mode.USER32)
    return VcpuReport(
        vcpu.cpu,
        "halted" if vcpu.halted else vcpu.mode.value,
        vcpu.irqs_on,
        f"{rip:#x}" if in_user else symbols.symbol_at(rip),
        task,
        pid,
    )


def _task(session: Session, vcpu: Vcpu) -> tuple[str, int | None]:
    """Return name and number of the vCPU's current task."""
    if vcpu.cpu is None:
        return "", None
    read = session.memory.read
    try:
        task = u64(read, vcpu.percpu_base + _current_task(session))
        off = symbols.offset_of("struct task_struct", "comm", "pid")
        return cstring(read, task + off["comm"], _COMM), u32(read, task + off["pid"])
    except KpyError:
        return "", None  # a detail; the rest of the report is worth having without it


def _current_task(session: Session) -> int:
    """Find the per-CPU pointer to the current task (in pcpu_hot from e57ef2ed97c1, v6.2, on)."""
    direct = session.kernel.percpu("current_task")
    if direct is not None:
        return direct
    hot = session.kernel.percpu("pcpu_hot")
    if hot is None:
        raise AbsentError("this kernel has no per-CPU pointer to the current task")
    return hot + symbols.offset_of("struct pcpu_hot", "current_task")["current_task"]


def _module(session: Session, loaded: KpyModule, notes: list[str]) -> ModuleReport:
    info = loaded.info
    read = session.memory.read
    holder = gil.holder(session, info)
    if holder is None:
        owner = "free"
    elif holder < 0:
        owner = "being taken or left"
    else:
        owner = f"held by CPU {holder}"
    state = info["addr.state"]
    counters = {name: u64(read, state + at) for name, at in info.group("off.state").items()}
    try:
        layouts = layout.identity(session)
    except KpyError as error:
        layouts = {}
        notes.append(f"the layout table cannot be read: {error}")
    ready = bool(u32(read, info["addr.ready"]))
    heap_used, heap_blocks = heap.used(read, info) if ready else (0, 0)
    return ModuleReport(
        info.version,
        info.abi,
        info.release,
        loaded.build_id,
        loaded.text,
        str(loaded.file or ""),
        loaded.file_note,
        ready,
        owner,
        _tiers(session, loaded, holder),
        _entries(session, loaded),
        counters,
        layouts,
        _hooks(session, notes),
        heap_used,
        heap_blocks,
    )


def _hooks(session: Session, notes: list[str]) -> list[HookReport]:
    found: list[HookReport] = []
    try:
        for hook in hooks.walk(objects.view(session).objects):
            state = "removed" if hook.removed else "enabled" if hook.enabled else "disabled"
            missed = sum(hook.missed().values())
            found.append(HookReport(hook.kind, hook.target, hook.counter("hits"), missed, state))
    except KpyError as error:
        notes.append(f"the list of hooks cannot be read: {error}")
    return found


def _tiers(session: Session, loaded: KpyModule, holder: int | None) -> dict[str, str]:
    """Say for each way of evaluating whether it works now, and if not what to do."""
    info = loaded.info
    read = session.memory.read
    if not u32(read, info["addr.ready"]):
        why = "not now: the interpreter is not running; `continue` and stop again"
        return {"eval": why, "-run": why}
    taken = recover.left_behind(session)
    if taken is not None:
        why = f"not now: vCPU {taken.thread - 1} is still in an evaluation whose debugger died; "
        return dict.fromkeys(("eval", "-run"), why + "`kpy recover` puts it back")
    state = Mailbox(u64(read, info["addr.run_mailbox"]), info).state(read)
    run = "available"
    if state in (STATE_BUSY, STATE_POSTED):
        run = "not now: an evaluation is under way; `kpy eval -run` alone waits for it"
    elif state == STATE_DONE:
        run += "; `kpy eval -run` alone shows the answer that nobody took"
    return {
        "eval": "available"
        if holder is None
        else "available once the CPU that has the GIL has run on to a safe point, which it does",
        "-run": run,
    }


_KINDS = ("session", "thread", "hook", "evaluation")
_MOST_ENTRIES = 200


def _entries(session: Session, loaded: KpyModule) -> list[str]:
    """Tell of every way in which something is inside Python, and the kernel call it is in."""
    info = loaded.info
    read = session.memory.read
    found: list[str] = []
    at = u64(read, info["addr.entries"])
    try:
        task_offsets = symbols.offset_of("struct task_struct", "comm", "pid")
        while at and len(found) < _MOST_ENTRIES:
            kind = u32(read, at + info["off.entry.kind"])
            task = u64(read, at + info["off.entry.task"])
            target = u64(read, at + info["off.entry.call.target"])
            text = _KINDS[kind] if kind < len(_KINDS) else f"kind {kind}"
            if task:
                comm = cstring(read, task + task_offsets["comm"], _COMM)
                text += f" in {comm} ({u32(read, task + task_offsets['pid'])})"
            if target:
                text += f", calls {symbols.symbol_at(target)}"
            found.append(text)
            at = u64(read, at + info["off.entry.next"])
    except KpyError as error:
        found.append(f"cut: {error}")
    return found
