# SPDX-License-Identifier: GPL-2.0-or-later
"""Which structs, unions and enums of the kernel's public headers are not in a table, and why."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from struct_layout.headers import OMIT, public_headers, skipped, source_tree
from struct_layout.model import Enum, Record
from struct_layout.table import Table

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DEFINITION = re.compile(
    r"\b(struct|union|enum)\s+(?:__\w+(?:\([^()]*\))?\s+)*([A-Za-z_]\w*)\s*\{", re.MULTILINE
)


def definitions(path: Path) -> set[tuple[str, str]]:
    """Return (kind, tag) of what the text of a header defines, whatever #if is around it."""
    text = _COMMENT.sub(" ", path.read_text("utf-8", "replace"))
    return set(_DEFINITION.findall(text))


def report(kdir: Path, table: Table) -> str:
    """Return the text of headers/missing.txt.

    What a header defines and the table lacks, though the header was compiled, is not defined
    in this configuration: it is counted apart.
    """
    base = source_tree(kdir) / "include"
    skip = skipped()
    there: set[tuple[str, str]] = set()
    inactive: set[tuple[str, str]] = set()
    omitted: set[tuple[str, str]] = set()
    missing: dict[tuple[str, str], str] = {}
    known: dict[str, set[str]] = {}
    for header in public_headers(kdir):
        for kind, tag in definitions(base / header):
            if tag not in known:
                known[tag] = {
                    type.kind if isinstance(type, Record) else "enum"
                    for type in table.find(tag)
                    if isinstance(type, (Record, Enum))
                }
            if kind in known[tag]:
                there.add((kind, tag))
            elif any(fnmatch.fnmatch(tag, glob) for glob in OMIT):
                omitted.add((kind, tag))
            elif header in skip:
                missing[kind, tag] = header
            else:
                inactive.add((kind, tag))
    for key in there | inactive:
        missing.pop(key, None)
    defined = len(there) + len(missing) + len(omitted)
    share = len(there) * 1000 // defined / 10
    lines = [
        "# Made by: python3 -m struct_layout headers --kdir KDIR --table layout.table",
        f"# {table.identity.release}: public headers define {defined} structs, unions and enums",
        f"# with a tag; {len(there)} ({share} %) are in the table, {defined - len(there)} are not.",
        f"# {len(inactive)} more are in the text of headers, but not in this configuration.",
        "",
        f"{len(omitted)} of {', '.join(OMIT)}: their bytes stand for bits, no memory looks so",
    ]
    by_header: dict[str, list[str]] = {}
    for (kind, tag), header in sorted(missing.items()):
        by_header.setdefault(header, []).append(f"{kind} {tag}")
    for header, names in sorted(by_header.items()):
        lines.append(f"{len(names)} of {header} ({skip[header]}): {', '.join(names)}")
    return "\n".join(lines) + "\n"
