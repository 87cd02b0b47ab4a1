// SPDX-License-Identifier: GPL-2.0-or-later
/* Symbol: a name of the kernel and its address. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/builtin.h"
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"

#ifdef NO_QSTR
#define kpy_kallsyms_lookup(name) 0
#endif

unsigned long kpy_resolve(const char *name)
{
	/* Functions that became macros, and what they expand to. */
	static const char *const renamed[][2] = {
		{ "printk", "_printk" }, /* commit 337015573718 (v5.15) */
		{ "kmalloc", "__kmalloc" }, /* always inline */
	};
	unsigned long address = kpy_kallsyms_lookup(name);

	for (size_t i = 0; !address && i < MP_ARRAY_SIZE(renamed); i++)
		if (!strcmp(name, renamed[i][0]))
			address = kpy_kallsyms_lookup(renamed[i][1]);
	return address;
}

static mp_obj_t new_symbol(mp_obj_t name, uintptr_t value)
{
	kpy_symbol_t *s = mp_obj_malloc(kpy_symbol_t, &kpy_type_symbol);

	s->name = name;
	s->value = value;
	return MP_OBJ_FROM_PTR(s);
}

/* symbol(name): raises NameError when the kernel has none of that name. */
static mp_obj_t symbol(mp_obj_t name)
{
	const char *text = mp_obj_str_get_str(name);
	unsigned long address = kpy_resolve(text);

	if (!address)
		mp_raise_msg_varg(&mp_type_NameError, MP_ERROR_TEXT("kernel symbol '%s' not found"),
				  text);
	return new_symbol(name, address);
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_symbol_obj, symbol);

static mp_obj_t symbol_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
				const mp_obj_t *args)
{
	mp_arg_check_num(n_args, n_kw, 2, 2, false);
	mp_obj_str_get_str(args[0]);
	return new_symbol(args[0], kpy_int_to_word(args[1]));
}

static void symbol_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	mp_printf(print, "Symbol('%s', 0x%lx)", mp_obj_str_get_str(self->name),
		  (unsigned long)self->value);
}

static mp_obj_t symbol_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	mp_arg_check_num(n_args, n_kw, 0, 12, false);
	return kpy_call(self->name, self->value, n_args, args);
}

static mp_obj_t symbol_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	switch (op) {
	case MP_UNARY_OP_INT_MAYBE:
		return mp_obj_new_int_from_uint(self->value);
	case MP_UNARY_OP_HASH:
		return MP_OBJ_NEW_SMALL_INT(self->value >> 1);
	case MP_UNARY_OP_BOOL:
		return mp_obj_new_bool(self->value != 0);
	default:
		return MP_OBJ_NULL;
	}
}

/* A Symbol computes as the int it stands for, on either side. */
static mp_obj_t symbol_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(lhs);
	mp_obj_t value = mp_obj_new_int_from_uint(self->value);

	if (mp_obj_is_exact_type(rhs, &kpy_type_symbol))
		rhs = symbol_unary_op(MP_UNARY_OP_INT_MAYBE, rhs);
	if (op >= MP_BINARY_OP_REVERSE_OR && op <= MP_BINARY_OP_REVERSE_POWER)
		return mp_binary_op(op - (MP_BINARY_OP_REVERSE_OR - MP_BINARY_OP_OR), rhs, value);
	if (!mp_obj_is_int(rhs))
		return MP_OBJ_NULL;
	return mp_binary_op(op, value, rhs);
}

static void symbol_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	if (dest[0] != MP_OBJ_NULL)
		return;
	if (attr == MP_QSTR_name)
		dest[0] = self->name;
	else if (attr == MP_QSTR_address)
		dest[0] = mp_obj_new_int_from_uint(self->value);
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_symbol, MP_QSTR_Symbol, MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE,
			 make_new, symbol_make_new, print, symbol_print, call, symbol_call,
			 unary_op, symbol_unary_op, binary_op, symbol_binary_op, attr, symbol_attr);

/* Global names that Python does not know are looked up in the kernel. */

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

static mp_obj_t load_symbol(qstr name)
{
	mp_map_t *map = mp_obj_dict_get_map(MP_STATE_VM(kpy_symbol_cache));
	mp_map_elem_t *found = mp_map_lookup(map, MP_OBJ_NEW_QSTR(name), MP_MAP_LOOKUP);
	unsigned long address;

	if (found)
		return found->value;
	address = kpy_resolve(qstr_str(name));
	if (!address)
		return MP_OBJ_NULL;
	found = mp_map_lookup(map, MP_OBJ_NEW_QSTR(name), MP_MAP_LOOKUP_ADD_IF_NOT_FOUND);
	found->value = new_symbol(MP_OBJ_NEW_QSTR(name), address);
	return found->value;
}

/* Upstream's search with one more step at its end; what is found costs what it does there. */
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
	found = mp_map_lookup((mp_map_t *)&mp_module_builtins_globals.map, key, MP_MAP_LOOKUP);
	if (found)
		return found->value;
	if (MP_STATE_VM(kpy_symbol_cache)) {
		value = load_symbol(name);
		if (value)
			return value;
	}
	return mp_load_global_core(name); /* raises NameError */
}
#endif
