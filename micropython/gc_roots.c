// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Roots of a collection. It runs under the GIL, so that every entry but the current
 * one is parked: its registers and its part of the stack, [parked sp, entry sp), are
 * exact, and nothing else of any kernel stack is looked at.
 */
#include <linux/kernel.h>
#include <asm/msr.h>
#include "py/gc.h"
#include "py/mpstate.h"
#include "shared/runtime/gchelper.h"
#include "entry.h"
#include "debug/info.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"
#include "ffi/stats.h"

u64 kpy_gc_pause_max;

static void collect_range(const void *lo, const void *hi)
{
	if (hi > lo)
		gc_collect_root((void **)lo, (hi - lo) / sizeof(void *));
}

/*
 * A C function that was parked amid its work may have no other pointer to an object than
 * one into its middle (mpz_t in an int, a place in a string): find the object's first block.
 */
static void collect_parked(const void *lo, const void *hi)
{
	const mp_state_mem_area_t *area = &MP_STATE_MEM(area);
	size_t blocks = area->gc_alloc_table_byte_len * 4;

	for (void *const *at = lo; at < (void *const *)hi; at++) {
		size_t block = ((byte *)*at - area->gc_pool_start) / MICROPY_BYTES_PER_GC_BLOCK;
		void *head;

		if ((byte *)*at < area->gc_pool_start || block >= blocks)
			continue;
		/* Two bits for each block: 2 is the kind of all but an object's first. */
		while (block && (area->gc_alloc_table_start[block / 4] >> block % 4 * 2 & 3) == 2)
			block--;
		head = area->gc_pool_start + block * MICROPY_BYTES_PER_GC_BLOCK;
		gc_collect_root(&head, 1);
	}
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
		collect_parked(&e->parked, &e->parked + 1);
		collect_parked((void *)e->parked.sp, (void *)e->stack_hi);
	}
}

static void collect_object(mp_obj_t *object)
{
	gc_collect_root((void **)object, 1);
}

void gc_collect(void)
{
	u64 begin = rdtsc();

	kpy_debug_state.gc_count++;
	kpy_names_epoch++; /* a table that is freed may become another map's */
	kpy_large_ints_forget();
	gc_collect_start();
	gc_helper_collect_regs_and_stack();
	for (struct kpy_entry *e = kpy_entries; e; e = e->next)
		if (e->epoch == kpy_epoch)
			collect_entry(e);
	kpy_hooks_collect(collect_object);
	gc_collect_end();
	kpy_gc_pause_max = max_t(u64, kpy_gc_pause_max, rdtsc() - begin);
	if (MP_STATE_VM(gc_n_due))
		kpy_budget = 0; /* finalisers run at the next safe point */
}

void kpy_heap_info(u64 *size, u64 *used)
{
	gc_info_t info;

	gc_info(&info);
	*size = info.total;
	*used = info.used;
}
