// SPDX-License-Identifier: GPL-2.0-or-later
/* Symbol: a name of the kernel and its address. */
#ifndef NO_QSTR
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/builtin.h"
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"
#ifndef NO_QSTR
#include "ffi/modules.h"
#endif
#include "ffi/prototype.h"

#ifdef NO_QSTR
#define kpy_kallsyms_lookup(name) 0
#endif

#define SYM_RESOLVED 1 /* the kernel has that name at that address */
#define SYM_CORE 2 /* in the kernel's own text */
#define SYM_CALLABLE 4 /* text, and its prototype was looked for, in this generation */

/* The name behind one that became a macro, else the same. */
static const char *real_name(const char *name)
{
	/* Functions that became macros, and what they expand to. */
	static const char *const renamed[][2] = {
		{ "printk", "_printk" }, /* commit 337015573718 (v5.15) */
		{ "kmalloc", "__kmalloc" }, /* always inline */
	};

	for (size_t i = 0; i < MP_ARRAY_SIZE(renamed); i++)
		if (!strcmp(name, renamed[i][0]))
			return renamed[i][1];
	return name;
}

unsigned long kpy_resolve(const char *name)
{
	unsigned long address = kpy_kallsyms_lookup(name);

	return address ?: kpy_kallsyms_lookup(real_name(name));
}

static mp_obj_t new_symbol(mp_obj_t name, uintptr_t value, uint8_t flags)
{
	kpy_symbol_t *s = mp_obj_malloc(kpy_symbol_t, &kpy_type_symbol);

	s->name = name;
	s->value = value;
	s->proto = NULL;
	s->generation = 0;
	s->flags = flags;
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
	return new_symbol(name, address, SYM_RESOLVED);
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_symbol_obj, symbol);

static mp_obj_t symbol_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
				const mp_obj_t *args)
{
	mp_arg_check_num(n_args, n_kw, 2, 2, false);
	mp_obj_str_get_str(args[0]);
	return new_symbol(args[0], kpy_int_to_word(args[1]), 0);
}

static void symbol_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	mp_printf(print, "Symbol('%s', 0x%lx)", mp_obj_str_get_str(self->name),
		  (unsigned long)self->value);
}

#ifdef NO_QSTR
#define PREPARE(self)
#define kpy_module_generation() 0
#else
static void find_proto(kpy_symbol_t *self)
{
	struct kpy_proto found;
	int known = 0;

	/* Whose name is not known to fit has no prototype. */
	if (self->flags & SYM_RESOLVED)
		known = kpy_proto_find(&found, real_name(mp_obj_str_get_str(self->name)),
				       self->value);
	if (known == -EAGAIN)
		return;
	self->proto = NULL;
	if (known) {
		self->proto = m_new_obj(struct kpy_proto);
		*self->proto = found;
	}
	self->flags |= SYM_CALLABLE;
}

/* Before the first call, and the first one after modules came or went. */
static noinline void prepare(kpy_symbol_t *self)
{
	const char *name = mp_obj_str_get_str(self->name);
	unsigned int generation = kpy_module_generation();

	if (!(self->flags & SYM_CORE)) {
		self->flags &= ~SYM_CALLABLE;
		/* Its module may be gone, and another be at its place. */
		if (self->generation && self->generation != generation &&
		    (self->flags & SYM_RESOLVED) && kpy_resolve(name) != self->value)
			mp_raise_msg_varg(&mp_type_ValueError,
					  MP_ERROR_TEXT("'%s' is no longer at 0x%lx: its module "
							"was unloaded"),
					  name, (unsigned long)self->value);
		if (!kpy_is_text(self->value))
			mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is data"), name);
		if (kpy_is_core_text(self->value))
			self->flags |= SYM_CORE;
	}
	if (!(self->flags & SYM_CALLABLE))
		find_proto(self);
	self->generation = generation;
}
#define PREPARE(self) prepare(self)
#endif

static void check_callable(kpy_symbol_t *self)
{
	if (!(self->flags & SYM_CALLABLE) || self->generation != kpy_module_generation())
		PREPARE(self);
}

static mp_obj_t symbol_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	if (n_kw || n_args > 12)
		mp_arg_check_num(n_args, n_kw, 0, 12, false);
	check_callable(self);
	return kpy_call(self->name, self->value, self->proto, n_args, args);
}

/* symbol.raw(...): a call without the prototype. Raises TypeError. Returns an unsigned int. */
static mp_obj_t symbol_raw(size_t n_args, const mp_obj_t *args)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(args[0]);

	check_callable(self);
	return kpy_call(self->name, self->value, NULL, n_args - 1, args + 1);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(symbol_raw_obj, 1, 13, symbol_raw);

static mp_obj_t symbol_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	return kpy_address_unary_op(op, ((kpy_symbol_t *)MP_OBJ_TO_PTR(self_in))->value);
}

static mp_obj_t symbol_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	return kpy_address_binary_op(op, ((kpy_symbol_t *)MP_OBJ_TO_PTR(lhs))->value, rhs);
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
	else if (attr == MP_QSTR_raw)
		dest[0] = mp_obj_new_bound_meth(MP_OBJ_FROM_PTR(&symbol_raw_obj), self_in);
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
	found->value = new_symbol(MP_OBJ_NEW_QSTR(name), address, SYM_RESOLVED);
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
