# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdicts on a whole table against one BTF, kept: the same bytes compare the same way.

A file's name is the SHA-256 of the table, of the BTF and of the code that compares: what is
found is never out of date.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from struct_layout.cache import cache_folder, keep, keep_newest, kept
from struct_layout.compare import CheckResult, TypeResult, compare
from struct_layout.differences import ABSENT, EQUAL, ONLY_OURS, Difference
from struct_layout.table import Table

LABELS = ("plugin", "btf")
_FOLDER = "layout-verdicts"
_MOST_FILES = 16
_OTHER = -2  # as a number of members: told in full
# What a verdict depends on besides the bytes.
_CODE = (
    "btf", "cache", "compare", "differences", "model", "proof", "several", "table", "table_format",
    "table_names", "verdicts", "view",
)  # fmt: skip


def code_digest() -> bytes | None:
    """Return the SHA-256 of the code that compares, None when it cannot be read."""
    digest = hashlib.sha256()
    try:
        for name in _CODE:
            digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    except OSError:
        return None
    return digest.digest()


def check_btf(
    table: Table,
    raw: bytes,
    name: str = "BTF",
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Compare all of a table with a kernel's BTF, or look up what came of it."""
    code = code_digest()
    if code is None:
        return _compare(table, raw, name, progress)
    digest = hashlib.sha256(code)
    for part in (table.data, raw):
        digest.update(len(part).to_bytes(8, "little") + part)
    file = cache_folder(_FOLDER) / digest.hexdigest()
    known = kept(file)
    if known is not None:
        return CheckResult(_read(known), (), LABELS)
    result = _compare(table, raw, name, progress)
    keep(file, _written(result))
    keep_newest(file.parent, _MOST_FILES)
    return result


def _compare(
    table: Table, raw: bytes, name: str, progress: Callable[[int, int], None] | None
) -> CheckResult:
    from struct_layout.btf import whole_btf

    return compare(table, whole_btf(raw, name), labels=LABELS, progress=progress)


def _written(result: CheckResult) -> str:
    counts: list[int] = []
    others: list[TypeResult] = []
    for each in result.types:
        count = each.members.get(EQUAL, 0)
        plain = not (each.differences or each.variants)
        if plain and each.verdict == EQUAL and each.members == ({EQUAL: count} if count else {}):
            counts.append(count)
        elif plain and each.verdict == ONLY_OURS and not each.members:
            counts.append(ABSENT)
        else:
            counts.append(_OTHER)
            others.append(each)
    data = {"names": [each.name for each in result.types], "counts": counts, "others": others}
    return json.dumps(data, separators=(",", ":"))


def _read(text: str) -> tuple[TypeResult, ...]:
    data = json.loads(text)
    others = iter(data["others"])
    return tuple(
        TypeResult(name, EQUAL, {EQUAL: count} if count else {}, ())
        if count >= 0
        else TypeResult(name, ONLY_OURS, {}, ())
        if count == ABSENT
        else _told(*next(others))
        for name, count in zip(data["names"], data["counts"])
    )


def _told(name: str, verdict: str, members: dict[str, int], *rest: Any) -> TypeResult:
    differences, variants = rest
    return TypeResult(
        name, verdict, members, _differences(differences), tuple(map(_differences, variants))
    )


def _differences(found: list[list[Any]]) -> tuple[Difference, ...]:
    return tuple(
        Difference(path, what, ours, theirs, shift, tuple(within), natural)
        for path, what, ours, theirs, shift, within, natural in found
    )
