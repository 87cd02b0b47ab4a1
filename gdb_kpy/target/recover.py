# SPDX-License-Identifier: GPL-2.0-or-later
"""Giving back a vCPU that was left in an evaluation by a debugger that died."""

from __future__ import annotations

from gdb_kpy.core.errors import NotReadyError
from gdb_kpy.core.memory import u64
from gdb_kpy.core.rescue import Rescue, Taken
from gdb_kpy.target.call import Call, Caller
from gdb_kpy.target.session import Session
from gdb_kpy.target.stub import forget_registers


def left_behind(session: Session) -> Taken | None:
    """Return what is known of a vCPU that is still taken."""
    return Rescue(session.module().info).read(session.memory.read)


def recover(session: Session) -> int | None:
    """Put that vCPU back as it was; return the CPU's number. Raises NotReadyError."""
    taken = left_behind(session)
    if taken is None:
        raise NotReadyError("no vCPU was left in an evaluation", "nothing has to be done")
    cpu = next((v for v in session.vcpus() if v.thread == taken.thread), None)
    if cpu is None:
        raise NotReadyError(f"the guest has no vCPU {taken.thread - 1}", "restart the guest")
    info = session.module().info
    call = Call(
        function=0,
        stack_top=u64(session.memory.read, info["addr.eval_stack_top"]),
        return_address=info["addr.eval_return"],
        seconds=0,
        abort=info.get("addr.eval_abort"),
    )
    Caller(session).recover(cpu, call, taken)
    forget_registers()
    return cpu.cpu
