# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds a layout table: the header set through Kbuild with the plugin, then the table."""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from struct_layout.gcc import Compiler, build_plugin, find_compiler
from struct_layout.graph import RECORDS, Graph, reach
from struct_layout.headers import AMBIGUOUS, OMIT, Unit
from struct_layout.headers import units as header_units
from struct_layout.merge import merge
from struct_layout.model import Identity, LayoutError
from struct_layout.prints import prints_of
from struct_layout.records import read_unit
from struct_layout.table import Table
from struct_layout.table_format import D_STATIC, R_LOCAL, T_ENUM, LayoutTableError
from struct_layout.table_writer import write_graph

# Functions of assembler that the kernel's BTF does not have.
_ASSEMBLER = frozenset((
    "memcpy", "memmove", "memset", "__memcpy", "__memmove", "__memset", "copy_page", "clear_page",
    "copy_user_generic_unrolled", "copy_user_generic_string", "csum_partial_copy_generic",
    "clear_page_rep", "clear_page_orig", "clear_page_erms", "copy_mc_fragile", "__x86_return_thunk",
    "rdmsr_safe_regs", "wrmsr_safe_regs", "hweight_long", "__sw_hweight32", "__sw_hweight64",
))  # fmt: skip
# What spares GCC work that changes no layout. The warnings are not shown, but looked for.
_QUICK = (
    "-fsyntax-only", "-Wno-all", "-Wno-extra", "-Wno-implicit-function-declaration",
)  # fmt: skip
# The same, at the cost of messages that say less.
_TERSE = ("-ftrack-macro-expansion=0",)
# Part of what decides about a table: change one of them, and it is made again.
_SOURCES = (
    "build", "graph", "merge", "model", "prints", "records", "table", "table_format", "table_names",
    "table_writer", "words",
    "headers/__init__",
)  # fmt: skip
_ROUNDS = 30  # of compiling without the headers that failed before


class Kernel(NamedTuple):
    """What a kernel build tree says about itself."""

    kdir: Path
    release: str
    compiler: str
    major: int
    config: str  # digest of its configuration


class Outcome(NamedTuple):
    """What `build_table` did."""

    table: Table
    made: bool
    dropped: tuple[str, ...] = ()  # headers left out, each with the compiler's message


def read_kernel(kdir: Path) -> Kernel:
    """Read release, compiler and configuration of a kernel build tree."""
    try:
        # Not include/config/kernel.release: Debian's says 6.1.192 for 6.1.0-56-cloud-amd64.
        text = (kdir / "include/generated/utsrelease.h").read_text("utf-8")
        config = (kdir / "include/config/auto.conf").read_bytes()
        config += (kdir / "include/generated/autoconf.h").read_bytes()
    except OSError as error:
        raise LayoutError(
            f"{kdir} is not a prepared kernel build tree ({error.filename} cannot be read): "
            "give the folder of the kernel's headers package"
        ) from None
    found = re.search(r'UTS_RELEASE "(.+?)"', text)
    release = found.group(1) if found else "unknown"
    text = config.decode("utf-8", "replace")

    def value(name: str) -> str | None:
        match = re.search(rf"^CONFIG_{name}=\"?(.*?)\"?$", text, re.MULTILINE)
        return match.group(1) if match else None

    if value("CC_IS_CLANG"):
        raise LayoutError(f"kernel {release} was built by clang: the layout plugin needs GCC")
    version = value("GCC_VERSION")
    if version is None or not version.isdigit():
        raise LayoutError(f"{kdir} does not say which GCC built kernel {release}")
    return Kernel(
        kdir.resolve(),
        release,
        value("CC_VERSION_TEXT") or f"GCC {version}",
        int(version) // 10000,
        hashlib.sha256(config).hexdigest(),
    )


def choose_compiler(kernel: Kernel, command: str | None) -> Compiler:
    """Return the compiler to use: of the major version that built the kernel."""
    compiler = find_compiler(command or f"gcc-{kernel.major}")
    if compiler.major != kernel.major:
        raise LayoutError(
            f"{compiler.command} is GCC {compiler.version}, but kernel {kernel.release} was built "
            f"by {kernel.compiler}: use gcc-{kernel.major}"
        )
    return compiler


