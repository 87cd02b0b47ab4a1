// SPDX-License-Identifier: GPL-2.0-or-later
/* Global names that Python does not know are looked up in the kernel. */
#include "py/builtin.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/resolve.h"
#ifndef NO_QSTR
#include "ffi/modules.h"
#include "structs/lookup.h"
#endif

MP_REGISTER_ROOT_POINTER(mp_obj_t kpy_symbol_cache); /* dict, or NULL: auto globals off */

static mp_obj_t auto_globals(mp_obj_t on)
{
	MP_STATE_VM(kpy_symbol_cache) = mp_obj_is_true(on) ? mp_obj_new_dict(0) : MP_OBJ_NULL;
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_auto_globals_obj, auto_globals);

#ifndef NO_QSTR
mp_obj_t mp_load_global_core(qstr name);
mp_obj_t mp_load_global(qstr name);

/* What was found; of an older generation of modules, it may be gone or be another symbol's. */
static mp_map_t *cache(void)
{
	static unsigned int generation;

	if (unlikely(generation != kpy_module_generation())) {
		generation = kpy_module_generation();
		MP_STATE_VM(kpy_symbol_cache) = mp_obj_new_dict(0);
	}
	return mp_obj_dict_get_map(MP_STATE_VM(kpy_symbol_cache));
}

static mp_obj_t find_symbol(mp_obj_t key)
{
	mp_obj_t name = key, symbol;
	unsigned long address;

	if (!kpy_resolve_symbol(&name, NULL, -1, &address))
		return MP_OBJ_NULL;
	symbol = kpy_symbol_new(name, address);
	/* The GIL was given up: another thread may have switched auto globals off. */
	if (MP_STATE_VM(kpy_symbol_cache))
		mp_map_lookup(cache(), key, MP_MAP_LOOKUP_ADD_IF_NOT_FOUND)->value = symbol;
	return symbol;
}

/* A struct's name, when no symbol has it. */
static mp_obj_t find_struct(mp_obj_t key)
{
	mp_obj_t found = kpy_struct_global(mp_obj_str_get_str(key));

	if (found && MP_STATE_VM(kpy_symbol_cache))
		mp_map_lookup(cache(), key, MP_MAP_LOOKUP_ADD_IF_NOT_FOUND)->value = found;
	return found;
}

/*
 * Upstream's search with one more step. What is in our cache was neither a global nor a
 * builtin when it was found; builtins do not change, except for those that are overridden.
 */
mp_obj_t mp_load_global(qstr name)
{
	mp_obj_t key = MP_OBJ_NEW_QSTR(name), value;
	mp_map_elem_t *found = mp_map_lookup(&mp_globals_get()->map, key, MP_MAP_LOOKUP);

	if (found)
		return found->value;
#if MICROPY_CAN_OVERRIDE_BUILTINS
	if (MP_STATE_VM(mp_module_builtins_override_dict)) {
		mp_map_t *map = &MP_STATE_VM(mp_module_builtins_override_dict)->map;

		found = mp_map_lookup(map, key, MP_MAP_LOOKUP);
		if (found)
			return found->value;
	}
#endif
	if (MP_STATE_VM(kpy_symbol_cache)) {
		found = mp_map_lookup(cache(), key, MP_MAP_LOOKUP);
		if (found)
			return found->value;
	}
	found = mp_map_lookup((mp_map_t *)&mp_module_builtins_globals.map, key, MP_MAP_LOOKUP);
	if (found)
		return found->value;
	if (MP_STATE_VM(kpy_symbol_cache)) {
		value = find_symbol(key);
		if (!value)
			value = find_struct(key);
		if (value)
			return value;
		kpy_raise_near(key);
	}
	return mp_load_global_core(name); /* raises NameError */
}
#endif
