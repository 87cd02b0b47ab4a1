// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls of kernel functions. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/sched/signal.h>
#endif
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"
#include "ffi/ffi.h"
#include "ffi/guard.h"
#include "ffi/prototype.h"
#include "ffi/sleeps.h"
#include "ffi/user_copy.h"
#ifndef NO_QSTR
#include "ffi/guard_impl.h"
#endif

#ifndef NO_QSTR
bool kpy_is_text(unsigned long address)
{
	static bool (*kernel_text)(unsigned long);

	if (!kernel_text)
		kernel_text = (void *)kpy_kallsyms_lookup("kernel_text_address");
	return !kernel_text || kernel_text(address);
}

bool kpy_is_core_text(unsigned long address)
{
	static int (*core_text)(unsigned long);

	if (!core_text)
		core_text = (void *)kpy_kallsyms_lookup("core_kernel_text");
	return core_text && core_text(address);
}

static noinline void cannot_pass(mp_obj_t o, size_t i)
{
	mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("argument %d: cannot pass '%s'"),
			  (int)i + 1, mp_obj_get_type_str(o));
}

void kpy_untyped_arg(const mp_obj_t *args, size_t i, unsigned long *word)
{
	if (!kpy_to_word(args[i], word))
		cannot_pass(args[i], i);
}

/*
 * What is not given reads as 0. Returns the prototype, or NULL when it is not to be trusted. This
 * may run Python code, which may call the kernel.
 */
static noinline const struct kpy_proto *convert_args(const struct kpy_proto *proto, size_t n,
						     const mp_obj_t *args, unsigned long *words)
{
	memset(words, 0,
	       (n > KPY_REGISTER_ARGS ? KPY_CALL_ARGS_MAX : KPY_REGISTER_ARGS) * sizeof(*words));
	if (proto && likely(kpy_proto_args(proto, n, args, words)))
		return proto;
	for (size_t i = 0; i < n; i++)
		kpy_untyped_arg(args, i, &words[i]);
	return NULL;
}

/* Raises where the function must not be called; this context may not sleep. */
static noinline void check_context(const struct kpy_entry *e, mp_obj_t name, unsigned long target)
{
	if (e->kind == KPY_DEBUG)
		kpy_debug_check_call(e, mp_obj_str_get_str(name));
	if (kpy_would_sleep(target))
		mp_raise_msg_varg(&mp_type_RuntimeError,
				  MP_ERROR_TEXT("%s may sleep, which this context cannot"),
				  mp_obj_str_get_str(name));
}

mp_obj_t kpy_call(mp_obj_t name, unsigned long target, const struct kpy_proto *proto, size_t n,
		  const mp_obj_t *args)
{
	struct kpy_entry *e = kpy_current;
	unsigned long converted[KPY_CALL_ARGS_MAX], *words = e->call.args, result;
	bool returned;

	if (unlikely(!kpy_may_sleep(e)))
		check_context(e, name, target);
	if (proto || n > KPY_REGISTER_ARGS || !kpy_int_args(n, args, words)) {
		proto = convert_args(proto, n, args, converted);
		memcpy(words, converted, sizeof(e->call.args));
		words = converted;
	}
	e->call.serial++;
	e->call.target = target;
	kpy_gil_release();
	if (unlikely(kpy_has_user_words(words))) {
		/* It changes them, but not those that a debugger is to see. */
		if (words != converted)
			memcpy(converted, words, sizeof(e->call.args));
		returned = kpy_user_call(e, target, n, converted, &result);
	} else {
		returned = kpy_guarded_call_here(e, target, n, words, &result);
	}
	/* Ctrl-C woke a sleep with this signal; the exception itself is pending in the VM. */
	if (e->kind == KPY_SESSION && unlikely(test_thread_flag(TIF_SIGPENDING)))
		flush_signals(current);
	kpy_gil_acquire(e);
	e->call.target = 0;
	if (unlikely(!returned))
		kpy_raise_kernel_fault(e, name, n, args);
	kpy_handle_pending();
	return proto ? kpy_proto_result(proto, result) : kpy_word_to_int(result);
}
#endif
