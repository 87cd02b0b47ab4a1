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

#ifndef NO_QSTR
bool kpy_is_text(unsigned long address)
{
	static bool (*kernel_text)(unsigned long);

	if (!kernel_text)
		kernel_text = (void *)kpy_kallsyms_lookup("kernel_text_address");
	return !kernel_text || kernel_text(address);
}

mp_obj_t kpy_call(mp_obj_t name, unsigned long target, size_t n, const mp_obj_t *args)
{
	struct kpy_entry *e = kpy_current;
	unsigned long words[KPY_CALL_ARGS_MAX] = {}, result;
	bool returned;

	if (!kpy_is_text(target))
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
	returned = kpy_guarded_call(e, target, n, words, &result);
	/* Ctrl-C woke a sleep with this signal; the exception itself is pending in the VM. */
	if (unlikely(e->kind == KPY_SESSION && signal_pending(current)))
		flush_signals(current);
	kpy_gil_acquire(e);
	e->call.target = 0;
	if (unlikely(!returned))
		kpy_raise_kernel_fault(e, name, n, args);
	mp_handle_pending(true);
	return mp_obj_new_int_from_uint(result);
}
#endif
