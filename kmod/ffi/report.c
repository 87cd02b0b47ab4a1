// SPDX-License-Identifier: GPL-2.0-or-later
/* An exception in a handler: who is told. */
#include "py/runtime.h"
#include "entry.h"
#include "ffi/hook.h"

static void print_error(struct kpy_hook *h, mp_obj_t error)
{
	nlr_buf_t nlr;

	/* Printing it may run Python, and that may raise in its turn. */
	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		kpy_current->base = &nlr;
		mp_printf(&mp_plat_print, "kpy: %s hook%s%s disabled by an exception\n",
			  h->kind->name, h->target[0] ? " on " : "", h->target);
		mp_obj_print_exception(&mp_plat_print, error);
		nlr_pop();
	}
	kpy_current->base = NULL;
}

void kpy_hook_report(struct kpy_hook *h, mp_obj_t error)
{
	struct kpy_entry *e = kpy_current;

	h->enabled = false;
	h->last_error = error;
	print_error(h, error);
	if (e->session) {
		e->session = NULL;
		print_error(h, error);
	}
}
