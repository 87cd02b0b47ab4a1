// SPDX-License-Identifier: GPL-2.0-or-later
/* ftrace(target, f): f(orig, a1, ...) runs in place of a kernel function. */
#ifndef NO_QSTR
#include <linux/ftrace.h>
#include <linux/module.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

#ifdef NO_QSTR
#define new_ftrace(target, f, typed) mp_const_none
#else
#include "ffi/ftrace.h"
#include "ffi/stub.h"

static void handle(struct kpy_hook *h, struct kpy_invocation *inv)
{
	inv->result = kpy_handler_result(kpy_handler_call(h, inv, h->first));
}

static const struct kpy_hook_kind ftrace_kind = {
	.name = "ftrace",
	.arm = kpy_ftrace_arm,
	.disarm = kpy_ftrace_disarm,
	.handle = handle,
};

static mp_obj_t new_ftrace(mp_obj_t target, mp_obj_t f, bool typed)
{
	struct kpy_hook_types *types;
	struct kpy_target t;
	struct kpy_hook *h;
	mp_obj_t object;
	int n;

	kpy_target_find(target, &t);
	kpy_handler_args(f, "orig", 6, false);
	if (t.offset && t.site != t.address)
		kpy_raise_untraceable(EINVAL, &t, "is not the beginning of a function");
	if (!t.site)
		kpy_raise_untraceable(
			EINVAL, &t,
			"cannot be traced: the kernel marks it notrace, or it is assembly");
	kpy_target_must_return(&t);
	n = kpy_target_args(&t, typed, &types);
	h = kpy_hook_new_at(&ftrace_kind, f, &t, types);
	h->n_args = kpy_handler_args(f, "orig", n < 0 ? 6 : n, n >= 0);
	object = kpy_hook_object(h);
	h->first = kpy_original_new(h);
	kpy_hook_arm_or_raise(h, &t);
	return object;
}
#endif

/* ftrace(target, f, *, typed=False): raises ValueError for unknown targets, OSError for what cannot be traced. */
static mp_obj_t ftrace(size_t n_args, const mp_obj_t *args, mp_map_t *kw)
{
	return new_ftrace(args[0], args[1], kpy_target_typed(kw));
}
MP_DEFINE_CONST_FUN_OBJ_KW(kpy_ftrace_obj, 2, ftrace);
