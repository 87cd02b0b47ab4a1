# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong, one type per meaning; a command turns each into one line."""

from __future__ import annotations


class KpyError(Exception):
    """Base of every error whose text is meant for the user."""


class FaultError(KpyError):
    """Memory of the guest that cannot be read or written."""

    def __init__(self, address: int, size: int, verb: str = "read") -> None:
        super().__init__(f"cannot {verb} {size} bytes of guest memory at {address:#x}")
        self.address = address
        self.size = size


class AbsentError(KpyError):
    """Something that was looked for and is not there."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class CorruptError(KpyError):
    """Bytes in the guest that cannot be what they should be."""

    def __init__(self, address: int, what: str, expected: object, found: object) -> None:
        super().__init__(f"{what} at {address:#x}: expected {expected}, found {found}")
        self.address = address
        self.what = what
        self.expected = expected
        self.found = found


class NotReadyError(KpyError):
    """Something that cannot be done now; says why and what to do about it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}: {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class CallError(KpyError):
    """A call into the stopped guest that did not return; the guest was put back as it was."""
