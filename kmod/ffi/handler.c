// SPDX-License-Identifier: GPL-2.0-or-later
/* Handlers: how many arguments they take, calling them, and what they return. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#endif
#include "py/bc.h"
#include "py/objfun.h"
#include "py/objstr.h"
#include "py/objtype.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"
#ifndef NO_QSTR
#include "ffi/hook_types.h"
#endif

#ifndef NO_QSTR
/* Upstream keeps these to itself; the layouts are those of objclosure.c and objboundmeth.c. */
extern const mp_obj_type_t mp_type_closure;
struct closure {
	mp_obj_base_t base;
	mp_obj_t fun;
	size_t n_closed;
};
struct bound_method {
	mp_obj_base_t base;
	mp_obj_t method, self;
};

/* Positional arguments: at least min, at most max; the rest of max when there is *args. */
struct arity {
	size_t min, max;
	bool any;
};

static void drop_first(struct arity *a, size_t n)
{
	a->min -= min(n, a->min);
	a->max -= min(n, a->max);
}

static struct arity arity_of(mp_obj_t f)
{
	const mp_obj_type_t *type = mp_obj_get_type(f);
	struct arity a = { 0, 0, true };

	if (type == &mp_type_fun_bc || type == &mp_type_gen_wrap) {
		const byte *ip = ((mp_obj_fun_bc_t *)MP_OBJ_TO_PTR(f))->bytecode;

		MP_BC_PRELUDE_SIG_DECODE(ip);
		a.min = n_pos_args - n_def_pos_args;
		a.max = n_pos_args;
		a.any = scope_flags & MP_SCOPE_FLAG_VARARGS;
	} else if (type == &mp_type_closure) {
		struct closure *c = MP_OBJ_TO_PTR(f);

		a = arity_of(c->fun);
		drop_first(&a, c->n_closed);
	} else if (type == &mp_type_bound_meth) {
		a = arity_of(((struct bound_method *)MP_OBJ_TO_PTR(f))->method);
		drop_first(&a, 1);
	} else if (type == &mp_type_fun_builtin_0) {
		a = (struct arity){ 0, 0, false };
	} else if (type == &mp_type_fun_builtin_1) {
		a = (struct arity){ 1, 1, false };
	} else if (type == &mp_type_fun_builtin_2) {
		a = (struct arity){ 2, 2, false };
	} else if (type == &mp_type_fun_builtin_3) {
		a = (struct arity){ 3, 3, false };
	} else if (type == &mp_type_fun_builtin_var) {
		uint32_t sig = ((mp_obj_fun_builtin_var_t *)MP_OBJ_TO_PTR(f))->sig;

		a.min = sig >> 17;
		a.max = sig >> 1 & 0xffff;
		a.any = a.max == 0xffff;
	} else if (mp_obj_is_instance_type(type)) {
		mp_obj_t call[2];

		mp_load_method_maybe(f, MP_QSTR___call__, call);
		if (call[0] != MP_OBJ_NULL) {
			a = arity_of(call[0]);
			drop_first(&a, call[1] != MP_OBJ_NULL);
		}
	}
	return a;
}

size_t kpy_handler_args(mp_obj_t f, const char *first, size_t n, bool known)
{
	size_t lead = first ? 1 : 0;
	struct arity a;

	if (!mp_obj_is_callable(f))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is not callable"),
				  mp_obj_get_type_str(f));
	a = arity_of(f);
	if (!a.any && a.max < lead)
		mp_raise_msg_varg(&mp_type_TypeError,
				  MP_ERROR_TEXT("the handler must take an argument: %s"), first);
	if (a.min > lead + KPY_HOOK_ARGS_MAX)
		mp_raise_msg_varg(&mp_type_TypeError,
				  MP_ERROR_TEXT("the handler takes more than %d arguments"),
				  KPY_HOOK_ARGS_MAX);
	if (a.any)
		return max(n, a.min > lead ? a.min - lead : 0);
	if (known) /* parameters with defaults keep them where there is nothing to pass */
		return clamp(n, a.min > lead ? a.min - lead : 0, a.max - lead);
	return min_t(size_t, a.max - lead, KPY_HOOK_ARGS_MAX);
}

unsigned long kpy_other_result(mp_obj_t o)
{
	unsigned long word;

	/* The memory of a str is gone once the handler has returned. */
	if (mp_obj_is_str_or_bytes(o) || !kpy_to_word(o, &word))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("the handler returned '%s'"),
				  mp_obj_get_type_str(o));
	return word;
}

static noinline void typed_args(const struct kpy_hook *h, const unsigned long *words,
				mp_obj_t *args)
{
	for (size_t i = 0; i < h->n_args; i++)
		args[i] = kpy_hook_arg(h->types, i, words[i]);
}

mp_obj_t kpy_handler_call(struct kpy_hook *h, const struct kpy_invocation *inv, mp_obj_t first)
{
	mp_obj_t args[1 + KPY_HOOK_ARGS_MAX], *rest = args;
	unsigned long all[KPY_HOOK_ARGS_MAX];
	const unsigned long *words = inv->args + h->skip;
	size_t n = h->n_args, i;

	if (first)
		*rest++ = first;
	if (unlikely(n + h->skip > 6)) {
		for (i = 0; i < n; i++)
			all[i] = i + h->skip < 6
					 ? words[i]
					 : kpy_stack_word(inv->stack_args + i + h->skip - 6);
		words = all;
	}
	if (unlikely(h->types))
		typed_args(h, words, rest);
	else
		for (i = 0; i < n; i++)
			rest[i] = kpy_word_to_int(words[i]);
	n += rest - args;
	return h->call(h->handler, n, 0, args);
}
#else
static qstr used(void)
{
	return MP_QSTR___call__;
}
#endif
