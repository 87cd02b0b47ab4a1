# SPDX-License-Identifier: GPL-2.0-or-later
"""The command: python3 -m struct_layout plugin|build|headers|show|find|list|dump|check|compare."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import gc
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from struct_layout.compare import CheckResult, of_kind, split_kind, unknown_name
from struct_layout.model import LayoutError
from struct_layout.sources import load_table
from struct_layout.table import Named, Table


def _plugin(options: argparse.Namespace) -> int:
    from struct_layout.build import choose_compiler, read_kernel
    from struct_layout.gcc import build_plugin

    command = options.cc or "gcc-12"
    if options.kdir:
        command = choose_compiler(read_kernel(options.kdir), options.cc).command
    made = build_plugin(options.output, command)
    print(f"layout plugin: {options.output} {f'built for {command}' if made else 'up to date'}")
    return 0


def _build(options: argparse.Namespace) -> int:
    from struct_layout.build import Outcome, build_files, build_table

    start = time.monotonic()
    if options.files:
        if options.kdir or options.headers:
            raise LayoutError("C files are built alone: leave --kdir and --headers out")
        outcome: Outcome = build_files(
            options.files, options.output, options.flags, options.cc, options.plugin
        )
    elif options.kdir is None or options.plugin is None:
        raise LayoutError("give C files, or --kdir and --plugin for the kernel's headers")
    else:
        outcome = build_table(
            options.kdir, options.plugin, options.output, options.headers, options.cc,
            keep_going=options.keep_going,
        )  # fmt: skip
    for header in outcome.dropped:
        print("left out, as it does not compile: " + header.replace("\t", ": "), file=sys.stderr)
    table = outcome.table
    counts = table.counts()
    if options.json:
        identity = table.identity
        data = {
            "table": str(options.output), "built": outcome.made, "bytes": table.size,
            "release": identity.release, "compiler": identity.compiler, **counts,
            "left_out": [header.split("\t", 1) for header in outcome.dropped],
        }  # fmt: skip
        print(json.dumps(data))
        return 0
    what = f"built in {time.monotonic() - start:.1f} s" if outcome.made else "up to date"
    print(
        f"layout table: {options.output} {what}: {table.identity.release}, "
        f"{counts['records']} structs and unions, {counts['members']} members, "
        f"{counts['enums']} enums, {counts['typedefs']} typedefs, "
        f"{counts['declarations']} functions and variables, {table.size} bytes"
    )
    return 0


def _headers(options: argparse.Namespace) -> int:
    from struct_layout.headers.report import report

    print(report(options.kdir, load_table(options.table)), end="")
    return 0


def _named(table: Table, wanted: str) -> list[Named]:
    kind, name = split_kind(wanted)
    found = of_kind(table.find(name), kind)
    if not found:
        raise LayoutError(unknown_name(wanted, table))
    return found


def _highlighted(text: str) -> str:
    """Colour C for a terminal, when that is wanted and pygments is there."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        with contextlib.suppress(ImportError):
            from pygments import highlight
            from pygments.formatters import TerminalFormatter
            from pygments.lexers import CLexer

            return str(highlight(text, CLexer(), TerminalFormatter())).rstrip("\n")
    return text


def _show(options: argparse.Namespace) -> int:
    from struct_layout.show import as_data, render

    found = _named(load_table(options.table), options.name)
    if options.json:
        print(json.dumps([as_data(type) for type in found], indent=1))
    else:
        print(_highlighted("\n\n".join(render(type) for type in found)))
    return 0


def _find(options: argparse.Namespace) -> int:
    from struct_layout.find import at_offset

    try:
        offset = int(options.offset, 0)
    except ValueError:
        raise LayoutError(f"'{options.offset}' is no offset: 696 or 0x2b8") from None
    places = [
        place
        for type in _named(load_table(options.table), options.name)
        for place in at_offset(type, offset)
    ]
    if options.json:
        print(json.dumps([place.as_data() for place in places], indent=1))
        return 0
    name = split_kind(options.name)[1]
    if not places:
        print(f"{name}+{offset:#x} is in a hole")
    for place in places:
        into = f" +{place.into:#x}" if place.into else ""
        path = f"{name}.{place.path}" if place.path else name
        print(f"{path}{into}  {place.type}")
    return 0


def _dump(options: argparse.Namespace) -> int:
    from struct_layout.show import as_data, render

    table = load_table(options.table)
    types = [type for name in table.type_names() for type in table.find(name)]
    if options.json:
        json.dump([as_data(type) for type in types], sys.stdout)
        print()
        return 0
    for type in types:
        print(_highlighted(render(type)), end="\n\n")
    return 0


def _list(options: argparse.Namespace) -> int:
    table = load_table(options.table)
    names = [name for name in table.type_names() if fnmatch.fnmatch(name, options.glob)]
    if not names:
        raise LayoutError(f"no type in the layout table matches '{options.glob}'")
    if options.json:
        print(json.dumps(names))
    else:
        print("\n".join(names))
    return 0


