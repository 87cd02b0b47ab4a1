# SPDX-License-Identifier: GPL-2.0-or-later
"""The command: what it prints, when it does nothing, and what it says of mistakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import layout_kit as kit
import pytest

from struct_layout.__main__ import main
from struct_layout.gcc import build_plugin
from struct_layout.model import LayoutError
from struct_layout.table import Table

SOURCE = """
struct inner { char c; int n : 5, m : 27; };
struct outer { struct inner in; long value; union { int a; struct { char b, c; }; }; char t[3]; };
typedef struct { int counter; } count_t;
enum shade { LIGHT, DARK = -1 };
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A table file, and an ELF file with the DWARF of the same C."""
    source = tmp_path_factory.mktemp("cli") / "sample.c"
    source.write_text(SOURCE)
    table = source.with_suffix(".table")
    table.write_bytes(kit.table_of(source)._data)
    return {"table": str(table), "elf": str(kit.debug_info(source))}


def test_show(sample: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "outer", "--table", sample["table"]]) == 0
    text = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert text == [
        "struct outer {",
        "struct inner in; /* 0x0 8 */",
        "long int value; /* 0x8 8 */",
        "union {",
        "int a; /* 0x10 4 */",
        "struct {",
        "char b; /* 0x10 1 */",
        "char c; /* 0x11 1 */",
        "}; /* 0x10 2 */",
        "}; /* 0x10 4 */",
        "char t[3]; /* 0x14 3 */",
        "/* padding of 1 byte */",
        "}; /* 24 bytes, aligned to 8 */",
    ]
    assert main(["show", "inner", "--table", sample["table"]]) == 0
    text = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "int n:5; /* 0x1:0 */" in text
    assert main(["show", "count_t", "--table", sample["table"]]) == 0
    assert "} count_t;" in capsys.readouterr().out
    assert main(["show", "shade", "--table", sample["table"]]) == 0
    assert "DARK = -1" in capsys.readouterr().out


def test_colours_on_a_terminal(
    sample: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    show = ["show", "outer", "--table", sample["table"]]
    assert main(show) == 0
    coloured = capsys.readouterr().out
    assert "\x1b[" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(show) == 0
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_show_json(sample: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "struct outer", "--json", "--table", sample["table"]]) == 0
    (data,) = json.loads(capsys.readouterr().out)
    assert data["size"] == 24
    assert [m["name"] for m in data["members"]] == ["in", "value", None, "t"]


def test_list(sample: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--table", sample["table"]]) == 0
    assert capsys.readouterr().out.split() == ["count_t", "inner", "outer", "shade"]
    assert main(["list", "*er", "--table", sample["table"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["inner", "outer"]


def test_check(sample: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--table", sample["table"], "--vmlinux", sample["elf"]]) == 0
    assert "4 equal, 0 differs" in capsys.readouterr().out
    other = tmp_path / "other.c"
    other.write_text(SOURCE.replace("long value", "int value"))
    wrong = str(kit.debug_info(other))
    assert main(["check", "--table", sample["table"], "--vmlinux", wrong]) == 1
    out = capsys.readouterr().out
    assert "struct outer: differs" in out and "value: size: plugin 8, dwarf 4" in out
    assert main(["check", "--table", sample["table"], "--vmlinux", wrong, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "outre", "--table", "{table}"], "unknown type 'outre'; did you mean outer"),
        (["show", "outer", "--table", "/none"], "cannot read /none: No such file"),
        (["show", "outer", "--table", "{text}"], "not a layout table"),
        (["show", "outer", "--table", "{elf}"], "carries no layout table"),
        (["list", "zz*", "--table", "{table}"], "no type in the layout table matches 'zz*'"),
        (["check", "--table", "{table}", "--vmlinux", "/none"], "cannot read /none: No such file"),
        (["check", "--table", "{table}", "--vmlinux", "{text}"], "not a sound ELF file"),
        (["check", "--table", "{table}", "--vmlinux", "{elf}", "nope"], "unknown type 'nope'"),
        (
            ["build", "--kdir", "/none", "--plugin", "x", "-o", "{tmp}/t"],
            "/none is not a prepared kernel build tree",
        ),
        (["plugin", "-o", "{tmp}/p.so", "--cc", "gcc-99"], "there is no compiler gcc-99"),
    ],
)
def test_mistakes(
    sample: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    text = tmp_path / "text"
    text.write_text("neither table nor ELF, but long enough to hold a header, or so it is hoped")
    words = {**sample, "text": str(text), "tmp": str(tmp_path)}
    assert main([argument.format(**words) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1 and error.startswith("struct_layout: ")


def test_a_closed_pipe_is_quiet(sample: dict[str, str]) -> None:
    command = f"{sys.executable} -m struct_layout list --table {sample['table']} | true"
    done = subprocess.run(
        ["bash", "-c", command], cwd=kit.ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""


def test_the_plugin_is_built_once(tmp_path: Path) -> None:
    output = tmp_path / "folder" / "kpy_layout.so"
    assert build_plugin(output, kit.GCC)
    assert not build_plugin(output, kit.GCC)


# ---- Builds against the real headers -------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kernel = kit.kernel()
    folder = tmp_path_factory.mktemp("build")
    words = {"kdir": kernel["kdir"], "plugin": str(kit.plugin()), "table": str(folder / "t.table")}
    assert main(build(words)) == 0
    return words


def build(words: dict[str, str], *more: str) -> list[str]:
    return ["build", "--kdir", words["kdir"], "--plugin", words["plugin"],
            "-o", words["table"], *more]  # fmt: skip


def test_nothing_is_built_twice(built: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    table = Path(built["table"])
    before = table.read_bytes(), table.stat().st_mtime_ns
    assert main(build(built)) == 0
    out, err = capfd.readouterr()
    assert "up to date" in out and err == ""
    assert (table.read_bytes(), table.stat().st_mtime_ns) == before
    table.write_bytes(before[0][:-1])  # a half result is not trusted
    assert main(build(built)) == 0
    assert "built in" in capfd.readouterr().out
    assert table.read_bytes() == before[0]


def test_more_headers(built: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.h"
    mine.write_text("#include <linux/types.h>\nstruct mine_alone { u32 a; struct list_head l; };\n")
    words = {**built, "table": str(tmp_path / "more.table")}
    assert main(build(words, "--headers", "linux/cdrom.h", str(mine))) == 0
    table = Table(Path(words["table"]).read_bytes())
    assert table.find("mine_alone") and table.find("cdrom_device_info")
    assert len(table.find("task_struct")) == len(table.find("list_head")) == 1


def test_headers_that_do_not_compile(
    built: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {**built, "table": str(tmp_path / "bad.table")}
    assert main(build(words, "--headers", "linux/cdrom.h", "linux/no_such.h")) == 2
    error = capsys.readouterr().err
    assert "header linux/no_such.h does not compile (user.c:2)" in error
    assert "fatal error: linux/no_such.h: No such file or directory" in error
    broken = tmp_path / "broken.h"
    broken.write_text("struct broken { nonsense member; };\n")
    assert main(build(words, "--headers", str(broken))) == 2
    error = capsys.readouterr().err
    assert f"header {broken} does not compile" in error
    assert "unknown type name" in error
    assert not Path(words["table"]).exists()


def test_keep_going_leaves_them_out(
    built: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, good = tmp_path / "broken.h", tmp_path / "good.h"
    broken.write_text("struct broken { nonsense member; };\n")
    good.write_text("struct kept_on { int a; };\n")
    words = {**built, "table": str(tmp_path / "kept.table")}
    more = ("--headers", "linux/no_such.h", str(broken), str(good), "--keep-going", "--json")
    assert main(build(words, *more)) == 0
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if line.startswith("left out")]
    assert said == [
        f"left out, as it does not compile: {header}"
        for header in (
            "linux/no_such.h: linux/no_such.h: No such file or directory",
            f"{broken}: unknown type name ‘nonsense’",
        )
    ]
    data = json.loads(out)
    assert data["left_out"] == [
        ["linux/no_such.h", "linux/no_such.h: No such file or directory"],
        [str(broken), "unknown type name ‘nonsense’"],
    ]
    table = Table(Path(words["table"]).read_bytes())
    assert table.find("kept_on") and not table.find("broken") and table.find("task_struct")
    assert data["bytes"] == table.size and data["release"] == table.identity.release


def kernel_like(folder: Path, version: str, real: str) -> Path:
    """A build tree that says it was built by another compiler."""
    for name in ("config", "generated"):
        (folder / "include" / name).mkdir(parents=True)
    (folder / "include/config/auto.conf").write_text(
        f'CONFIG_CC_VERSION_TEXT="gcc-{version[:2]} (Test) {version}"\n'
        f"CONFIG_GCC_VERSION={version[:2]}0200\n"
    )
    (folder / "include/generated/autoconf.h").write_text("\n")
    (folder / "include/generated/utsrelease.h").write_text(f'#define UTS_RELEASE "{real}"\n')
    return folder


def test_another_compiler_than_the_kernels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kdir = str(kernel_like(tmp_path / "kdir", "99.2.0", "5.15.0-test"))
    words = {"kdir": kdir, "plugin": "p.so", "table": str(tmp_path / "t")}
    assert main(build(words, "--cc", "gcc-12")) == 2
    error = capsys.readouterr().err
    assert "gcc-12 is GCC 12." in error and "5.15.0-test was built by gcc-99 (Test) 99.2.0" in error
    assert error.count("\n") == 1
    assert main(build(words)) == 2
    assert "there is no compiler gcc-99" in capsys.readouterr().err


def test_the_plugin_is_for_the_kernels_compiler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kdir = str(kernel_like(tmp_path / "kdir", "99.2.0", "5.15.0-test"))
    assert main(["plugin", "-o", str(tmp_path / "p.so"), "--kdir", kdir]) == 2
    assert "there is no compiler gcc-99" in capsys.readouterr().err
    assert main(["plugin", "-o", str(tmp_path / "p.so"), "--kdir", kdir, "--cc", "gcc-12"]) == 2
    assert "5.15.0-test was built by gcc-99" in capsys.readouterr().err


def test_the_plugin_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kdir = str(kernel_like(tmp_path / "kdir", "12.2.0", "6.1.0-test"))
    words = {"kdir": kdir, "plugin": str(tmp_path / "none.so"), "table": str(tmp_path / "t")}
    assert main(build(words)) == 2
    assert "python3 -m struct_layout plugin -o" in capsys.readouterr().err


def test_a_plugin_without_headers_of_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "gcc-12"
    fake.write_text(
        "#!/bin/sh\ncase $1 in\n--version) echo 'gcc-12 (Test) 12.2.0';;\n"
        "-print-file-name=plugin) echo plugin;;\n*) echo 12.2.0;;\nesac\n"
    )
    fake.chmod(0o755)
    (tmp_path / "g++-12").symlink_to(fake)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LayoutError, match="install gcc-12-plugin-dev"):
        build_plugin(tmp_path / "p.so", "gcc-12")


def test_a_compiler_without_plugin_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "gcc-12"
    fake.write_text(
        "#!/bin/sh\ncase $1 in\n--version) echo 'gcc-12 (Test) 12.2.0';;\n"
        "-v) echo 'Configured with: ../configure --disable-plugin' >&2;;\n*) echo 12.2.0;;\nesac\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LayoutError) as refused:
        build_plugin(tmp_path / "p.so", "gcc-12")
    assert str(refused.value) == (
        "gcc-12 is GCC 12.2.0 without plugin support (--disable-plugin): use one that has it"
    )


def test_find(sample: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    def found(offset: str, name: str) -> list[str]:
        assert main(["find", offset, name, "--table", sample["table"]]) == 0
        return capsys.readouterr().out.splitlines()

    assert found("0xa", "outer") == ["outer.value +0x2  long int"]
    assert found("22", "struct outer") == ["outer.t[2]  char"]
    assert found("0x11", "outer") == ["outer.a +0x1  int", "outer.c  char"]
    assert found("0x17", "outer") == ["outer+0x17 is in a hole"]
    assert found("1", "inner") == ["inner.n  int:5 at bit 0", "inner.m +0x1  int:27 at bit 5"][:1]
    assert main(["find", "0x10", "outer", "--json", "--table", sample["table"]]) == 0
    assert [place["path"] for place in json.loads(capsys.readouterr().out)] == ["a", "b"]
    assert main(["find", "0x18", "outer", "--table", sample["table"]]) == 2
    assert "offset 0x18 is outside of struct outer (0x18 bytes)" in capsys.readouterr().err
    assert main(["find", "x", "outer", "--table", sample["table"]]) == 2
    assert capsys.readouterr().err == "struct_layout: 'x' is no offset: 696 or 0x2b8\n"


def test_dump(sample: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", "--table", sample["table"]]) == 0
    text = capsys.readouterr().out
    assert text.index("struct inner {") < text.index("struct outer {")
    assert main(["dump", "--json", "--table", sample["table"]]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_build_of_c_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, table = tmp_path / "one.c", tmp_path / "two.c", tmp_path / "t"
    one.write_text("struct one { WORD a; };\nstruct both { int x; };\n")
    two.write_text("struct two { WORD a; struct both *b; };\nstruct both { int x; };\n")
    build = ["build", str(one), str(two), "-o", str(table), "--plugin", str(kit.plugin())]
    assert main([*build, "--", "-DWORD=long"]) == 0
    assert Table(table.read_bytes()).type_names() == ["both", "one", "two"]
    capsys.readouterr()
    assert main(build) == 2
    assert "one.c does not compile:" in capsys.readouterr().err
