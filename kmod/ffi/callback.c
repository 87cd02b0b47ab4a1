// SPDX-License-Identifier: GPL-2.0-or-later
/* callback(f): a kernel function pointer that calls Python. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

#ifdef NO_QSTR
#define new_callback(f) mp_const_none
#else
#include "ffi/stub.h"

static void handle(struct kpy_hook *h, struct kpy_invocation *inv)
{
	inv->result = kpy_handler_result(kpy_handler_call(h, inv, h->first));
}

static int arm(struct kpy_hook *h)
{
	return 0;
}

static void disarm(struct kpy_hook *h)
{
}

static const struct kpy_hook_kind callback_kind = {
	.name = "callback",
	.arm = arm,
	.disarm = disarm,
	.handle = handle,
	.is_pointer = true,
};

static mp_obj_t new_callback(mp_obj_t f)
{
	size_t n = kpy_handler_args(f, NULL, 6, false);
	struct kpy_hook *h = kpy_hook_new_at(&callback_kind, f, NULL, NULL);

	h->n_args = n;
	return kpy_hook_object(h);
}
#endif

/* callback(f): a hook whose .ptr() is the address of a function that calls f(a1, ...). */
static mp_obj_t callback(mp_obj_t f)
{
	return new_callback(f);
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_callback_obj, callback);
