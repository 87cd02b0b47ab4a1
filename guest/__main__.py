# SPDX-License-Identifier: GPL-2.0-or-later
"""Start guests with Python in their kernel, and talk to them: `python3 -m guest COMMAND`."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from pathlib import Path

from guest import lifecycle, registry, terminal
from guest.agent import Agent
from guest.paths import dump_json
from guest.qemu import Options
from guest.repl import Repl
from guest.say import UserError, note, run_main


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m guest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, named: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if named:
            sub.add_argument("--name", default=None, help="which guest (default: 'default')")
        return sub

    sub = add("up", "start a guest in the background; prints one JSON object")
    sub.add_argument("--smp", type=_count, default=2, metavar="N", help="CPUs (default 2)")
    sub.add_argument("--mem", type=_memory, default=512, metavar="M", help="MB (default 512)")
    sub.add_argument(
        "--append", default="", metavar="ARGS", help="more for the kernel's command line"
    )
    sub.add_argument("--kaslr", action="store_true", help="let the kernel choose its address")
    sub.add_argument(
        "--ram-file", action="store_true", help="guest memory in a file, for fast reads"
    )
    sub.add_argument(
        "--one-thread", action="store_true", help="without KVM: vCPUs in turn, not at once"
    )
    sub.add_argument("--repl-port", type=_port, default=0, metavar="P", help="default: a free one")
    sub.add_argument("--no-module", action="store_true", help="the bare kernel, without kpy.ko")
    sub.add_argument(
        "--timeout", type=_seconds, default=0, metavar="S", help="end it after S seconds"
    )
    sub = add("down", "end a guest")
    sub.add_argument("--all", action="store_true", help="all of them, dead ones too")
    sub = add("list", "show the guests", named=False)
    sub.add_argument("--json", action="store_true")
    sub = add("sh", "run a command in the guest; same output and exit status")
    sub.add_argument(
        "--timeout", type=_seconds, default=0, metavar="S", help="end it after S seconds"
    )
    sub.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    sub = add("py", "run Python in the guest's kernel; exit 1 on an exception")
    sub.add_argument(
        "--timeout", type=_seconds, default=0, metavar="S", help="interrupt it after S seconds"
    )
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("-c", dest="code", metavar="CODE")
    what.add_argument("file", nargs="?", metavar="FILE", help="'-' for stdin")
    sub = add("repl", "talk to Python in the guest's kernel; starts the guest when it does not run")
    sub = add("push", "copy a file into the guest")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("target", metavar="DEST")
    sub = add("console", "show the guest's console")
    sub.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of CPUs (1 to 64)")
    return int(text)


def _memory(text: str) -> int:
    found = re.fullmatch(r"(\d+)([MmGg]?)", text)
    size = int(found.group(1)) * (1024 if found.group(2) in ("G", "g") else 1) if found else 0
    if size < 128:
        raise argparse.ArgumentTypeError(f"'{text}' is not a memory size (MB, at least 128)")
    return size


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port (1 to 65535)")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e7:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return value


def _up(arguments: argparse.Namespace) -> int:
    lifecycle.clean_stale()
    options = Options(
        smp=arguments.smp,
        mem=arguments.mem,
        append=arguments.append,
        kaslr=arguments.kaslr,
        ram_file=arguments.ram_file,
        one_thread=arguments.one_thread,
        repl_port=arguments.repl_port,
        module=not arguments.no_module,
        timeout=arguments.timeout,
    )
    info = lifecycle.up(registry.check_name(arguments.name or registry.DEFAULT_NAME), options)
    sys.stdout.write(dump_json(info))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    if arguments.all:
        for guest in registry.guests():
            lifecycle.down(guest.name)
        return 0
    name = arguments.name or registry.DEFAULT_NAME
    if not lifecycle.down(name):
        raise UserError(f"there is no guest '{name}'")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    found = registry.guests()
    if arguments.json:
        rows = [{**guest.info, "alive": guest.alive} for guest in found]
        sys.stdout.write(dump_json(rows))
        return 0
    if not found:
        note("no guests; start one with 'python3 -m guest up'")
        return 0
    print(f"{'NAME':<16} {'STATE':<8} {'PID':>7} {'UP':>8}  {'REPL':<16} RELEASE")
    for guest in found:
        state = "running" if guest.alive else "dead"
        repl = guest.info.get("repl") or "-"
        print(
            f"{guest.name:<16} {state:<8} {guest.info['pid']:>7} {registry.age(guest):>6.0f} s"
            f"  {repl:<16} {guest.info['release']}"
        )
    return 0


def _sh(arguments: argparse.Namespace) -> int:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise UserError("give a command: python3 -m guest sh CMD…")
    # One word is a line for the shell, several are a command and its arguments.
    script = words[0] if len(words) == 1 else shlex.join(words)
    guest = registry.running(arguments.name)
    for part in Agent.of(guest).stream(script, arguments.timeout or None):
        if isinstance(part, int):
            return part
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    return 1


def _py(arguments: argparse.Namespace) -> int:
    if arguments.code is not None:
        code = arguments.code.encode()
    elif arguments.file == "-":
        code = sys.stdin.buffer.read()
    else:
        try:
            code = Path(arguments.file).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {arguments.file}: {error.strerror}") from error
    host, port = _repl_address(registry.running(arguments.name))

    def show(part: bytes) -> None:
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()

    with Repl(host, port) as repl:
        try:
            _, complaint = repl.exec_bytes(code, arguments.timeout or None, show)
        except KeyboardInterrupt:
            out, complaint = repl.interrupt()
            show(out)
            sys.stderr.buffer.write(complaint)
            return 130
    sys.stderr.buffer.write(complaint)
    return 1 if complaint else 0


def _repl_address(guest: registry.Guest) -> tuple[str, int]:
    where = guest.info.get("repl")
    if not where:
        raise UserError(f"guest '{guest.name}' was started with --no-module: no Python in it")
    host, port = where.rsplit(":", 1)
    return host, int(port)


def _repl(arguments: argparse.Namespace) -> int:
    name = arguments.name or registry.DEFAULT_NAME
    known = registry.find(name)
    if not known or not known.alive:
        note(f"start guest '{name}'; it stays until 'python3 -m guest down'")
        lifecycle.up(name, Options())
    return terminal.talk(*_repl_address(registry.running(name)))


def _push(arguments: argparse.Namespace) -> int:
    Agent.of(registry.running(arguments.name)).push(arguments.file, arguments.target)
    return 0


def _console(arguments: argparse.Namespace) -> int:
    guest = registry.find(arguments.name or registry.DEFAULT_NAME)
    if guest is None:
        guest = registry.running(arguments.name)
    with Path(guest.info["console"]).open("rb") as stream:
        while True:
            block = stream.read()
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            if not block and (not arguments.follow or not guest.alive):
                return 0
            if not block:
                time.sleep(0.1)


def main() -> int:
    """Run one command."""
    arguments = _parser().parse_args()
    commands = {
        "up": _up,
        "down": _down,
        "list": _list,
        "sh": _sh,
        "py": _py,
        "repl": _repl,
        "push": _push,
        "console": _console,
    }
    return commands[arguments.command](arguments)


if __name__ == "__main__":
    run_main(main)
