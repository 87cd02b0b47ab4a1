# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure and print a table: `make bench`, or `python -m bench [NAME...]`."""

from __future__ import annotations

import argparse

from bench import calls, contention, debugger, guard, hooks, interpreter, layouts, structs, windows
from bench.table import Row, render
from guest.say import note, run_main

BENCHES = {
    "calls": calls.measure,
    "contention": contention.measure,
    "debugger": debugger.measure,
    "guard": guard.measure,
    "hooks": hooks.measure,
    "interpreter": interpreter.measure,
    "layouts": layouts.measure,
    "structs": structs.measure,
    "windows": windows.measure,
}


def main() -> int:
    """Run the benches named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    names = parser.parse_args().names or list(BENCHES)
    for name in names:
        if name not in BENCHES:
            parser.error(f"no bench '{name}': there are {', '.join(BENCHES)}")
    rows: list[Row] = []
    for name in names:
        note(f"measuring: {name}")
        rows += BENCHES[name]()
    print(render(rows))
    return 0


if __name__ == "__main__":
    run_main(main)
