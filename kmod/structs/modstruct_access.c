// SPDX-License-Identifier: GPL-2.0-or-later
/* The module struct_access. */
#include "py/obj.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/pointer.h"
#include "structs/lookup.h"
#include "structs/object.h"
#include "structs/tools.h"

static const mp_rom_map_elem_t globals_table[] = {
	{ MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_struct_access) },
	{ MP_ROM_QSTR(MP_QSTR_lookup_struct), MP_ROM_PTR(&kpy_lookup_struct_obj) },
	{ MP_ROM_QSTR(MP_QSTR_partial_struct), MP_ROM_PTR(&kpy_lookup_struct_obj) },
	{ MP_ROM_QSTR(MP_QSTR_Struct), MP_ROM_PTR(&kpy_type_struct) },
	{ MP_ROM_QSTR(MP_QSTR_StructPtr), MP_ROM_PTR(&kpy_type_struct_ptr) },
	{ MP_ROM_QSTR(MP_QSTR_Ptr), MP_ROM_PTR(&kpy_type_ptr) },
	{ MP_ROM_QSTR(MP_QSTR_ArrayPtr), MP_ROM_PTR(&kpy_type_array_ptr) },
	{ MP_ROM_QSTR(MP_QSTR_LayoutError), MP_ROM_PTR(&kpy_type_LayoutError) },
	{ MP_ROM_QSTR(MP_QSTR_sizeof), MP_ROM_PTR(&kpy_sizeof_obj) },
	{ MP_ROM_QSTR(MP_QSTR_offsetof), MP_ROM_PTR(&kpy_offsetof_obj) },
	{ MP_ROM_QSTR(MP_QSTR_container_of), MP_ROM_PTR(&kpy_container_of_obj) },
	{ MP_ROM_QSTR(MP_QSTR_dump_struct), MP_ROM_PTR(&kpy_dump_struct_obj) },
	{ MP_ROM_QSTR(MP_QSTR_pahole), MP_ROM_PTR(&kpy_pahole_obj) },
	{ MP_ROM_QSTR(MP_QSTR_list_for_each), MP_ROM_PTR(&kpy_list_for_each_obj) },
	{ MP_ROM_QSTR(MP_QSTR_xa_for_each), MP_ROM_PTR(&kpy_xa_for_each_obj) },
	{ MP_ROM_QSTR(MP_QSTR_this_cpu), MP_ROM_PTR(&kpy_this_cpu_obj) },
	{ MP_ROM_QSTR(MP_QSTR_per_cpu), MP_ROM_PTR(&kpy_per_cpu_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t kpy_module_struct_access = {
	.base = { &mp_type_module },
	.globals = (mp_obj_dict_t *)&globals,
};
MP_REGISTER_MODULE(MP_QSTR_struct_access, kpy_module_struct_access);
