# SPDX-License-Identifier: GPL-2.0-or-later
"""`kpy layout check`: the table in the live module against the kernel's DWARF."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import GdbRunner, LiveGuest

pytestmark = pytest.mark.guest


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_the_structs_of_the_demo(gdb: GdbRunner) -> None:
    done = gdb("kpy layout check task_struct file net_device", timeout=200)
    assert done.returncode == 0, done.stderr
    found = re.search(r"layouts: (\d+) types: (\d+) equal, (\d+) differs", done.stdout)
    assert found, done.stdout
    types, equal, differs = map(int, found.groups())
    assert types >= 3
    assert equal == types
    assert differs == 0


def test_json(gdb: GdbRunner) -> None:
    done = gdb("kpy layout check -json list_head task_struct")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    assert found["ok"] is True
    verdicts = {result["name"]: result["verdict"] for result in found["results"]}
    assert verdicts["struct list_head"] == verdicts["struct task_struct"] == "equal"
    assert found["members"]["equal"] > 200


def test_everything_in_the_table(gdb: GdbRunner) -> None:
    done = gdb("kpy layout check", timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 differs" in done.stdout


def test_the_table_is_that_of_the_build(guest: LiveGuest, gdb: GdbRunner) -> None:
    built = Path(guest.info["module"]).with_name("layout.table").read_bytes()
    done = gdb(
        "python from gdb_kpy.target import session as s, layout",
        "python import hashlib; v = s.viewed(); t = layout.table(v.__enter__())",
        "python print('table', t.size, hashlib.sha256(t._data).hexdigest())",
    )
    from hashlib import sha256

    assert f"table {len(built)} {sha256(built).hexdigest()}" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("no_such_struct", "unknown type 'no_such_struct'"),
        ("zzz*", "no type in the layout table matches 'zzz*'"),
        ("-frob", "unknown option -frob (known: -all, -json, -source)"),
    ],
)
def test_mistakes(gdb: GdbRunner, argument: str, said: str) -> None:
    done = gdb(f"kpy layout check {argument}")
    assert done.returncode == 1
    assert lines(done.stderr)[-1].startswith(said)
    assert "Traceback" not in done.stderr


CHANGE = """python
import gdb, struct
from gdb_kpy.target import session as sessions
from struct_layout import table_format as T
from struct_layout.table import Table
info = sessions.current().module().info
at, size = info["addr.layout_table"], info.layout_size
raw = bytearray(gdb.selected_inferior().read_memory(at, size))
kept = bytes(raw)
{change}
struct.pack_into("<I", raw, T.CRC_AT, T.checksum(raw) if {sound} else 1)
gdb.selected_inferior().write_memory(at, bytes(raw))
end
"""
# In the body of list_head, the head byte of prev has the step for 64 bits; it becomes that for 128.
MOVE_PREV = """
t = Table(kept)
number = t._index(next(n for n in range(t._count[T.NAMES])
                       if t.text(t._index_name(n)) == "list_head"))
entry = t._entry(number)
body = t._at[T.BODIES] + entry.body
places = [at for at in range(body, body + entry.numbers[4])
          if raw[at] >> T.M_STEP_SHIFT == T.STEPS.index(64) and raw[at] & T.M_NAME]
raw[places[-1]] += (T.STEPS.index(128) - T.STEPS.index(64)) << T.M_STEP_SHIFT
"""


def test_a_difference_fails_the_command(gdb: GdbRunner, tmp_path: Path) -> None:
    """The live table is changed in the guest's memory, and put back."""
    script = tmp_path / "change.gdb"
    script.write_text(CHANGE.format(change=MOVE_PREV, sound=True))
    back = "python gdb.selected_inferior().write_memory(at, kept)"
    fails = (
        "python\ntry: gdb.execute('kpy layout check list_head')\nexcept gdb.error as e: print(e)"
    )
    (tmp_path / "check.gdb").write_text(fails + "\nend\n")
    done = gdb(f"source {script}", f"source {tmp_path / 'check.gdb'}", back)
    assert "1 differs" in done.stdout, done.stdout + done.stderr
    assert re.search(r"struct list_head: differs\n +prev: ", done.stdout)
    assert "\n1 type differs: the module was built for another kernel" in done.stdout
    assert gdb("kpy layout check list_head").returncode == 0


def test_a_damaged_table(gdb: GdbRunner, tmp_path: Path) -> None:
    script = tmp_path / "damage.gdb"
    script.write_text(CHANGE.format(change="", sound=False))
    back = "python gdb.selected_inferior().write_memory(at, kept)"
    done = gdb(f"source {script}", "kpy layout check list_head", "kpy status", back)
    assert any(line.startswith("layout table is damaged: checksum") for line in lines(done.stderr))
    assert "the layout table cannot be read: layout table is damaged" in done.stdout
    assert gdb("kpy layout check list_head").returncode == 0
