// SPDX-License-Identifier: GPL-2.0-or-later
/* Symbol: a name of the kernel and its address. */
#ifndef NO_QSTR
#include <linux/errno.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/builtin.h"
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"
#include "ffi/prototype.h"
#include "ffi/resolve.h"
#include "ffi/variable.h"
#ifndef NO_QSTR
#include "ffi/ksyms.h"
#include "ffi/modules.h"
#endif

#define SYM_RESOLVED 1 /* the kernel has that name at that address */
#define SYM_CORE 2 /* in the kernel's own text */
#define SYM_CALLABLE 4 /* text, and its prototype was looked for, in this generation */

#ifdef NO_QSTR
#define kpy_module_generation() 0
#define kpy_resolve_symbol(a, b, c, d) 0
#define kpy_raise_no_symbol(error, name, module)
#endif

static inline bool is_callable(const kpy_symbol_t *self)
{
	return self->flags & SYM_CALLABLE && self->generation == kpy_module_generation();
}

static mp_obj_t new_symbol(mp_obj_t name, uintptr_t value, uint8_t flags)
{
	kpy_symbol_t *s = mp_obj_malloc(kpy_symbol_t, &kpy_type_symbol);

	s->name = name;
	s->value = value;
	s->proto = NULL;
	s->generation = kpy_module_generation();
	s->flags = flags;
	return MP_OBJ_FROM_PTR(s);
}

mp_obj_t kpy_symbol_new(mp_obj_t name, unsigned long address)
{
	return new_symbol(name, address, SYM_RESOLVED);
}

/*
 * symbol(name, n=None, module=None): with a module ("vmlinux" is one), the symbol of that; n picks
 * one of several of the same name. Raises NameError, ValueError when there are several.
 */
static mp_obj_t symbol(size_t n_args, const mp_obj_t *pos_args, mp_map_t *kw_args)
{
	enum { ARG_NAME, ARG_N, ARG_MODULE };
	static const mp_arg_t allowed[] = {
		{ MP_QSTR_name, MP_ARG_REQUIRED | MP_ARG_OBJ, { .u_obj = MP_OBJ_NULL } },
		{ MP_QSTR_n, MP_ARG_OBJ, { .u_rom_obj = MP_ROM_NONE } },
		{ MP_QSTR_module, MP_ARG_OBJ, { .u_rom_obj = MP_ROM_NONE } },
	};
	mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
	mp_int_t n = -1;
	const char *module = NULL;
	mp_obj_t name;
	unsigned long address;

	mp_arg_parse_all(n_args, pos_args, kw_args, MP_ARRAY_SIZE(allowed), allowed, args);
	name = args[ARG_NAME].u_obj;
	mp_obj_str_get_str(name);
	if (args[ARG_N].u_obj != mp_const_none) {
		n = mp_obj_get_int(args[ARG_N].u_obj);
		if (n < 0)
			mp_raise_ValueError(MP_ERROR_TEXT("negative number"));
	}
	if (args[ARG_MODULE].u_obj != mp_const_none)
		module = mp_obj_str_get_str(args[ARG_MODULE].u_obj);
	if (!kpy_resolve_symbol(&name, module, n, &address))
		kpy_raise_no_symbol(&mp_type_NameError, name, module);
	return kpy_symbol_new(name, address);
}
MP_DEFINE_CONST_FUN_OBJ_KW(kpy_symbol_obj, 1, symbol);

static mp_obj_t symbol_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
				const mp_obj_t *args)
{
	mp_arg_check_num(n_args, n_kw, 2, 2, false);
	mp_obj_str_get_str(args[0]);
	return new_symbol(args[0], kpy_int_to_word(args[1]), 0);
}

#ifdef NO_QSTR
#define symbol_print 0
#define module_of(self) mp_const_none
#define is_exported(self) 0
#define prototype(self) mp_const_none
#else
static bool is_exported(const kpy_symbol_t *self)
{
	return self->flags & SYM_RESOLVED &&
	       kpy_ksym_exported(mp_obj_str_get_str(self->name), self->value);
}

/* Symbol('ksize', 0xffffffff812d1f50, exported), Symbol('x', 0xffffffffc0001000, module 'y') */
static void symbol_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);
	char module[MODULE_NAME_LEN];

	mp_printf(print, "Symbol('%s', 0x%lx", mp_obj_str_get_str(self->name),
		  (unsigned long)self->value);
	if (kpy_module_of(self->value, module))
		mp_printf(print, ", module '%s'", module);
	mp_printf(print, is_exported(self) ? ", exported)" : ")");
}

