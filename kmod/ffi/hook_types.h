/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types of what a hook is called with. */
#pragma once
#include "ffi/hook.h"
#include "structs/ctype.h"

struct kpy_hook_types {
	u8 n; /* parameters that are known, at most KPY_HOOK_ARGS_MAX */
	u8 result; /* enum kpy_class */
	u8 params[KPY_HOOK_ARGS_MAX]; /* enum kpy_class, or KPY_HOOK_STRING */
	struct kpy_ctype result_record, records[KPY_HOOK_ARGS_MAX];
};

#define KPY_HOOK_STRING 255 /* const char * */

/*
 * Of a function type, less its first `skip` parameters. NULL: there is no such type, or no memory.
 * To be freed with kfree(). Under the GIL, given up.
 */
struct kpy_hook_types *kpy_hook_types_of(struct kpy_ctype function, u32 skip);

/* Python values of words. Under the GIL. */
mp_obj_t kpy_hook_arg(const struct kpy_hook_types *t, size_t i, unsigned long word);
