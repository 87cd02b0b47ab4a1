// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Roots of a collection. It runs under the GIL, so that every entry but the current
 * one is parked: its registers and its part of the stack, [parked sp, entry sp), are
 * exact, and nothing else of any kernel stack is looked at.
 */
#include "py/gc.h"
#include "py/mpstate.h"
#include "shared/runtime/gchelper.h"
#include "entry.h"
#include "debug/info.h"
#include "ffi/hook.h"

static void collect_range(const void *lo, const void *hi)
{
	if (hi > lo)
		gc_collect_root((void **)lo, (hi - lo) / sizeof(void *));
}

static void collect_entry(struct kpy_entry *e)
{
	mp_state_thread_t *ts = e->ts;

	gc_collect_root(&e->root, 1);
	collect_range(&ts->dict_locals, ts + 1);
	if (e == kpy_current) /* gc_collect_start() took its pystack */
		return;
	collect_range(ts->pystack_start, ts->pystack_cur);
	if (e->parked.sp && e->stack_hi) {
		collect_range(&e->parked, &e->parked + 1);
		collect_range((void *)e->parked.sp, (void *)e->stack_hi);
	}
}

static void collect_object(mp_obj_t *object)
{
	gc_collect_root((void **)object, 1);
}

void gc_collect(void)
{
	kpy_debug_state.gc_count++;
	gc_collect_start();
	gc_helper_collect_regs_and_stack();
	for (struct kpy_entry *e = kpy_entries; e; e = e->next)
		if (e->epoch == kpy_epoch)
			collect_entry(e);
	kpy_hooks_collect(collect_object);
	gc_collect_end();
	if (MP_STATE_VM(gc_n_due))
		kpy_budget = 0; /* finalisers run at the next safe point */
}