def units(kdir: Path, headers: Sequence[str]) -> list[Unit]:
    """Return our units, and one for the headers that the user adds."""
    found = header_units(kdir)
    extra: list[str] = []
    for header in headers:
        path = Path(header)
        if path.is_file() and path.suffix == ".c":
            found.append(Unit(f"user_{path.stem}", path.read_text("utf-8")))
        elif path.is_file():
            extra.append(f'#include "{path.resolve()}"\n')
        else:
            extra.append(f"#include <{header}>\n")
    if extra:
        found.append(Unit("user", "".join(extra)))
    names = [unit.name for unit in found]
    for name in names:
        if names.count(name) > 1:
            raise LayoutError(f"two layout headers are called {name}: rename one")
    return found


def build_table(
    kdir: Path,
    plugin: Path,
    output: Path,
    headers: Sequence[str] = (),
    command: str | None = None,
    keep_going: bool = False,
) -> Outcome:
    """Make the table, unless the one that is there was made of the same.

    A header of the kernel that does not compile is left out, and said in the outcome; one that
    the user asked for raises LayoutError unless `keep_going`.
    """
    kernel = read_kernel(kdir)
    compiler = choose_compiler(kernel, command)
    if not plugin.is_file():
        raise LayoutError(
            f"there is no plugin {plugin}: make it with "
            f"python3 -m struct_layout plugin -o {plugin} --cc {compiler.command}"
        )
    chosen = [unit._replace(optional=True) if keep_going else unit for unit in units(kdir, headers)]
    inputs = _inputs(kernel, compiler, plugin, chosen)
    stamp = output.with_name(output.name + ".stamp")
    known = _up_to_date(output, stamp, inputs)
    if known is not None:
        return Outcome(known, False)
    with _no_collector():
        return _build(kernel, compiler, plugin, output, chosen, inputs)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Do without Python's collector: of millions of objects it finds few to free, at great cost."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _build(
    kernel: Kernel,
    compiler: Compiler,
    plugin: Path,
    output: Path,
    chosen: list[Unit],
    inputs: str,
) -> Outcome:
    stamp = output.with_name(output.name + ".stamp")
    folder = output.parent / "layout-units"
    stamp.unlink(missing_ok=True)
    chosen, dropped = _compile(kernel, compiler, plugin.resolve(), folder, chosen)
    files = _dependencies(kernel, folder, chosen)
    read = [read_unit(folder / f"{unit.name}.records") for unit in chosen]
    graph = _selected(merge([unit.graph for unit in read]))
    reached = reach(graph)
    identity = Identity(
        kernel.release,
        compiler.banner,
        _digest(kernel, chosen, files),
        read[0].pointer_size,
        read[0].big_endian,
    )
    data = write_graph(graph, reached, identity)
    table = Table(data)
    part = output.with_name(output.name + ".part")
    part.write_bytes(data)
    part.replace(output)
    prints_beside(output).write_bytes(prints_of(graph, reached, table))
    state = {"inputs": inputs, "files": files, "state": _state(files)}
    stamp.write_text(json.dumps(state), "utf-8")
    return Outcome(table, True, dropped)


def prints_beside(table: Path) -> Path:
    """Return where the fingerprints of a kernel's table are."""
    return table.with_name(table.name + ".prints")


def _selected(graph: Graph) -> Graph:
    """Return what of the kernel's headers is worth its place in the table.

    BTF has the functions, but not the variables; a static one of a header has no address.
    Functions that are written in assembler have no BTF either: those that every kernel has are
    kept.
    """
    rows, texts = list(graph.rows), graph.texts
    roots = []
    for root in graph.roots:
        row = rows[root]
        text = texts[row.name]
        if row.head in RECORDS and any(fnmatchcase(text, glob) for glob in OMIT):
            continue
        roots.append(root)
        if row.head in (*RECORDS, T_ENUM) and text in AMBIGUOUS:
            info, *others = row.numbers
            rows[root] = row._replace(numbers=(info | R_LOCAL, *others))
    return graph._replace(
        rows=rows,
        roots=roots,
        declarations=[decl for decl in graph.declarations if not decl.flags & D_STATIC],
    )


