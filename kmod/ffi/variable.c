// SPDX-License-Identifier: GPL-2.0-or-later
/* Var: a variable of the kernel by its declared type. */
#ifndef NO_QSTR
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"
#include "ffi/prototype.h"
#include "ffi/resolve.h"
#include "ffi/variable.h"
#include "structs/object.h"

typedef struct {
	mp_obj_base_t base;
	mp_obj_t symbol;
	mp_int_t cpu; /* -1: the one that asks */
} var_t;

#ifdef NO_QSTR
#define kpy_value_load(symbol, cpu) mp_const_none
#define kpy_value_store(symbol, cpu, value)
#define var_print 0
#define type_of(self) mp_const_none
#define check_cpu(cpu)
#else

#define TEXT_MAX 256

/* A variable, as found for one access. */
struct variable {
	const char *name;
	unsigned long address;
	struct kpy_ctype decl, type;
	bool percpu;
};

static bool in_percpu_section(unsigned long address)
{
	static unsigned long start, end;
	static bool (*in_module)(unsigned long);

	if (!end) {
		in_module = (void *)kpy_kallsyms_lookup("is_module_percpu_address");
		start = kpy_kallsyms_lookup("__per_cpu_start");
		end = kpy_kallsyms_lookup("__per_cpu_end");
	}
	return (address >= start && address < end) || (in_module && in_module(address));
}

static const char *declaration(const struct variable *v, char *buf, size_t size)
{
	struct kpy_text text = { buf, size };

	kpy_ctype_declare(&text, v->decl, "");
	return buf;
}

/* Raises TypeError when there is no type, and for functions. */
static void find(const kpy_symbol_t *symbol, struct variable *v)
{
	char buf[TEXT_MAX];
	struct kpy_cinfo info;
	int known;

	v->name = mp_obj_str_get_str(symbol->name);
	v->address = symbol->value;
	known = kpy_decl_find(v->name, v->address, &v->decl);
	if (known == -EAGAIN)
		mp_raise_msg_varg(&mp_type_RuntimeError,
				  MP_ERROR_TEXT("the type of '%s' cannot be looked up here: do it "
						"once in process context"),
				  v->name);
	if (!known)
		mp_raise_msg_varg(&mp_type_TypeError,
				  MP_ERROR_TEXT("the type of '%s' is not known: read it with p8() "
						"to p64()"),
				  v->name);
	kpy_ctype_get(v->decl, &info);
	v->type = (struct kpy_ctype){ v->decl.in, info.target };
	v->percpu = in_percpu_section(v->address);
	kpy_ctype_strip(v->type, &info);
	if (info.kind == KPY_C_FUNCTION)
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is a function: %s"),
				  v->name, declaration(v, buf, sizeof(buf)));
}

static unsigned long place(const struct variable *v, mp_int_t cpu)
{
	if (!v->percpu)
		return v->address;
	return v->address + per_cpu_offset(cpu < 0 ? raw_smp_processor_id() : cpu);
}

mp_obj_t kpy_value_load(const kpy_symbol_t *symbol, mp_int_t cpu)
{
	struct kpy_place where;
	struct variable v;

	if (kpy_is_completing())
		return mp_const_none;
	find(symbol, &v);
	where = (struct kpy_place){ v.decl, "" };
	return kpy_typed_load(v.type, place(&v, cpu), 0, 0, &where);
}

void kpy_value_store(const kpy_symbol_t *symbol, mp_int_t cpu, mp_obj_t value)
{
	struct kpy_place where;
	struct variable v;

	find(symbol, &v);
	where = (struct kpy_place){ v.decl, "" };
	kpy_typed_store(v.type, place(&v, cpu), value, &where);
}

static mp_obj_t type_of(const var_t *self)
{
	char buf[TEXT_MAX];
	struct kpy_text text = { buf, sizeof(buf) };
	struct variable v;

	if (kpy_is_completing())
		return mp_const_none;
	find(MP_OBJ_TO_PTR(self->symbol), &v);
	kpy_ctype_declare(&text, v.type, "");
	return mp_obj_new_str(buf, min(text.len, sizeof(buf) - 1));
}

/* Var('jiffies_64', 0xffffffff82a07980, 'u64 jiffies_64') */
static void var_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	const var_t *self = MP_OBJ_TO_PTR(self_in);
	const kpy_symbol_t *symbol = MP_OBJ_TO_PTR(self->symbol);
	char buf[TEXT_MAX];
	struct variable v;

	find(symbol, &v);
	mp_printf(print, "Var('%s', 0x%lx, '%s'", v.name, v.address,
		  declaration(&v, buf, sizeof(buf)));
	if (v.percpu && self->cpu < 0)
		mp_print_str(print, ", of the CPU that asks");
	else if (v.percpu)
		mp_printf(print, ", of CPU %d", (int)self->cpu);
	mp_print_str(print, ")");
}

static void check_cpu(mp_int_t cpu)
{
	if (cpu < 0 || cpu >= nr_cpu_ids || !cpu_possible(cpu))
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("no CPU %d"), (int)cpu);
}
#endif

static void var_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
	const var_t *self = MP_OBJ_TO_PTR(self_in);
	const kpy_symbol_t *symbol = MP_OBJ_TO_PTR(self->symbol);

	if (dest[0] == MP_OBJ_NULL) {
		if (attr == MP_QSTR_value)
			dest[0] = kpy_value_load(symbol, self->cpu);
		else if (attr == MP_QSTR_address)
			dest[0] = mp_obj_new_int_from_uint(symbol->value);
		else if (attr == MP_QSTR_type)
			dest[0] = type_of(self);
	} else if (attr == MP_QSTR_value && dest[1] != MP_OBJ_NULL) {
		kpy_value_store(symbol, self->cpu, dest[1]);
		dest[0] = MP_OBJ_NULL;
	}
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_var, MP_QSTR_Var, MP_TYPE_FLAG_NONE, print, var_print, attr,
			 var_attr);

/*
 * var(name, cpu=None): name is a str or Symbol; its .value reads and writes by the declared type.
 * Of a per-CPU variable it is the one of that CPU, or of the CPU that asks. Raises NameError,
 * TypeError when the type is not known or a function's.
 */
static mp_obj_t var(size_t n_args, const mp_obj_t *pos_args, mp_map_t *kw_args)
{
	enum { ARG_NAME, ARG_CPU };
	static const mp_arg_t allowed[] = {
		{ MP_QSTR_name, MP_ARG_REQUIRED | MP_ARG_OBJ, { .u_obj = MP_OBJ_NULL } },
		{ MP_QSTR_cpu, MP_ARG_OBJ, { .u_rom_obj = MP_ROM_NONE } },
	};
	mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
	var_t *o;

	mp_arg_parse_all(n_args, pos_args, kw_args, MP_ARRAY_SIZE(allowed), allowed, args);
	o = mp_obj_malloc(var_t, &kpy_type_var);
	o->symbol = args[ARG_NAME].u_obj;
	if (!mp_obj_is_exact_type(o->symbol, &kpy_type_symbol))
		o->symbol = mp_call_function_1(MP_OBJ_FROM_PTR(&kpy_symbol_obj), o->symbol);
	o->cpu = -1;
	if (args[ARG_CPU].u_obj != mp_const_none) {
		o->cpu = mp_obj_get_int(args[ARG_CPU].u_obj);
		check_cpu(o->cpu);
	}
	type_of(o); /* raises now, not at the first use */
	return MP_OBJ_FROM_PTR(o);
}
MP_DEFINE_CONST_FUN_OBJ_KW(kpy_var_obj, 1, var);
