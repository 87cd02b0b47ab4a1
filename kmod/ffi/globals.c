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

#ifdef NO_QSTR
#define FORGET()
#else
#define FORGET() kpy_names_epoch++
#endif

MP_REGISTER_ROOT_POINTER(mp_obj_t kpy_symbol_cache); /* dict, or NULL: auto globals off */

static mp_obj_t auto_globals(mp_obj_t on)
{
	FORGET();
	MP_STATE_VM(kpy_symbol_cache) = mp_obj_is_true(on) ? mp_obj_new_dict(0) : MP_OBJ_NULL;
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_auto_globals_obj, auto_globals);

#ifndef NO_QSTR
mp_obj_t mp_load_global_core(qstr name);
mp_obj_t mp_load_global(qstr name);

/*
 * Symbols that were found for a name in a map of globals that has no such key: upstream's
 * maps are full before they grow, so that what is not in them is searched for long. An entry
 * holds as long as that map has the same table, with as many keys, as many builtins are
 * overridden (the REPL's _ is one), and the epoch is the same: it changes when any map loses
 * a key or its table, and with each collection.
 */
#define NAMES 64
static struct {
	qstr name;
	unsigned int epoch;
	const mp_map_elem_t *table;
	size_t used, overridden;
	mp_obj_t symbol;
} names[NAMES];
unsigned int kpy_names_epoch = 1;

/* What was found; of an older generation of modules, it may be gone or be another symbol's. */
static unsigned int generation;

static bool is_current(void)
{
	return likely(generation == kpy_module_generation());
}

static mp_map_t *cache(void)
{
	if (!is_current()) {
		generation = kpy_module_generation();
		FORGET();
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

static size_t n_overridden(void)
{
	const mp_obj_dict_t *overridden = MP_STATE_VM(mp_module_builtins_override_dict);

	return overridden ? overridden->map.used : 0;
}

static void remember(qstr name, mp_obj_t symbol)
{
	const mp_map_t *map = &mp_globals_get()->map;
	size_t i = name % NAMES;

	names[i].name = name;
	names[i].epoch = kpy_names_epoch;
	names[i].table = map->table;
	names[i].used = map->used;
	names[i].overridden = n_overridden();
	names[i].symbol = symbol;
}

/*
 * Upstream's search with one more step. What is in our cache was neither a global nor a
 * builtin when it was found; builtins do not change, except for those that are overridden.
 */
static noinline mp_obj_t search(qstr name)
{
	mp_obj_t key = MP_OBJ_NEW_QSTR(name), value;
	mp_map_elem_t *found;

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
		if (found) {
			remember(name, found->value);
			return found->value;
		}
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

mp_obj_t mp_load_global(qstr name)
{
	mp_map_t *map = &mp_globals_get()->map;
	size_t i = name % NAMES;
	mp_map_elem_t *found;

	if (names[i].name == name && names[i].table == map->table && names[i].used == map->used &&
	    names[i].overridden == n_overridden() && names[i].epoch == kpy_names_epoch &&
	    is_current())
		return names[i].symbol;
	found = mp_map_lookup(map, MP_OBJ_NEW_QSTR(name), MP_MAP_LOOKUP);
	return found ? found->value : search(name);
}
#endif
