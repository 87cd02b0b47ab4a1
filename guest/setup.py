# SPDX-License-Identifier: GPL-2.0-or-later
"""Prepare the machine: `python3 -m guest.setup packages` and `python3 -m guest.setup kernel`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from guest import kernel, packages
from guest.say import run_main


def main() -> int:
    """Run one step of the set-up."""
    parser = argparse.ArgumentParser(prog="python3 -m guest.setup", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("packages", help="install the Debian packages that are missing")
    step.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(packages.GROUPS))
    step = steps.add_parser("kernel", help="download a kernel, its headers and its DWARF")
    step.add_argument(
        "--krel",
        default=os.environ.get("KREL"),
        help="release, e.g. 6.1.0-50-cloud-amd64, or 'newest' (default: the one chosen before)",
    )
    step.add_argument(
        "--kdir",
        default=os.environ.get("KDIR"),
        help="a kernel build or headers tree of your own",
    )
    arguments = parser.parse_args()
    if arguments.step == "packages":
        for group in arguments.groups:
            if group not in packages.GROUPS:
                parser.error(f"unknown group '{group}': there are {', '.join(packages.GROUPS)}")
        packages.install(arguments.groups or list(packages.GROUPS))
    else:
        kdir = Path(arguments.kdir) if arguments.kdir else None
        kernel.setup(arguments.krel or None, kdir)
    return 0


if __name__ == "__main__":
    run_main(main)