def _check(options: argparse.Namespace) -> int:
    from struct_layout.checking import check_files

    return _told(check_files(options), options)


def _compare(options: argparse.Namespace) -> int:
    from struct_layout.checking import compare_files

    return _told(compare_files(options), options)


def _told(results: Iterable[CheckResult], options: argparse.Namespace) -> int:
    """Print results; return the exit status."""
    status, data = 0, []
    for number, result in enumerate(results):
        if options.json:
            data.append(result.as_data())
        else:
            if number:
                print()
            print(result.render_text(None if options.all else 40))
        status = status if result.ok else 1
    if options.json:
        print(json.dumps(data[0] if len(data) == 1 else data, indent=1))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m struct_layout", description="Layouts of kernel structs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    plugin = commands.add_parser("plugin", help="build the GCC plugin")
    plugin.add_argument("-o", "--output", type=Path, required=True, metavar="SO")
    plugin.add_argument("--cc", help="the compiler it is for (default: gcc-12)")
    plugin.add_argument("--kdir", type=Path, help="take the compiler that built this kernel")
    plugin.set_defaults(run=_plugin)

    build = commands.add_parser(
        "build",
        help="build a layout table of C files, or of the kernel's headers",
        usage="%(prog)s FILE.c... -o TABLE [--cc CC] [-- CFLAGS]\n"
        "       %(prog)s --kdir KDIR --plugin SO -o TABLE [--headers HEADER...] [--keep-going]",
    )
    build.add_argument("files", nargs="*", type=Path, metavar="FILE.c")
    build.add_argument("--kdir", type=Path, help="the kernel's build tree")
    build.add_argument("--plugin", type=Path, metavar="SO")
    build.add_argument(
        "--keep-going", action="store_true", help="leave out headers that do not compile"
    )
    build.add_argument("-o", "--output", type=Path, required=True, metavar="TABLE")
    build.add_argument(
        "--headers", nargs="+", default=[], metavar="HEADER", help="more of them: linux/x.h, ./x.h"
    )
    build.add_argument("--cc", help="the compiler (default: gcc of the kernel's major version)")
    build.set_defaults(run=_build)

    headers = commands.add_parser(
        "headers", help="count what the kernel's public headers define and a table lacks"
    )
    headers.add_argument("--kdir", type=Path, required=True, help="the kernel's build tree")
    headers.set_defaults(run=_headers)

    show = commands.add_parser("show", help="print a type with offsets, sizes and holes")
    show.add_argument("name")
    show.set_defaults(run=_show)

    find = commands.add_parser("find", help="name the member at an offset: find 0x2b8 task_struct")
    find.add_argument("offset")
    find.add_argument("name")
    find.set_defaults(run=_find)

    dump = commands.add_parser("dump", help="print all types of a table")
    dump.set_defaults(run=_dump)

    listing = commands.add_parser("list", help="list the types of a table")
    listing.add_argument("glob", nargs="?", default="*")
    listing.set_defaults(run=_list)

    names = "types or globs (default: all)"
    check = commands.add_parser("check", help="compare a table with DWARF and BTF of a kernel")
    check.add_argument("names", nargs="*", metavar="NAME", help=names)
    check.add_argument("--vmlinux", type=Path, help="the kernel with DWARF")
    check.add_argument("--btf", type=Path, help="a vmlinux with BTF, or /sys/kernel/btf/vmlinux")
    check.add_argument("--core", type=Path, help="a core of the guest: its table and its BTF")
    check.add_argument(
        "--source", choices=("dwarf", "btf", "both"), help="which (default: those of the files)"
    )
    check.set_defaults(run=_check)

    comparing = commands.add_parser(
        "compare",
        help="compare any two: what moved between two kernels",
        description="A and B: a table, kpy.ko, .o, .ko, vmlinux, BTF, a folder of tables; "
        "dwarf:FILE, btf:FILE and table:FILE say what to read of it.",
    )
    comparing.add_argument("a", metavar="A")
    comparing.add_argument("b", metavar="B")
    comparing.add_argument("names", nargs="*", metavar="NAME", help=names)
    comparing.add_argument("--base", type=Path, help="vmlinux, for the BTF of its modules")
    comparing.set_defaults(run=_compare)

    for command in (show, find, dump, listing, check, headers):
        command.add_argument(
            "--table", type=Path, required=command is not check, help="a table, or a kpy.ko"
        )
    for command in (check, comparing):
        command.add_argument(
            "--all", "-all", action="store_true", help="all differences, one by one"
        )
    for command in (build, show, find, dump, listing, check, comparing):
        command.add_argument("--json", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, flags = words[:at], words[at + 1 :]
    options = _parser().parse_args(words)
    options.flags = flags
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except LayoutError as error:
        print(f"struct_layout: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"struct_layout: {error.filename or ''}: {error.strerror}", file=sys.stderr)
        return 2
    except RecursionError:
        print("struct_layout: types that are nested without end", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("struct_layout: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    # A command is short, and what it reads stays till it ends.
    gc.disable()
    status = main()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    # Taking all of it apart would take as long as a check.
    os._exit(status)
