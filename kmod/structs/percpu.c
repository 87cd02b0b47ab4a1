// SPDX-License-Identifier: GPL-2.0-or-later
/* Per-CPU variables. */
#ifndef NO_QSTR
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/smp.h>
#endif
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"
#include "structs/lookup.h"
#include "structs/object.h"
#include "structs/tools.h"
#ifndef NO_QSTR
#include "ffi/modules.h"
#include "structs/sources.h"

/* A variable of no known type is its address. */
static mp_obj_t value_of(mp_obj_t symbol, unsigned int cpu)
{
	const unsigned long *offsets = (void *)kpy_kallsyms_lookup("__per_cpu_offset");
	mp_obj_t name = symbol;
	unsigned long address, offset;
	struct kpy_place place;
	struct kpy_cinfo info;
	struct kpy_ctype decl;

	if (mp_obj_is_str(symbol))
		symbol = mp_call_function_1(MP_OBJ_FROM_PTR(&kpy_symbol_obj), symbol);
	if (mp_obj_is_exact_type(symbol, &kpy_type_symbol))
		name = ((kpy_symbol_t *)MP_OBJ_TO_PTR(symbol))->name;
	if (!mp_obj_is_str(name))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is no symbol"),
				  mp_obj_get_type_str(name));
	if (cpu >= nr_cpu_ids || !cpu_possible(cpu) || !offsets ||
	    kpy_read_memory(&offset, (unsigned long)&offsets[cpu], sizeof(offset)))
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("there is no CPU %u"), cpu);
	kpy_lookup_prepare(NULL);
	decl = kpy_sources_decl(NULL, mp_obj_str_get_str(name));
	kpy_ctype_get(decl, &info);
	if (info.kind == KPY_C_DECL && !info.percpu)
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is no per-CPU variable"),
				  mp_obj_str_get_str(name));
	address = kpy_to_address(symbol) + offset;
	if (info.kind != KPY_C_DECL)
		return mp_obj_new_int_from_uint(address);
	place = (struct kpy_place){ decl, "" };
	decl.id = info.target;
	return kpy_typed_load(decl, address, 0, 0, &place);
}
#endif

/*
 * per_cpu(symbol, cpu): the variable of that CPU: a number, or the pointer object for a struct, an
 * array or a pointer; its address as an int when its type is not known. Raises ValueError, TypeError,
 * NameError.
 */
static mp_obj_t per_cpu_of(mp_obj_t symbol, mp_obj_t cpu)
{
#ifndef NO_QSTR
	mp_int_t n = mp_obj_get_int(cpu);

	if (n < 0)
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("there is no CPU %d"), (int)n);
	return value_of(symbol, n);
#endif
}
MP_DEFINE_CONST_FUN_OBJ_2(kpy_per_cpu_obj, per_cpu_of);

/* this_cpu(symbol): that of the CPU on which this code runs at the moment. */
static mp_obj_t this_cpu_of(mp_obj_t symbol)
{
#ifndef NO_QSTR
	return value_of(symbol, raw_smp_processor_id());
#endif
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_this_cpu_obj, this_cpu_of);
