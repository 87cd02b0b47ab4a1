# SPDX-License-Identifier: GPL-2.0-or-later
"""kpy_debug_info against the debug info of the module: what it says of objects is so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import GdbRunner

pytestmark = pytest.mark.guest

#: Group of kpy_debug_info -> the type in the file that makes the objects, and fields whose name
#: there is another.
TYPES: dict[str, tuple[str, dict[str, str]]] = {
    "range": ("mp_obj_range_t", {}),
    "set": ("mp_obj_set_t", {"alloc": "set.alloc", "used": "set.used", "table": "set.table"}),
    "deque": ("mp_obj_deque_t", {}),
    "bound_meth": ("mp_obj_bound_meth_t", {}),
    "closure": ("mp_obj_closure_t", {}),
    "gen_instance": ("mp_obj_gen_instance_t", {}),
    "singleton": ("mp_obj_singleton_t", {}),
    "property": ("mp_obj_property_t", {"getter": "proxy"}),
    "super": ("mp_obj_super_t", {}),
    "dict_view": ("mp_obj_dict_view_t", {}),
    "match": ("mp_obj_match_t", {}),
    "uctypes": ("mp_obj_uctypes_struct_t", {}),
    "enum_value": ("enum_value_t", {}),
    "hook_object": ("hook_object_t", {}),
    "buffer": ("buffer_t", {}),
    "original": ("original_t", {}),
    "registers": ("registers_t", {}),
    "file": ("file_obj_t", {}),
    "stdio": ("stdio_obj_t", {}),
    "var": ("var_t", {}),
    "memory": ("memory_t", {}),
    "list": ("mp_obj_list_t", {}),
    "tuple": ("mp_obj_tuple_t", {}),
    "str": ("mp_obj_str_t", {}),
    "int": ("mp_obj_int_t", {"flags": "mpz", "len": "mpz.len", "digits": "mpz.dig"}),
    "map": ("mp_map_t", {}),
    "slice": ("mp_obj_slice_t", {}),
    "symbol": ("kpy_symbol_t", {}),
    "ptr": ("kpy_ptr_t", {}),
    "array_ptr": ("kpy_array_t", {}),
    "qstr_pool": ("qstr_pool_t", {"prev_len": "total_prev_len"}),
    "array": ("mp_obj_array_t", {}),
}
#: Bit fields, which C has no offsets of: (name in kpy_debug_info, its bits below or its width).
BITS = {
    "shift.map.used": ("mp_map_t", "used", "bitpos"),
    "bits.qstr_pool.prev_len": ("qstr_pool_t", "total_prev_len", "bitsize"),
    "bits.array.typecode": ("mp_obj_array_t", "typecode", "bitsize"),
    "bit.int.negative": ("mpz_t", "neg", "bitpos"),
}

ASK = """python
import gdb, json
from gdb_kpy.target import session as sessions
info = sessions.current().module().info
def offset(type, path):
    at = 0
    for name in path.split("."):
        field = next(f for f in gdb.lookup_type(str(type)).strip_typedefs().fields()
                     if f.name == name)
        at += field.bitpos // 8
        type = field.type.strip_typedefs()
    return at
found = {{}}
for group, (type, names) in {types!r}.items():
    for name, said in info.group("off." + group).items():
        path = names.get(name, name)
        try:
            found[group + "." + name] = [said, offset(type, path)]
        except Exception as error:
            found[group + "." + name] = [said, repr(error)]
for name, (type, field, what) in {bits!r}.items():
    real = next(f for f in gdb.lookup_type(type).strip_typedefs().fields() if f.name == field)
    found[name] = [info[name], getattr(real, what)]
constants = {{c: int(gdb.parse_and_eval(c)) for c in ("TEXT", "N_ARGS")}}
found["fault.text"] = [info["fault.text"], constants["TEXT"]]
found["fault.n_args"] = [info["fault.n_args"], constants["N_ARGS"]]
print("found:", json.dumps(found))
end
"""


def test_offsets_are_those_of_the_debug_info(gdb: GdbRunner, tmp_path: Path) -> None:
    script = tmp_path / "ask.gdb"
    script.write_text(ASK.format(types=TYPES, bits=BITS))
    done = gdb(f"source {script}", timeout=120)
    line = next((x for x in done.stdout.splitlines() if x.startswith("found: ")), None)
    assert line is not None, done.stdout + done.stderr
    found = json.loads(line.split(" ", 1)[1])
    assert len(found) > 70
    wrong = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    assert not wrong
