# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiler: which GCC the kernel wants, and our plugin built for it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from struct_layout.model import LayoutError

PLUGIN_FOLDER = Path(__file__).parent / "plugin"
# Stands in for headers of GCC that its packages forgot.
MISSING_FOLDER = PLUGIN_FOLDER / "missing"
OLDEST, NEWEST = 10, 14
FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-fno-rtti", "-fno-exceptions")


class Compiler(NamedTuple):
    """A GCC: how to call it, its version, the first line of --version."""

    command: str
    version: str
    banner: str

    @property
    def major(self) -> int:
        """The number that must match between kernel, plugin and compiler."""
        return int(self.version.split(".")[0])


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LayoutError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode:
        raise LayoutError(f"{' '.join(command)} failed: {done.stderr.strip() or 'no message'}")
    return done.stdout.strip()


def find_compiler(command: str) -> Compiler:
    """Ask a compiler what it is."""
    if shutil.which(command) is None:
        raise LayoutError(f"there is no compiler {command}: install it (apt install {command})")
    banner = _output(command, "--version").split("\n", 1)[0]
    if "clang" in banner:
        raise LayoutError(f"{command} is clang: the layout plugin needs GCC")
    return Compiler(command, _output(command, "-dumpfullversion", "-dumpversion"), banner)


def _configuration(compiler: Compiler) -> str:
    """Return how the compiler itself was configured."""
    command = [compiler.command, "-v"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def _plugin_include(compiler: Compiler) -> str:
    folder = _output(compiler.command, "-print-file-name=plugin")
    include = Path(folder) / "include"
    if not (include / "gcc-plugin.h").exists():
        raise LayoutError(
            f"{compiler.command} has no plugin headers: "
            f"install gcc-{compiler.major}-plugin-dev and try again"
        )
    return str(include)


def _cxx(compiler: Compiler) -> str:
    """Return the C++ compiler next to the C compiler."""
    folder, name = os.path.split(compiler.command)
    if name.count("gcc") != 1:
        raise LayoutError(f"cannot tell the C++ compiler that belongs to {compiler.command}")
    command = os.path.join(folder, name.replace("gcc", "g++"))  # noqa: PTH118
    if shutil.which(command) is None:
        raise LayoutError(f"there is no compiler {command}: install it (apt install {command})")
    return command


def build_plugin(output: Path, command: str) -> bool:
    """Build the plugin for a compiler; return whether there was anything to do."""
    compiler = find_compiler(command)
    if not OLDEST <= compiler.major <= NEWEST:
        raise LayoutError(
            f"{command} is GCC {compiler.version}; the layout plugin knows GCC {OLDEST} to {NEWEST}"
        )
    if "--disable-plugin" in _configuration(compiler):
        raise LayoutError(
            f"{command} is GCC {compiler.version} without plugin support (--disable-plugin): "
            "use one that has it"
        )
    sources = sorted(PLUGIN_FOLDER.glob("*.cc"))
    digest = hashlib.sha256(json.dumps([compiler, FLAGS]).encode())
    for source in sorted([*sources, *PLUGIN_FOLDER.rglob("*.h")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    stamp = output.with_name(output.name + ".stamp")
    inputs = digest.hexdigest()
    if output.exists() and stamp.exists() and stamp.read_text("utf-8") == inputs:
        return False
    cxx = _cxx(compiler)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    include = ["-isystem", _plugin_include(compiler), "-idirafter", str(MISSING_FOLDER)]
    call = [cxx, *FLAGS, *include, *map(str, sources), "-o", str(part)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        raise LayoutError(f"the layout plugin does not compile with {cxx}:\n{done.stderr.strip()}")
    stamp.unlink(missing_ok=True)
    part.replace(output)
    stamp.write_text(inputs, "utf-8")
    return True