static mp_obj_t module_of(const kpy_symbol_t *self)
{
	char module[MODULE_NAME_LEN];

	if (!kpy_module_of(self->value, module))
		return mp_const_none;
	return mp_obj_new_str_from_cstr(module);
}
#endif

#ifdef NO_QSTR
#define PREPARE(self)
#define LOAD_VALUE(self) mp_const_none
#define STORE_VALUE(self, value)
#else
static void find_proto(kpy_symbol_t *self)
{
	struct kpy_proto found;
	int known = 0;

	/* Whose name is not known to fit has no prototype. */
	if (self->flags & SYM_RESOLVED)
		known = kpy_proto_find(&found, mp_obj_str_get_str(self->name), self->value);
	if (known == -EAGAIN)
		return;
	self->proto = NULL;
	if (known) {
		self->proto = m_new_obj(struct kpy_proto);
		*self->proto = found;
	}
	self->flags |= SYM_CALLABLE;
}

/* Is the name still at the address? Another symbol may be there, too. */
static bool is_there(const char *name, unsigned long address)
{
	char there[KSYM_NAME_LEN];

	return kpy_kallsyms_lookup(name) == address ||
	       (kpy_name_of(address, there) && !strcmp(name, there));
}

/* Before the first call, and the first one after modules came or went. */
static noinline void prepare(kpy_symbol_t *self)
{
	const char *name = mp_obj_str_get_str(self->name);
	unsigned int generation = kpy_module_generation();

	if (!(self->flags & SYM_CORE)) {
		self->flags &= ~SYM_CALLABLE;
		/* Its module may be gone, and another be at its place. */
		if (self->generation != generation && (self->flags & SYM_RESOLVED) &&
		    !is_there(name, self->value))
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
#define LOAD_VALUE(self) kpy_value_load(self, -1)
#define STORE_VALUE(self, value) kpy_value_store(self, -1, value)

/* "size_t ksize(const void *objp)", or None. Raises what a call would. */
static mp_obj_t prototype(kpy_symbol_t *self)
{
	char buf[512];
	struct kpy_text text = { buf, sizeof(buf) };

	if (!is_callable(self))
		prepare(self);
	if (!self->proto)
		return mp_const_none;
	kpy_proto_text(&text, self->proto);
	return mp_obj_new_str(buf, min(text.len, sizeof(buf) - 1));
}
#endif

static MP_NOINLINE mp_obj_t prepare_and_call(kpy_symbol_t *self, size_t n_args, size_t n_kw,
					     const mp_obj_t *args)
{
	mp_arg_check_num(n_args, n_kw, 0, 12, false);
	if (!is_callable(self))
		PREPARE(self);
	return kpy_call(self->name, self->value, self->proto, n_args, args);
}

static mp_obj_t symbol_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(self_in);

	if (n_kw || n_args > 12 || !is_callable(self))
		return prepare_and_call(self, n_args, n_kw, args);
	return kpy_call(self->name, self->value, self->proto, n_args, args);
}

/* symbol.raw(...): a call without the prototype. Raises TypeError. Returns an unsigned int. */
static mp_obj_t symbol_raw(size_t n_args, const mp_obj_t *args)
{
	kpy_symbol_t *self = MP_OBJ_TO_PTR(args[0]);

	if (!is_callable(self))
		PREPARE(self);
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

	if (dest[0] != MP_OBJ_NULL) {
		if (attr == MP_QSTR_value && dest[1] != MP_OBJ_NULL) {
			STORE_VALUE(self, dest[1]);
			dest[0] = MP_OBJ_NULL;
		}
		return;
	}
	switch (attr) {
	case MP_QSTR_name:
		dest[0] = self->name;
		break;
	case MP_QSTR_address:
		dest[0] = mp_obj_new_int_from_uint(self->value);
		break;
	case MP_QSTR_module:
		dest[0] = module_of(self);
		break;
	case MP_QSTR_exported:
		dest[0] = mp_obj_new_bool(is_exported(self));
		break;
	case MP_QSTR_prototype:
		dest[0] = kpy_is_completing() ? mp_const_none : prototype(self);
		break;
	case MP_QSTR_value:
		dest[0] = LOAD_VALUE(self);
		break;
	case MP_QSTR_raw:
		dest[0] = mp_obj_new_bound_meth(MP_OBJ_FROM_PTR(&symbol_raw_obj), self_in);
		break;
	}
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_symbol, MP_QSTR_Symbol, MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE,
			 make_new, symbol_make_new, print, symbol_print, call, symbol_call,
			 unary_op, symbol_unary_op, binary_op, symbol_binary_op, attr, symbol_attr);
