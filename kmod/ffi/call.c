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

#define ARGS_MAX 12

#ifndef NO_QSTR
/* Functions as the kernel sees them: with "..." %al says that no vector registers hold arguments. */
typedef unsigned long (*function_t)(unsigned long, ...);

static bool is_text(unsigned long address)
{
	static bool (*kernel_text)(unsigned long);

	if (!kernel_text)
		kernel_text = (void *)kpy_kallsyms_lookup("kernel_text_address");
	return !kernel_text || kernel_text(address);
}

static unsigned long call_with(unsigned long target, size_t n, const unsigned long *w)
{
	function_t f = (function_t)target;

	if (n <= 6)
		return f(w[0], w[1], w[2], w[3], w[4], w[5]);
	return f(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11]);
}

mp_obj_t kpy_call(mp_obj_t name, unsigned long target, size_t n, const mp_obj_t *args)
{
	struct kpy_entry *e = kpy_current;
	unsigned long words[ARGS_MAX] = {}, result;

	if (!is_text(target))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is data"),
				  mp_obj_str_get_str(name));
	if (e->kind == KPY_DEBUG)
		mp_raise_msg_varg(&mp_type_RuntimeError,
				  MP_ERROR_TEXT("call of %s refused: the guest is frozen"),
				  mp_obj_str_get_str(name));
	for (size_t i = 0; i < n; i++) {
		if (!kpy_to_word(args[i], &words[i]))
			mp_raise_msg_varg(&mp_type_TypeError,
					  MP_ERROR_TEXT("argument %d: cannot pass '%s'"),
					  (int)i + 1, mp_obj_get_type_str(args[i]));
	}
	e->call.serial++;
	e->call.target = target;
	memcpy(e->call.args, words, sizeof(e->call.args));
	kpy_gil_release();
	result = call_with(target, n, words);
	/* Ctrl-C woke a sleep with this signal; the exception itself is pending in the VM. */
	if (unlikely(e->kind == KPY_SESSION && signal_pending(current)))
		flush_signals(current);
	kpy_gil_acquire(e);
	e->call.target = 0;
	mp_handle_pending(true);
	return mp_obj_new_int_from_uint(result);
}
#endif
