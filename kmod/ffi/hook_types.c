// SPDX-License-Identifier: GPL-2.0-or-later
/* Typed arguments of hooks. */
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "py/runtime.h"
#include "entry.h"
#include "ffi/ffi.h"
#include "ffi/hook_types.h"
#include "ffi/prototype.h"

/* const char *: what the kernel does not write there is text. */
static bool is_string(struct kpy_ctype t)
{
	struct kpy_cinfo info;
	bool is_const = false;

	t = kpy_ctype_strip(t, &info);
	if (info.kind != KPY_C_POINTER)
		return false;
	t.id = info.target;
	kpy_ctype_get(t, &info);
	while (info.kind == KPY_C_QUALIFIED) {
		is_const |= info.qualifiers & KPY_Q_CONST;
		t.id = info.target;
		kpy_ctype_get(t, &info);
	}
	return is_const && info.kind == KPY_C_INT && info.size == 1 && !strcmp(info.name, "char");
}

struct kpy_hook_types *kpy_hook_types_of(struct kpy_ctype function, u32 skip)
{
	struct kpy_entry *e;
	struct kpy_hook_types *t;
	struct kpy_cmember m;
	struct kpy_cinfo info;
	u32 i;

	function = kpy_ctype_strip(function, &info);
	if (info.kind != KPY_C_FUNCTION || info.count < skip)
		return NULL;
	e = kpy_gil_release();
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	kpy_gil_acquire(e);
	if (!t)
		return NULL;
	for (i = 0; i < KPY_HOOK_ARGS_MAX && i + skip < info.count; i++) {
		if (!kpy_ctype_member(function, i + skip, &m))
			break;
		t->params[i] = is_string(m.type) ? KPY_HOOK_STRING
						 : kpy_class_of(m.type, &t->records[i]);
		t->n = i + 1;
	}
	t->result = kpy_class_of((struct kpy_ctype){ function.in, info.target }, &t->result_record);
	if (t->result == KPY_P_OTHER)
		t->result = KPY_P_U64;
	return t;
}

static mp_obj_t string_at(unsigned long address)
{
	mp_obj_t result = mp_obj_new_int_from_uint(address);
	nlr_buf_t nlr;

	if (!address)
		return mp_const_none;
	/* What is no readable text stays a number. */
	if (nlr_push(&nlr) == 0) {
		mp_obj_t text = mp_call_function_1(MP_OBJ_FROM_PTR(&kpy_str_obj), result);

		nlr_pop();
		return text;
	}
	if (!nlr.ret_val)
		nlr_jump(NULL);
	return mp_obj_new_int_from_uint(address);
}

mp_obj_t kpy_hook_arg(const struct kpy_hook_types *t, size_t i, unsigned long word)
{
	if (i >= t->n || t->params[i] == KPY_P_OTHER)
		return mp_obj_new_int_from_uint(word);
	if (t->params[i] == KPY_HOOK_STRING)
		return string_at(word);
	return kpy_from_class(word, t->params[i], t->records[i]);
}
