// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls of kernel functions. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/sched/signal.h>
#endif
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "ffi/ffi.h"
#include "ffi/guard.h"
#include "ffi/prototype.h"
#include "ffi/sleeps.h"
#include "ffi/user_copy.h"

#define REGISTER_ARGS 6

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

static void untyped_args(size_t n, const mp_obj_t *args, unsigned long *words)
{
	for (size_t i = 0; i < n; i++) {
		if (mp_obj_is_small_int(args[i]))
			words[i] = MP_OBJ_SMALL_INT_VALUE(args[i]);
		else
			kpy_untyped_arg(args, i, &words[i]);
	}
}

static noinline void refuse_frozen(mp_obj_t name)
{
	mp_raise_msg_varg(&mp_type_RuntimeError,
			  MP_ERROR_TEXT("call of %s refused: the guest is frozen"),
			  mp_obj_str_get_str(name));
}

static noinline void refuse_atomic(mp_obj_t name)
{
	mp_raise_msg_varg(&mp_type_RuntimeError,
			  MP_ERROR_TEXT("%s may sleep, which this context cannot"),
			  mp_obj_str_get_str(name));
}

mp_obj_t kpy_call(mp_obj_t name, unsigned long target, const struct kpy_proto *proto, size_t n,
		  const mp_obj_t *args)
{
	struct kpy_entry *e = kpy_current;
	unsigned long words[KPY_CALL_ARGS_MAX], result;
	bool returned;
	size_t i;

	if (unlikely(e->kind == KPY_DEBUG))
		refuse_frozen(name);
	if (unlikely(!kpy_may_sleep(e)) && kpy_would_sleep(target))
		refuse_atomic(name);
	/* What is not given reads as 0. */
	for (i = 0; i < REGISTER_ARGS; i++)
		words[i] = 0;
	if (unlikely(n > REGISTER_ARGS))
		for (; i < KPY_CALL_ARGS_MAX; i++)
			words[i] = 0;
	if (proto && unlikely(!kpy_proto_args(proto, n, args, words)))
		proto = NULL;
	if (!proto)
		untyped_args(n, args, words);
	e->call.serial++;
	e->call.target = target;
	memcpy(e->call.args, words, sizeof(e->call.args));
	kpy_gil_release();
	returned = unlikely(kpy_has_user_words(words))
			   ? kpy_user_call(e, target, n, words, &result)
			   : kpy_guarded_call(e, target, n, words, &result);
	/* Ctrl-C woke a sleep with this signal; the exception itself is pending in the VM. */
	if (unlikely(e->kind == KPY_SESSION && signal_pending(current)))
		flush_signals(current);
	kpy_gil_acquire(e);
	e->call.target = 0;
	if (unlikely(!returned))
		kpy_raise_kernel_fault(e, name, n, args);
	mp_handle_pending(true);
	return proto ? kpy_proto_result(proto, result) : mp_obj_new_int_from_uint(result);
}
#endif
