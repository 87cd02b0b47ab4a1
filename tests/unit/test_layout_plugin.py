# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin's view of C against GCC's own DWARF and against pahole."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.compare import compare
from struct_layout.dwarf import open_dwarf
from struct_layout.model import Array, Enum, Function, Record, Type, Typedef, size_of, strip
from struct_layout.table import Table
from struct_layout.view import flatten, spell

HARD = Path(__file__).parent / "layout_hard.c"
# pahole 1.24 prints no layout for vectors, and for _Atomic only with DWARF 4.
UNKNOWN_TO_PAHOLE = {"atomic", "atomic_typedef", "atomic_pointer", "vector"}
ONE_BIG = "big-endian bitfields count from the other end"


@pytest.fixture(scope="module", params=kit.compilers(), autouse=True)
def gcc(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything here once for each GCC that is installed with its plugin headers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kit, "GCC", request.param)
        yield kit.GCC


@pytest.fixture(scope="module")
def hard(gcc: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("hard") / "hard.c"
    source.write_text(HARD.read_text())
    return source


@pytest.fixture(scope="module")
def table(hard: Path) -> Table:
    return kit.table_of(hard)


def record(table: Table, name: str) -> Record:
    found = strip(table.find(name)[0])
    assert isinstance(found, Record)
    return found


@pytest.mark.parametrize(
    "flags", [("-gdwarf-5",), ("-gdwarf-4",), ("-gdwarf-3", "-gstrict-dwarf"), ("-gz",)]
)
def test_equals_dwarf(hard: Path, table: Table, flags: tuple[str, ...]) -> None:
    with_flags = hard.with_name("flags" + "".join(flags) + ".c")
    with_flags.write_text(hard.read_text())
    result = compare(table, open_dwarf(kit.debug_info(with_flags, *flags)))
    assert result.ok, result.render_text()
    counts, members = result.counts(), result.member_counts()
    assert counts["only in plugin"] == 0, [r.name for r in result.types if r.verdict != "equal"]
    assert counts["equal"] >= 40
    assert members["equal"] > 130


def test_equals_dwarf_of_an_object_file(hard: Path, table: Table) -> None:
    """Not linked: its DWARF is full of relocations."""
    result = compare(table, open_dwarf(kit.debug_info(hard, link=False)))
    assert result.ok, result.render_text()
    assert result.counts()["equal"] >= 40


def only_padding(type: Type) -> bool:
    """Whether pahole takes a struct for empty: it has unnamed bitfields and nothing else."""
    while isinstance(type, (Array, Typedef)):
        type = type.target
    return isinstance(type, Record) and all(m.bits and not m.name for m in type.members)


def equals_pahole(table: Table, path: Path) -> int:
    """Compare the members of all structs that pahole prints, and count them."""
    theirs = kit.pahole(path)
    compared = 0
    for ours in table.records():
        if not ours.name or ours.incomplete or ours.local:
            continue
        name = f"{ours.kind} {ours.name}"
        if name not in theirs:
            continue
        size, members = theirs[name]
        assert ours.size == size, name
        flat = {f.path: f for f in flatten(ours) if "." not in f.path}
        for member in UNKNOWN_TO_PAHOLE - set(members):
            flat.pop(member, None)
        assert set(flat) == set(members), name
        for member, place in members.items():
            mine = flat[member]
            assert mine.offset == place.offset, f"{name}.{member}"
            if place.bits is not None or mine.bits is not None:
                assert mine.bits == place.bits, f"{name}.{member}"
            elif not only_padding(mine.type):
                assert (size_of(mine.type) or 0) == place.size, f"{name}.{member}"
            compared += 1
    return compared


def test_equals_pahole(hard: Path, table: Table) -> None:
    assert equals_pahole(table, kit.debug_info(hard)) >= 100


def test_what_c_means(table: Table) -> None:
    deep = {flat.path: flat for flat in flatten(record(table, "deep"))}
    assert deep["b1"].bits == 31
    assert deep["named.array[].leaf"].offset == deep["named"].offset + 32
    assert "matrix[][].twice" in deep
    assert "typed.never_used" not in deep  # has a name of its own: never_used_t

    arrays = {member.name: member.type for member in record(table, "arrays").members}
    zero, last = arrays["zero"], arrays["last"]
    assert isinstance(zero, Array) and zero.count == 0
    assert isinstance(last, Array) and last.count is None
    spelled = {name: spell(type, name or "") for name, type in arrays.items()}
    assert spelled["three"] == "int three[3][4][5]"
    assert spelled["to_array"] == "int (*to_array)[7]"
    assert spelled["deep"] == "int (*(*deep)(int, char *))[3]"
    assert spelled["handler"] == "void (*(*handler)(int, void (*)(int)))(int)"
    assert spelled["lots"] == "int *(*(*lots[2])(void))[5]"

    scalars = {m.name: spell(m.type, m.name or "") for m in record(table, "scalars").members}
    assert scalars["cv"] == "const volatile u32 cv"
    assert scalars["r"] == "u32 *restrict r"
    assert scalars["pointers"] == "const char *const *volatile pointers"
    assert scalars["old_style"] == "void (*old_style)()"
    assert scalars["no_arguments"] == "void (*no_arguments)(void)"
    assert scalars["variadic"] == "int (*variadic)(const char *, ...)"
    assert scalars["atomic"] == "_Atomic int atomic"

    bits = {member.name: member for member in record(table, "bits").members}
    assert bits["whole"].bits == 32 and spell(bits["whole"].type) == "int"
    assert None not in bits  # unnamed bitfields are padding
    assert record(table, "packed_bits").packed
    assert not record(table, "bits").packed
    assert record(table, "transparent").transparent


def test_enums(table: Table) -> None:
    def enum(name: str) -> Enum:
        found = strip(table.find(name)[0])
        assert isinstance(found, Enum)
        return found

    assert dict(enum("negative").constants)["NEGATIVE_A"] == -1
    assert enum("negative").signed and not enum("plain").signed
    assert dict(enum("top_bit").constants) == {"TOP_BIT": 1 << 63, "TOP_ALL": (1 << 64) - 1}
    assert dict(enum("large_negative").constants) == {"LARGE_NEGATIVE": -(1 << 40)}
    assert (enum("tiny").size, enum("small").size) == (1, 1)
    assert dict(enum("small").constants) == {"SMALL_A": -100}
    assert dict(enum("alias_enum").constants) == {"ALIAS_A": 7}
    constant = table.constant("NAMELESS_A")
    assert constant is not None and constant[1] == 42


def test_scopes_and_names(table: Table) -> None:
    scoped = table.find("scoped")
    assert [type.size for type in scoped if isinstance(type, Record)] == [4]
    assert not table.find("has_vla")  # local to a function
    assert not table.find("nowhere")  # never defined
    assert isinstance(table.find("never_used_t")[0], Typedef)
    assert record(table, "empty").size == 0
    assert record(table, "nothing_but_padding").members == ()


def test_declarations(table: Table) -> None:
    def spelled(name: str) -> str:
        declaration = table.declaration(name)
        assert declaration is not None, name
        return spell(declaration.type, name)

    assert spelled("variable_decl") == "const volatile int variable_decl"
    assert spelled("early_list") == "struct early *early_list[12]"
    assert spelled("twice_declared") == "int twice_declared(int, struct left *)"
    assert spelled("old_style_function") == "int old_style_function()"
    assert spelled("takes_transparent") == "int takes_transparent(transparent)"
    noreturn = table.declaration("never_returns")
    assert noreturn is not None and noreturn.noreturn and noreturn.function
    inlined = table.declaration("inlined")
    assert inlined is not None and inlined.static and inlined.inline
    takes_vla = table.declaration("takes_vla")
    assert takes_vla is not None and isinstance(takes_vla.type, Function)
    assert len(takes_vla.type.params) == 3


def test_with_reversed_storage_order(tmp_path: Path) -> None:
    source = tmp_path / "order.c"
    source.write_text(
        'struct __attribute__((scalar_storage_order("big-endian"))) swapped {\n'
        "\tint a; int b : 3; };\n"
    )
    assert record(kit.table_of(source), "swapped").reverse, ONE_BIG


@pytest.mark.parametrize("flags", [(), ("-O2",), ("-fsyntax-only",), ("-O2", "-flto")])
def test_compiles_with_any_flags(hard: Path, table: Table, flags: tuple[str, ...]) -> None:
    assert kit.table_of(hard, *flags).counts() == table.counts()


def test_an_error_leaves_no_records(tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("struct half { int a; }; struct broken { nonsense b; };\n")
    output = tmp_path / "broken.records"
    call = [kit.GCC, f"-fplugin={kit.plugin()}", f"-fplugin-arg-kpy_layout-output={output}"]
    done = subprocess.run(
        [*call, "-c", str(source), "-o", str(tmp_path / "x.o")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "internal compiler error" not in done.stderr
    assert list(tmp_path.glob("broken.records*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "-fplugin-arg-kpy_layout-output=FILE’ is missing"),
        (("-fplugin-arg-kpy_layout-colour=red",), "unknown argument ‘colour’"),
        (("-fplugin-arg-kpy_layout-output=/nonexistent/x",), "cannot write layout records"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    source = tmp_path / "a.c"
    source.write_text("int a;\n")
    done = subprocess.run(
        [kit.GCC, f"-fplugin={kit.plugin()}", *arguments, "-c", source, "-o", tmp_path / "a.o"],
        capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert "internal compiler error" not in done.stderr


def test_only_some_functions(tmp_path: Path) -> None:
    source = tmp_path / "some.c"
    source.write_text("int one(void); int two(int); void onetwo(void); int variable;\n")
    for wanted in ("one", "two,onetwo", ""):
        table = kit.table_of(source, f"-fplugin-arg-kpy_layout-functions={wanted}")
        names = {declaration.name for declaration in table.declarations()}
        assert names == {"variable", *filter(None, wanted.split(","))}


def test_lines_change_messages_only(hard: Path, table: Table, tmp_path: Path) -> None:
    lines = "-fplugin-arg-kpy_layout-lines"
    assert kit.table_of(hard, lines).data == table.data
    source = tmp_path / "broken.c"
    source.write_text("int fine;\n\nstruct broken { nonsense b; };\n")
    for flags, place in (((), "broken.c:3:17: error: "), ((lines,), "broken.c:3: error: ")):
        done = subprocess.run(
            [kit.GCC, "-c", f"-fplugin={kit.plugin()}", *flags, source, "-o", tmp_path / "x.o",
             f"-fplugin-arg-kpy_layout-output={tmp_path / 'records'}"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1 and place in done.stderr


def test_assembler_and_cplusplus_are_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "a.cc"
    source.write_text("struct a { int b; };\n")
    output = tmp_path / "a.records"
    kit.run(
        kit.GCC.replace("gcc", "g++"), f"-fplugin={kit.plugin()}",
        f"-fplugin-arg-kpy_layout-output={output}", "-c", source, "-o", tmp_path / "a.o",
    )  # fmt: skip
    assert not output.exists()


ODD = Path(__file__).parent / "layout_odd.c"


def test_odd_code(tmp_path: Path) -> None:
    source = tmp_path / "odd.c"
    source.write_text(ODD.read_text())
    for flags in ((), ("-O2",), ("-std=gnu17", "-O2", "-g")):
        table = kit.table_of(source, "-mavx", *flags)
    result = compare(table, open_dwarf(kit.debug_info(source, "-mavx")))
    assert result.ok, result.render_text()
    assert result.counts()["equal"] > 10
    # GCC's debug information leaves out what is declared in a list of parameters.
    alone = {type.name for type in result.types if type.verdict != "equal"}
    assert alone == {"struct only_in_parameters", "struct vla_in_parameters"}
    huge = record(table, "huge_array")
    assert huge.size == 0 and huge.opaque  # beyond what a table can say
    attributed = table.declaration("attributed")
    assert attributed is not None and isinstance(attributed.type, Function)
    assert attributed.noreturn
    constant = table.declaration("attributed_const")
    assert constant is not None and spell(constant.type, "f") == "int f(int)"


@pytest.mark.parametrize("path", [HARD, ODD], ids=["hard", "odd"])
def test_broken_code_breaks_no_compiler(tmp_path: Path, path: Path) -> None:
    """Whatever errors the parser has recovered from: never an internal compiler error."""
    chance = random.Random(11)
    lines = path.read_text().splitlines()
    source, output = tmp_path / "broken.c", tmp_path / "broken.records"
    failed = 0
    for _ in range(40):
        text = list(lines)
        for _ in range(chance.randint(1, 2)):
            at = chance.randrange(len(text))
            words = text[at].split(" ")
            del words[chance.randrange(len(words))]
            text[at] = " ".join(words)
        source.write_text("\n".join(text))
        done = subprocess.run(
            [kit.GCC, "-w", "-fsyntax-only", "-mavx", f"-fplugin={kit.plugin()}",
             f"-fplugin-arg-kpy_layout-output={output}", str(source)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in (0, 1) and "internal compiler error" not in done.stderr
        assert output.exists() == (done.returncode == 0)
        failed += done.returncode
        output.unlink(missing_ok=True)
    assert 0 < failed < 40


# ---- Random structs ------------------------------------------------------------------------------


class Maker:
    """Makes random struct definitions."""

    SCALARS = (
        "char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int",
        "long", "unsigned long", "long long", "_Bool", "float", "double", "void *", "enum shade",
        "__int128", "int *", "char (*)[3]",
    )  # fmt: skip
    FIELDS = (
        ("_Bool", 1), ("unsigned char", 8), ("short", 16), ("int", 32), ("unsigned int", 32),
        ("long", 64), ("unsigned long long", 64), ("enum shade", 32),
    )  # fmt: skip

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.names: list[str] = []

    def attribute(self) -> str:
        roll = self.random.random()
        if roll < 0.15:
            return " __attribute__((packed))"
        if roll < 0.25:
            return f" __attribute__((aligned({self.random.choice((1, 2, 4, 8, 16, 64))})))"
        return " __attribute__((packed, aligned(2)))" if roll < 0.3 else ""

    def member(self, depth: int, union: bool) -> str:
        pick, self.count = self.random.random(), self.count + 1
        name = f"m{self.count}"
        if pick < 0.35:
            base, most = self.random.choice(self.FIELDS)
            packed = " __attribute__((packed))" if self.random.random() < 0.1 else ""
            width = self.random.randint(1, most)
            if self.random.random() < 0.1 and not union:
                return f"{base} : {self.random.choice((0, width))};"
            return f"{base} {name} : {width}{packed};"
        if pick < 0.5 and depth < 3:
            body = self.body(depth + 1)
            named = self.random.choice(("", name, f"{name}[{self.random.randint(1, 4)}]"))
            return f"{body} {named};"
        if pick < 0.6 and self.names:
            return f"struct {self.random.choice(self.names)} {name};"
        base = self.random.choice(self.SCALARS)
        dims = "".join(f"[{self.random.randint(0, 5)}]" for _ in range(self.random.randint(0, 2)))
        if base == "char (*)[3]":
            return f"char (*{name}{dims})[3];"
        return f"{base} {name}{dims}{self.attribute()};"

    def body(self, depth: int) -> str:
        kind = self.random.choice(("struct", "struct", "union"))
        members = [self.member(depth, kind == "union") for _ in range(self.random.randint(1, 7))]
        return f"{kind} {{ {' '.join(members)} }}{self.attribute()}"

    def define(self, number: int) -> str:
        members = [self.member(0, False) for _ in range(self.random.randint(0, 12))]
        name = f"random{number}"
        text = f"struct {name} {{ {' '.join(members)} }}{self.attribute()};"
        self.names.append(name)
        return text


# `pytest --random-structs N` takes more of them, or less.
BATCH = 400


def test_random_structs(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    compared = 0
    for first in range(0, pytestconfig.getoption("random_structs"), BATCH):
        maker = Maker(20260101 + first)
        source = tmp_path / f"random{first}.c"
        definitions = "\n".join(maker.define(number) for number in range(BATCH))
        source.write_text(f"enum shade {{ LIGHT, DARK = 9 }};\n{definitions}\n")
        table = kit.table_of(source)
        binary = kit.debug_info(source)
        result = compare(table, open_dwarf(binary))
        assert result.ok, result.render_text()
        assert result.counts()["equal"] == BATCH + 1
        compared += equals_pahole(table, binary)
    # Of some, pahole prints no more than the beginning.
    assert compared >= 2 * pytestconfig.getoption("random_structs")
