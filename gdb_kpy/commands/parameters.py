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


class MaxItems(Setting):
    """How many items of a container, or characters of a text, `kpy print` shows; 0: all."""

    set_doc = "Set how many items of a container, or characters of a text, are shown; 0: all."
    show_doc = "Show how many items of a container, or characters of a text, are shown."
    word = "max-items"
    default = 200


class MaxDepth(Setting):
    """How deep containers in containers are shown by `kpy print`; 0: all."""

    set_doc = "Set how deep containers in containers are shown; 0: all."
    show_doc = "Show how deep containers in containers are shown."
    word = "max-depth"
    default = 10


_settings: dict[str, Setting] = {}


def register() -> None:
    """Give GDB the settings."""
    for verb in ("set", "show"):
        SettingsPrefix(verb)
    for setting in (EvalTimeout, MaxItems, MaxDepth):
        _settings[setting.word] = setting()


def eval_timeout_ms() -> int:
    """Return the current value; GDB's "unlimited" is taken as a day."""
    value = _settings["eval-timeout"].value
    return 86_400_000 if value is None else max(1, value)


def max_items() -> int | None:
    """Return how many items are shown, None for all."""
    return _settings["max-items"].value


def max_depth() -> int | None:
    """Return how deep is shown, None for all."""
    return _settings["max-depth"].value
