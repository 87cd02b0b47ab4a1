# SPDX-License-Identifier: GPL-2.0-or-later
"""Proofs of equality and kept verdicts: what the comparison fact by fact says."""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import layout_kit as kit
import pytest
import test_layout_compare as seeded
from test_layout_btf import hard, with_btf

from struct_layout import proof, verdicts
from struct_layout.btf import BtfSource, open_btf, read_btf
from struct_layout.btf_writer import write_btf
from struct_layout.cache import cache_folder
from struct_layout.compare import CheckResult, Source, compare
from struct_layout.elf import section_bytes
from struct_layout.model import LayoutError, Record
from struct_layout.plain_elf import plain_section
from struct_layout.several import Several
from struct_layout.table import Table
from struct_layout.table_format import CRC_AT, checksum

LABELS = ("plugin", "btf")


def fact_by_fact(table: Table, other: Source) -> CheckResult:
    """Compare without any proof."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["struct_layout.compare"], "_proof", lambda *_: None)
        return compare(table, other, labels=LABELS)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proof") / "sample.c"
    path.write_text(seeded.SOURCE)
    return path


@pytest.fixture(scope="module")
def records(sample: Path) -> Path:
    return kit.records(sample)


@pytest.fixture(scope="module")
def btf(sample: Path) -> BtfSource:
    return open_btf(with_btf(kit.debug_info(sample)))


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, bytes]:
    """A table and the BTF of C that is hard to describe."""
    source = tmp_path_factory.mktemp("strange") / "hard.c"
    source.write_text(hard())
    return kit.table_of(source), read_btf(with_btf(kit.debug_info(source)))


@pytest.fixture(scope="module")
def kernel() -> tuple[Table, BtfSource]:
    found = kit.kernel()
    table = Path(found["folder"]) / "layout.table"
    return Table(table.read_bytes()), open_btf(found["vmlinux"])


def unproven(table: Table, btf: BtfSource) -> set[str]:
    found = proof.find_proof(table, btf)
    assert found is not None
    return {name for _, name, count in found.all() if count is None}


def test_equal_types_are_proven(records: Path, btf: BtfSource) -> None:
    table = seeded.table(kit.contents_of(records))
    assert unproven(table, btf) == set()
    result = compare(table, btf, labels=LABELS)
    assert result == fact_by_fact(table, btf)
    assert result.counts()["equal"] == 8 and result.member_counts()["equal"] == 34


# BTF has arrays of arrays as arrays, and tells the sign of enums only when one has a sign.
EQUAL_IN_BTF = {"order of two dimensions", "sign of an enum"}


@pytest.mark.parametrize("fault", seeded.FAULTS)
def test_a_seeded_fault_is_not_proven_equal(fault: str, records: Path, btf: BtfSource) -> None:
    contents = kit.contents_of(records)
    seeded.FAULTS[fault][0](contents)
    table = seeded.table(contents)
    result = compare(table, btf, labels=LABELS)
    assert result == fact_by_fact(table, btf)
    assert result.ok == (fault in EQUAL_IN_BTF)
    differing = {each.name for each in result.types if each.verdict == "differs"}
    assert differing <= unproven(table, btf)


def test_hard_types(strange: tuple[Table, bytes]) -> None:
    table, raw = strange
    btf = BtfSource(raw)
    result = compare(table, btf, labels=LABELS)
    assert result == fact_by_fact(table, btf)
    assert result.counts()["equal"] > 30
    assert len(unproven(table, btf)) < 10


def test_the_kernel(kernel: tuple[Table, BtfSource]) -> None:
    table, btf = kernel
    result = compare(table, btf, labels=LABELS)
    assert result.ok and result.counts()["equal"] > 5000
    assert result == fact_by_fact(table, btf)
    assert len(unproven(table, btf)) < 50


def outcome(table: bytes, btf: bytes, proven: bool) -> CheckResult | str:
    try:
        sources = Table(table), BtfSource(btf)
        return compare(*sources, labels=LABELS) if proven else fact_by_fact(*sources)
    except LayoutError as error:
        return str(error)


@pytest.mark.parametrize("what", ["table", "btf"])
def test_mutations_get_the_same_verdicts(what: str, strange: tuple[Table, bytes]) -> None:
    """One wrong bit: what either way can compare, both compare to the same facts."""
    whole, raw = strange
    chance = random.Random(7)
    differing = compared = 0
    for _ in range(300):
        table, btf = bytearray(whole.data), bytearray(raw)
        mutated = table if what == "table" else btf
        mutated[chance.randrange(24, len(mutated))] ^= 1 << chance.randrange(8)
        if what == "table":
            table[CRC_AT : CRC_AT + 4] = checksum(table).to_bytes(4, "little")
        proven, told = (outcome(bytes(table), bytes(btf), each) for each in (True, False))
        if isinstance(proven, CheckResult) and isinstance(told, CheckResult):
            assert proven == told
            compared += 1
            differing += not proven.ok
    assert compared > 100 and differing > 30


def raw_btf(*types: tuple[int, ...]) -> bytes:
    """Return BTF of these words, and of the names a (at 1) and leaf (at 3)."""
    words = [word for type in types for word in type]
    names = b"\0a\0leaf\0"
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 4 * len(words), 4 * len(words), len(names))
    return head + struct.pack(f"<{len(words)}I", *words) + names


STRUCT, CONST, POINTER = 4 << 24, 10 << 24, 2 << 24


@pytest.mark.parametrize(
    "types",
    [
        [(3, STRUCT | 1, 4, 0, 2, 0), (0, CONST, 2)],
        [(3, STRUCT | 1, 4, 1, 2, 0), (0, CONST, 2)],
        [(3, STRUCT | 1, 4, 0, 2, 0), (0, STRUCT | 2, 4, 0, 2, 0, 0, 2, 0)],
        [(3, STRUCT | 1, 4, 1, 2, 0), (0, POINTER, 2)],
        [(3, STRUCT | 1, 4, 1, 9, 0)],
        [(3, STRUCT | 1, 4, 99, 0, 0)],
        [(99, STRUCT | 1, 4, 1, 0, 0)],
    ],
    ids=["qualifier", "named", "struct", "pointer", "no such type", "no such name", "no tag"],
)
def test_types_that_contain_themselves_end(types: list[tuple[int, ...]], records: Path) -> None:
    """And names and types that are not there: one line says so, as without a proof."""
    table = seeded.table(kit.contents_of(records)).data
    raw = raw_btf(*types)
    told = outcome(table, raw, False)
    assert isinstance(told, str)
    assert outcome(table, raw, True) == told


def test_what_only_another_source_has(records: Path, btf: BtfSource) -> None:
    """Of a name that the first source lacks, or only declares, the others tell."""
    contents = kit.contents_of(records)
    table = seeded.table(contents)
    (leaf,) = table.find("leaf")
    alone = BtfSource(write_btf([leaf]))
    both = Several(alone, lambda: [btf])
    result = compare(table, both, labels=LABELS)
    assert result == fact_by_fact(table, both)
    assert result.counts()["equal"] == 8
    only = compare(table, Several(alone, list), labels=LABELS)
    assert only.counts()["equal"] == 1 and only.counts()["only in plugin"] == 7
    record = seeded.record(contents, "either")
    record.size += 8
    wrong = seeded.table(contents)
    assert compare(wrong, both, labels=LABELS) == fact_by_fact(wrong, both)
    assert not compare(wrong, both, labels=LABELS).ok


# ---- Kept verdicts -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder("layout-verdicts")


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CheckResult]]:
    """What was compared, and not looked up."""
    done: list[CheckResult] = []

    def counted(*arguments: object, **others: object) -> CheckResult:
        done.append(compare(*arguments, **others))  # type: ignore[arg-type]
        return done[-1]

    monkeypatch.setattr(verdicts, "compare", counted)
    yield done


def test_verdicts_are_kept(
    folder: Path, comparisons: list[CheckResult], records: Path, strange: tuple[Table, bytes]
) -> None:
    contents = kit.contents_of(records)
    table = seeded.table(contents)
    raw = write_btf(list(table.all_types()))
    first = verdicts.check_btf(table, raw)
    assert first.ok and verdicts.check_btf(table, raw) == first
    assert len(comparisons) == 1
    # Another table, another BTF: other files.
    seeded.shift(contents)
    wrong = seeded.table(contents)
    differs = verdicts.check_btf(wrong, raw)
    assert not differs.ok and len(comparisons) == 2
    assert verdicts.check_btf(wrong, raw) == differs and len(comparisons) == 2
    assert verdicts.check_btf(wrong, raw).render_text() == comparisons[1].render_text()
    other = verdicts.check_btf(table, write_btf([*table.find("leaf")]))
    assert other.counts()["only in plugin"] == 7 and len(comparisons) == 3
    assert len(list(folder.iterdir())) == 3


def test_a_damaged_file_is_not_taken(
    folder: Path, comparisons: list[CheckResult], strange: tuple[Table, bytes]
) -> None:
    table, raw = strange
    first = verdicts.check_btf(table, raw)
    (file,) = folder.iterdir()
    good = file.read_bytes()
    chance = random.Random(5)
    for round in range(40):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        file.write_bytes(bad[: chance.randrange(len(bad))] if round % 4 == 0 else bad)
        assert verdicts.check_btf(table, raw) == first
        assert len(comparisons) == 2 + round
        assert file.read_bytes() == good


def test_other_code_compares_anew(
    folder: Path, comparisons: list[CheckResult], strange: tuple[Table, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    table, raw = strange
    verdicts.check_btf(table, raw)
    monkeypatch.setattr(verdicts, "code_digest", lambda: b"another")
    verdicts.check_btf(table, raw)
    assert len(comparisons) == 2 and len(list(folder.iterdir())) == 2
    monkeypatch.setattr(verdicts, "code_digest", lambda: None)
    verdicts.check_btf(table, raw)
    assert len(comparisons) == 3 and len(list(folder.iterdir())) == 2


def test_the_code_that_compares_is_all_in_the_key() -> None:
    """What proof and verdicts import of the package, and what that imports, decides a verdict."""
    folder = Path(verdicts.__file__).parent
    needed, waiting = set(), ["verdicts", "proof"]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        for line in (folder / f"{name}.py").read_text().splitlines():
            if line.startswith("from struct_layout.") and " import " in line:
                waiting.append(line.split()[1].partition(".")[2])
            elif line.startswith("from struct_layout import "):
                waiting += [word.split()[0] for word in line.partition("import ")[2].split(",")]
    assert needed <= set(verdicts._CODE)


def test_few_files_are_kept(folder: Path, records: Path) -> None:
    table = seeded.table(kit.contents_of(records))
    for size in range(20):
        verdicts.check_btf(table, write_btf([Record("struct", "leaf", size, 1)]))
    assert len(list(folder.iterdir())) == 16


# ---- Sections ------------------------------------------------------------------------------------


def test_a_section_is_what_pyelftools_reads() -> None:
    modules = sorted(Path(kit.kernel()["modules_dir"]).rglob("*.ko"))[::200]
    assert len(modules) > 5
    for path in modules:
        for name in (".BTF", ".text", ".symtab"):
            assert plain_section(path, name) == section_bytes(path, name)
        assert plain_section(path, ".bss") is None


def test_unusual_elf_files_are_left_to_others(sample: Path, tmp_path: Path) -> None:
    good = with_btf(kit.debug_info(sample)).read_bytes()
    chance, path = random.Random(9), tmp_path / "bad"
    expected = section_bytes(sample.with_suffix(".btf.so"), ".BTF")
    for size in range(0, len(good), len(good) // 50):
        path.write_bytes(good[:size])
        assert plain_section(path, ".BTF") in (None, expected)
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(3):
            bad[chance.choice((chance.randrange(64), chance.randrange(len(bad))))] ^= 0xFF
        path.write_bytes(bad)
        found = plain_section(path, ".BTF")
        assert found is None or len(found) <= len(bad)
