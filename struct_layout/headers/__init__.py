# SPDX-License-Identifier: GPL-2.0-or-later
"""What the plugin is shown: core.c first, then every public header of the kernel that compiles.

Which headers there are is read from the kernel's own tree; headers of the machine come with
those that include them. `skip.txt` names the headers that stay out, with the reason, and
`apart.txt` those that do not go together with others and are compiled in a second unit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
# In this order.
_FOLDERS = (
    "linux", "net", "crypto", "keys", "clocksource", "memory", "ras", "rv", "uapi",
)  # fmt: skip
# Structs that stay out: each byte of them stands for one bit of a device's command.
OMIT = ("mlx5_ifc_*",)
# Tags that a file of the kernel has for another type of its own: in the table without a name.
AMBIGUOUS = ("cstate", "mac_addr", "map_info", "state")
_CORE_INCLUDE = re.compile(r"^#include <(.+)>", re.MULTILINE)


class Unit(NamedTuple):
    """A translation unit that shows headers to the plugin."""

    name: str
    text: str
    optional: bool = False  # whether its headers may be left out when they do not compile


def source_tree(kdir: Path) -> Path:
    """Return the folder with include/ of the sources: Debian and O= builds keep it elsewhere."""
    if (kdir / "source/include").is_dir():
        return (kdir / "source").resolve()
    try:
        text = (kdir / "Makefile").read_text("utf-8")
    except OSError:
        return kdir
    found = re.match(r"include (?:\$\(.*\))?(\S+)/Makefile\s*$", text.split("\n", 1)[0])
    if found:
        tree = (kdir.resolve() / found.group(1)).resolve()
        if (tree / "include").is_dir():
            return tree
    return kdir


def public_headers(kdir: Path) -> list[str]:
    """Return all public headers, by the names that #include uses, in the order to include them."""
    tree = source_tree(kdir)
    found: list[str] = []
    for folder in _FOLDERS:
        base = tree / "include"
        paths = (base / folder).rglob("*.h")
        # Its asm/ is the same as asm/ of the kernel, but for what the kernel overrides.
        found += sorted(
            name
            for name in (str(path.relative_to(base)) for path in paths)
            if not name.startswith(("uapi/asm", "linux/asm"))
        )
    return found


def skipped() -> dict[str, str]:
    """Return the headers that stay out, with the reason."""
    return dict(line.split("	", 1) for line in _lines("skip.txt"))


def _lines(name: str) -> list[str]:
    text = (HERE / name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def units(kdir: Path) -> list[Unit]:
    """Return the units of the header set."""
    core = (HERE / "core.c").read_text("utf-8")
    known = {*_CORE_INCLUDE.findall(core), *skipped()}
    tree = source_tree(kdir)
    second = [
        header for header in _lines("apart.txt") if (tree / "include" / header.lstrip("+")).exists()
    ]
    headers = [header for header in public_headers(kdir) if header not in known]
    groups = {
        "public": [header for header in headers if header not in second],
        "apart": [header.lstrip("+") for header in second],
    }
    return [
        Unit(name, core + "".join(f"#include <{header}>\n" for header in found), optional=True)
        for name, found in groups.items()
    ]