def build_files(
    files: Sequence[Path],
    output: Path,
    flags: Sequence[str] = (),
    command: str | None = None,
    plugin: Path | None = None,
) -> Outcome:
    """Make a table of any C files, compiled with `flags` by `command` (default: gcc-12)."""
    compiler = find_compiler(command or "gcc-12")
    read = []
    with tempfile.TemporaryDirectory(prefix="kpy-layout-") as name:
        folder = Path(name)
        if plugin is None:
            plugin = _own_plugin(compiler)
        for number, file in enumerate(files):
            records = folder / f"{number}.records"
            call = [
                compiler.command, *flags, "-fsyntax-only", "-w", f"-fplugin={plugin.resolve()}",
                f"-fplugin-arg-{plugin.stem}-output={records}", str(file),
            ]  # fmt: skip
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode or not records.exists():
                raise LayoutError(f"{file} does not compile:\n{done.stderr.strip()}")
            read.append(read_unit(records))
    graph = merge([unit.graph for unit in read])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() + b"\0")
    identity = Identity(
        " ".join(file.name for file in files), compiler.banner, digest.digest(),
        read[0].pointer_size, read[0].big_endian,
    )  # fmt: skip
    data = write_graph(graph, reach(graph), identity)
    output.write_bytes(data)
    return Outcome(Table(data), True)


def _own_plugin(compiler: Compiler) -> Path:
    """Return the plugin for a compiler from the user's cache, built when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "kpy" / f"plugin-{compiler.version}" / "kpy_layout.so"
    build_plugin(path, compiler.command)
    return path


# ---- Is it still good? ---------------------------------------------------------------------------


def _inputs(kernel: Kernel, compiler: Compiler, plugin: Path, chosen: Iterable[Unit]) -> str:
    digest = hashlib.sha256()
    for part in (str(kernel.kdir), kernel.release, kernel.config, *compiler, *_flat(chosen)):
        digest.update(part.encode() + b"\0")
    digest.update(plugin.read_bytes())
    for name in _SOURCES:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _flat(chosen: Iterable[Unit]) -> Iterable[str]:
    for unit in chosen:
        yield unit.name
        yield unit.text


def _state(files: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            stat = os.stat(file)  # noqa: PTH116
            digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        except OSError:
            digest.update(f"{file}\0absent\0".encode())
    return digest.hexdigest()


def _up_to_date(output: Path, stamp: Path, inputs: str) -> Table | None:
    try:
        state = json.loads(stamp.read_text("utf-8"))
        if state["inputs"] != inputs:
            return None
        if state["state"] != _state(state["files"]):
            return None
        return Table(output.read_bytes()) if prints_beside(output).exists() else None
    except (OSError, ValueError, KeyError, TypeError, LayoutTableError):
        return None


def _digest(kernel: Kernel, chosen: Iterable[Unit], files: Iterable[str]) -> bytes:
    """Return the digest of the header set: the same wherever the kernel's headers lie."""
    digest = hashlib.sha256(kernel.config.encode())
    for text in _flat(chosen):
        digest.update(text.encode() + b"\0")
    base = f"{kernel.kdir.parent}/"
    for file in files:
        name = file[len(base) :] if file.startswith(base) else os.path.relpath(file, base)
        digest.update(name.encode() + b"\0")
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
            digest.update(hashlib.sha256(opened.readall()).digest())
    return digest.digest()


# ---- Kbuild --------------------------------------------------------------------------------------


