# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy recover`: after a debugger that died."""

from __future__ import annotations

from gdb_kpy.commands.base import KpyCommand, show
from gdb_kpy.core.errors import KpyError
from gdb_kpy.target import recover
from gdb_kpy.target import session as sessions


class Recover(KpyCommand):
    """Put back a vCPU that was left in an evaluation by a debugger that died.

    Usage: kpy recover

    While `kpy eval` runs, the registers of the vCPU it borrowed are kept in the guest. If GDB is
    killed in the middle, the vCPU stays in the evaluation; this command ends that and lets the
    vCPU go on where it was. `kpy status` says whether it is needed.

    Example:
      kpy recover

    """

    word = "recover"

    def run(self, argument: str) -> None:
        """Recover and tell."""
        if argument:
            raise KpyError(f"`kpy recover` takes no argument ({argument})")
        with sessions.viewed() as session:
            cpu = recover.recover(session)
        show(f"CPU {cpu} is back where it was before the evaluation.")
