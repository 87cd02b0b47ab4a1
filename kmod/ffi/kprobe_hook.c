// SPDX-License-Identifier: GPL-2.0-or-later
/* kprobe(target, what, f): watching and changing calls, returns and registers. */
#ifndef NO_QSTR
#include <linux/ftrace.h>
#include <linux/module.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

#ifdef NO_QSTR
#define new_kprobe(target, what, f, typed) mp_const_none
#else
#include "ffi/ftrace.h"
#include "ffi/hook_types.h"
#include "ffi/probe.h"
#include "ffi/prototype.h"
#include "ffi/stub.h"

static void watch_args(struct kpy_hook *h, struct kpy_invocation *inv)
{
	kpy_handler_call(h, inv, MP_OBJ_NULL);
}

static void modify_args(struct kpy_hook *h, struct kpy_invocation *inv)
{
	inv->result = kpy_handler_result(kpy_handler_call(h, inv, h->first));
}

static void with_regs(struct kpy_hook *h, struct kpy_invocation *inv)
{
	kpy_handler_call(h, inv, kpy_registers_new(inv));
}

static void with_result(struct kpy_hook *h, struct kpy_invocation *inv)
{
	mp_obj_t result =
		h->types ? kpy_from_class(inv->original, h->types->result, h->types->result_record)
			 : kpy_word_to_int(inv->original);

	kpy_handler_call(h, inv, result);
}

/* By what they do, and by how: ftrace at the beginning of functions, else a kprobe. */
static const struct kpy_hook_kind kinds[KPY_KP_KINDS][2] = {
#define KIND(id, ...)                                                                        \
	[KPY_##id] = { { "kprobe KP_" #id, kpy_ftrace_arm, kpy_ftrace_disarm, __VA_ARGS__ }, \
		       { "kprobe KP_" #id, kpy_probe_arm, kpy_probe_disarm, __VA_ARGS__ } }
	KIND(ARGS_WATCH, watch_args, .watches = true),
	KIND(ARGS_MODIFY, modify_args),
	KIND(REGS_WATCH, with_regs, .wants_regs = true, .watches = true),
	KIND(REGS_MODIFY, with_regs, .wants_regs = true),
	KIND(RETURN, with_result, .returns = true, .watches = true),
};

/* What the handler gets first. */
static const char *const firsts[KPY_KP_KINDS] = { NULL, "call_ptr", "registers", "registers",
						  "the result" };

static mp_obj_t new_kprobe(mp_obj_t target, mp_obj_t what_in, mp_obj_t f, bool typed)
{
	mp_int_t what = mp_obj_get_int(what_in);
	struct kpy_hook_types *types = NULL;
	struct kpy_target t;
	struct kpy_hook *h;
	mp_obj_t object;
	bool regs;
	int n = -1;

	if (what < 0 || what >= KPY_KP_KINDS)
		mp_raise_ValueError(MP_ERROR_TEXT("expected KP_ARGS_WATCH, KP_ARGS_MODIFY, "
						  "KP_REGS_WATCH, KP_REGS_MODIFY or KP_RETURN"));
	kpy_target_find(target, &t);
	regs = kinds[what][0].wants_regs;
	kpy_handler_args(f, firsts[what], 6, false);
	if (t.site && t.offset && t.site != t.address)
		t.site = 0;
	if (t.offset && !t.site && !regs)
		kpy_raise_untraceable(EINVAL, &t, "is not the beginning of a function");
	if (what == KPY_ARGS_MODIFY || what == KPY_RETURN)
		kpy_target_must_return(&t);
	if (!t.site && kpy_target_switches_tasks(&t))
		kpy_raise_untraceable(EINVAL, &t, "cannot be hooked: tasks are switched there");
	if (!regs)
		n = kpy_target_args(&t, typed, &types);
	h = kpy_hook_new_at(&kinds[what][!t.site], f, &t, types);
	if (!regs)
		h->n_args = kpy_handler_args(f, firsts[what], n < 0 ? 6 : n, n >= 0);
	h->by_probe = !t.site;
	object = kpy_hook_object(h);
	if (what == KPY_ARGS_MODIFY)
		h->first = kpy_original_new(h);
	kpy_hook_arm_or_raise(h, &t);
	return object;
}
#endif

/*
 * kprobe(target, what, f, *, typed=False): raises ValueError for unknown targets, OSError for what cannot be
 * probed.
 */
static mp_obj_t kprobe(size_t n_args, const mp_obj_t *args, mp_map_t *kw)
{
	return new_kprobe(args[0], args[1], args[2], kpy_target_typed(kw));
}
MP_DEFINE_CONST_FUN_OBJ_KW(kpy_kprobe_obj, 3, kprobe);