def _compile(
    kernel: Kernel, compiler: Compiler, plugin: Path, folder: Path, chosen: Sequence[Unit]
) -> tuple[list[Unit], tuple[str, ...]]:
    """Compile the units; return them as they were compiled, and what was left out of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.records*"):  # a compile that was killed leaves parts
        old.unlink()
    done: list[Unit] = []
    dropped: list[str] = []
    waiting = list(chosen)

    def compiled(tried: Sequence[Unit], terse: bool) -> tuple[list[Unit], str]:
        output = _make(kernel, compiler, plugin, folder, tried, terse)
        return [u for u in tried if not (folder / f"{u.name}.records").exists()], output

    for _ in range(_ROUNDS):
        failed, output = compiled(waiting, True)
        if failed:
            failed, output = compiled(failed, False)
        done += [unit for unit in waiting if unit not in failed]
        if not failed:
            order = [unit.name for unit in chosen]
            return sorted(done, key=lambda unit: order.index(unit.name)), tuple(dropped)
        waiting = []
        for unit in failed:
            without, header, message = _without(folder, unit, output)
            if not unit.optional or without is None:
                raise LayoutError(_blame(folder, failed, output))
            dropped.append(f"{header}\t{message}")
            waiting.append(without)
    raise LayoutError(_blame(folder, waiting, output))


def _make(
    kernel: Kernel,
    compiler: Compiler,
    plugin: Path,
    folder: Path,
    chosen: Sequence[Unit],
    terse: bool,
) -> str:
    """Run Kbuild; return what it printed."""
    argument = f"-fplugin-arg-{plugin.stem}-"
    flags = ["-w", "-g0", *_QUICK, f"-fplugin={plugin}"]
    flags.append(f"{argument}functions={','.join(sorted(_ASSEMBLER))}")
    if terse:
        flags += [*_TERSE, f"{argument}lines"]
    makefile = ["# Made by python3 -m struct_layout build\n"]
    for unit in chosen:
        (folder / f"{unit.name}.c").write_text(unit.text, "utf-8")
        makefile.append(
            f"obj-m += {unit.name}.o\n"
            f"CFLAGS_{unit.name}.o := {' '.join(flags)} "
            f"{argument}output=$(obj)/{unit.name}.records\n"
        )
    (folder / "Kbuild").write_text("".join(makefile), "utf-8")
    # We may be called by make: its variables are not meant for the kernel's makefiles.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "KDIR", "M", "V")
    }
    environment["LC_ALL"] = "C"
    command = [
        "make", "-k", f"-j{os.cpu_count() or 1}", "-Otarget", "-C", str(kernel.kdir),
        f"M={folder.resolve()}", f"CC={compiler.command}",
        *(f"{unit.name}.s" for unit in chosen),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        raise LayoutError(f"cannot run make: {error.strerror}") from None
    return done.stdout + done.stderr


def _without(folder: Path, unit: Unit, output: str) -> tuple[Unit | None, str, str]:
    """Return the unit without the header that failed first, that header, and the message."""
    place = re.compile(re.escape(str(folder.resolve() / unit.name)) + r"\.c:(\d+)")
    number = 0
    for line in output.splitlines():
        found = place.search(line)
        if found:
            number = int(found.group(1))
        error = re.search(r": (?:fatal )?error: (.*)", line)
        if error and number:
            lines = unit.text.splitlines()
            include = re.match(r"#include\s*[<\"](.+?)[>\"]", lines[number - 1])
            if include is None:
                break
            lines[number - 1] = ""  # the others keep their numbers
            text = "\n".join(lines) + "\n"
            return unit._replace(text=text), include.group(1), error.group(1)
    return None, "", ""


def _blame(folder: Path, chosen: Iterable[Unit], output: str) -> str:
    """Say which header does not compile, with the compiler's own words."""
    lines = [
        line
        for line in output.splitlines()
        if not re.match(r"\s*(make(\[\d+\])?:|CC )", line) and line.strip()
    ]
    for unit in chosen:
        place = re.escape(str(folder.resolve() / unit.name)) + r"\.c:(\d+)"
        match = re.search(place, "\n".join(lines))
        if match is None:
            continue
        line = unit.text.splitlines()[int(match.group(1)) - 1].strip()
        found = re.match(r"#include\s*[<\"](.+?)[>\"]", line)
        what = f"header {found.group(1)}" if found else f"{unit.name}.c"
        return f"{what} does not compile ({unit.name}.c:{match.group(1)}):\n" + "\n".join(lines)
    return "the layout headers do not compile:\n" + "\n".join(lines or [output.strip()])


def _dependencies(kernel: Kernel, folder: Path, chosen: Iterable[Unit]) -> list[str]:
    """Return all files that the units include, from what Kbuild recorded."""
    names: set[str] = set()
    for unit in chosen:
        text = (folder / f".{unit.name}.s.cmd").read_text("utf-8")
        deps = re.search(r"^deps_\S+ := .*?\n\n", text, re.MULTILINE | re.DOTALL)
        names.update(re.findall(r"^  (\S+) \\$", deps.group() if deps else "", re.MULTILINE))
    # Of thousands of files in some hundred folders.
    real = functools.cache(os.path.realpath)
    files: set[str] = set()
    for path in [f"{kernel.kdir}/{name}" if name[0] != "/" else name for name in names]:
        parent, file = os.path.split(path)
        link = os.path.islink(path)  # noqa: PTH114
        files.add(real(path) if link else f"{real(parent)}/{file}")
    ours = {str((folder / f"{unit.name}.c").resolve()) for unit in chosen}
    return sorted(files - ours, key=lambda file: file.split("/"))
