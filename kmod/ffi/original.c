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
#include "ffi/guard_impl.h"
#include "ffi/hook_types.h"
#include "ffi/probe.h"
#include "ffi/prototype.h"

typedef struct {
	mp_obj_base_t base;
	unsigned long hook; /* its id */
	unsigned long target; /* where there is no hook any more */
	char name[sizeof_field(struct kpy_hook, target)];
} original_t;

/* This may run Python code, which may call the kernel. */
static noinline void convert_args(size_t n, const mp_obj_t *args, unsigned long *words)
{
	memset(words, 0, KPY_HOOK_ARGS_MAX * sizeof(*words));
	for (size_t i = 0; i < n; i++)
		kpy_untyped_arg(args, i, &words[i]);
}

static mp_obj_t original_call(mp_obj_t self, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	original_t *o = MP_OBJ_TO_PTR(self);
	struct kpy_entry *e = kpy_current;
	struct kpy_invocation *inv = e->invocation;
	unsigned long converted[KPY_HOOK_ARGS_MAX], *words = e->call.args, result;
	bool returned, here;
	unsigned long target;
	u64 begin;

	if (unlikely(n_kw || n_args > KPY_HOOK_ARGS_MAX))
		mp_arg_check_num(n_args, n_kw, 0, KPY_HOOK_ARGS_MAX, false);
	if (unlikely(e->kind == KPY_DEBUG))
		kpy_debug_check_call(e, o->name);
	if (unlikely(n_args > KPY_REGISTER_ARGS) || !kpy_int_args(n_args, args, words)) {
		convert_args(n_args, args, converted);
		memcpy(words, converted, sizeof(e->call.args));
		words = converted;
	}
	/* The hook may have been removed, or another be below it now. */
	here = inv && inv->hook->id == o->hook;
	target = here ? inv->hook->original : o->target;
	e->call.serial++;
	e->call.target = target;
	begin = rdtsc();
	if (here)
		inv->in_original = true;
	kpy_gil_release();
	if (here && inv->hook->by_probe && target == inv->hook->address)
		kpy_probe_pass_call(inv->hook);
	returned = kpy_guarded_call_here(e, target, n_args, words, &result);
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
	if (e->kind == KPY_SESSION && unlikely(test_thread_flag(TIF_SIGPENDING)))
		flush_signals(current);
	kpy_gil_acquire(e);
	e->call.target = 0;
	if (unlikely(!returned))
		kpy_raise_kernel_fault(e, mp_obj_new_str(o->name, strlen(o->name)), n_args, args);
	kpy_handle_pending();
	if (here && inv->hook->types)
		return kpy_from_class(result, inv->hook->types->result,
				      inv->hook->types->result_record);
	return kpy_word_to_int(result);
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
