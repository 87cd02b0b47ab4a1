// SPDX-License-Identifier: GPL-2.0-or-later
/* The original of a hooked function, as handlers get it: call it, or not, with any arguments. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/sched/signal.h>
#include <asm/msr.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

#ifndef NO_QSTR
#include "entry.h"
#include "debug/eval.h"
#include "ffi/guard.h"
#include "ffi/hook_types.h"
#include "ffi/probe.h"
#include "ffi/prototype.h"

typedef struct {
	mp_obj_base_t base;
	unsigned long hook; /* its id */
	unsigned long target; /* where there is no hook any more */
	char name[sizeof_field(struct kpy_hook, target)];
} original_t;

static mp_obj_t original_call(mp_obj_t self, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	original_t *o = MP_OBJ_TO_PTR(self);
	struct kpy_entry *e = kpy_current;
	struct kpy_invocation *inv = e->invocation;
	unsigned long words[KPY_HOOK_ARGS_MAX], result;
	bool returned, here;
	unsigned long target;
	size_t i;
	u64 begin;

	mp_arg_check_num(n_args, n_kw, 0, KPY_HOOK_ARGS_MAX, false);
	if (e->kind == KPY_DEBUG)
		kpy_debug_check_call(e, o->name);
	for (i = 0; i < n_args; i++) {
		if (mp_obj_is_small_int(args[i]))
			words[i] = MP_OBJ_SMALL_INT_VALUE(args[i]);
		else if (!kpy_to_word(args[i], &words[i]))
			mp_raise_msg_varg(&mp_type_TypeError,
					  MP_ERROR_TEXT("argument %d: cannot pass '%s'"),
					  (int)i + 1, mp_obj_get_type_str(args[i]));
	}
	for (; i < 6 || (n_args > 6 && i < KPY_HOOK_ARGS_MAX); i++)
		words[i] = 0;
	/* The hook may have been removed, or another be below it now. */
	here = inv && inv->hook->id == o->hook;
	target = here ? inv->hook->original : o->target;
	e->call.serial++;
	e->call.target = target;
	memcpy(e->call.args, words, sizeof(e->call.args));
	begin = rdtsc();
	if (here)
		inv->in_original = true;
	kpy_gil_release();
	if (here && inv->hook->by_probe && target == inv->hook->address)
		kpy_probe_pass_call(inv->hook);
	returned = kpy_guarded_call(e, target, n_args, words, &result);
	begin = rdtsc() - begin;
	if (e->deadline)
		e->deadline += begin;
	/* Before the GIL is taken: it does not come back here when that is refused. */
	if (here) {
		inv->in_original = false;
		inv->ran |= returned;
		if (returned)
			inv->original = result;
		inv->outside += begin;
	}
	if (unlikely(e->kind == KPY_SESSION && signal_pending(current)))
		flush_signals(current);
	kpy_gil_acquire(e);
	e->call.target = 0;
	if (unlikely(!returned))
		kpy_raise_kernel_fault(e, mp_obj_new_str(o->name, strlen(o->name)), n_args, args);
	mp_handle_pending(true);
	if (here && inv->hook->types)
		return kpy_from_class(result, inv->hook->types->result,
				      inv->hook->types->result_record);
	return mp_obj_new_int_from_uint(result);
}

static void original_print(const mp_print_t *print, mp_obj_t self, mp_print_kind_t kind)
{
	mp_printf(print, "<original %s>", ((original_t *)MP_OBJ_TO_PTR(self))->name);
}

static MP_DEFINE_CONST_OBJ_TYPE(original_type, MP_QSTR_original, MP_TYPE_FLAG_NONE, call,
				original_call, print, original_print);

mp_obj_t kpy_original_new(struct kpy_hook *h)
{
	original_t *o = mp_obj_malloc(original_t, &original_type);

	o->hook = h->id;
	o->target = h->original;
	memcpy(o->name, h->target, sizeof(o->name));
	return MP_OBJ_FROM_PTR(o);
}
#else
static qstr used(void)
{
	return MP_QSTR_original;
}
#endif
