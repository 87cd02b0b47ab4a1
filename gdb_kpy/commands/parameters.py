# SPDX-License-Identifier: GPL-2.0-or-later
"""`set kpy …` and `show kpy …`."""

from __future__ import annotations

from gdb_kpy.commands.base import Setting, SettingsPrefix


class EvalTimeout(Setting):
    """Milliseconds after which Python run by `kpy eval` is stopped."""

    set_doc = "Set the milliseconds after which Python run by `kpy eval` is stopped."
    show_doc = "Show the milliseconds after which Python run by `kpy eval` is stopped."
    word = "eval-timeout"
    default = 2000


_settings: dict[str, Setting] = {}


def register() -> None:
    """Give GDB the settings."""
    for verb in ("set", "show"):
        SettingsPrefix(verb)
    _settings["eval-timeout"] = EvalTimeout()


def eval_timeout_ms() -> int:
    """Return the current value; GDB's "unlimited" is taken as a day."""
    value = _settings["eval-timeout"].value
    return 86_400_000 if value is None else max(1, value)
