// SPDX-License-Identifier: GPL-2.0-or-later
/* kernel_ffi.stats(): what the interpreter costs the kernel. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <asm/tsc.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"
#include "ffi/stats.h"
#ifndef NO_QSTR
#include "debug/info.h"

static u64 cycles_to_ns(u64 cycles)
{
	return mul_u64_u32_div(cycles, 1000000, tsc_khz ?: 1000000);
}

static void put(mp_obj_t dict, qstr name, u64 value)
{
	mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(name), mp_obj_new_int_from_ull(value));
}
#endif

#ifdef NO_QSTR
#define put_hooks(dict) MP_QSTR_process, MP_QSTR_softirq, MP_QSTR_hardirq, MP_QSTR_in_flight
#else
/* Calls of hooks by the context they ran in, and those that could not enter, by the reason. */
static void put_hooks(mp_obj_t dict)
{
	const struct kpy_hook_totals *t = &kpy_hook_totals;
	unsigned int in_flight = 0;

	for (struct kpy_entry *e = kpy_entries; e; e = e->next)
		in_flight++;
	put(dict, MP_QSTR_process, t->process);
	put(dict, MP_QSTR_softirq, t->softirq);
	put(dict, MP_QSTR_hardirq, t->hardirq);
	kpy_hook_misses(dict, kpy_all_misses, true);
	put(dict, MP_QSTR_in_flight, in_flight);
}
#endif

/* stats(reset=False): a dict; with True the maxima start anew. */
static mp_obj_t stats(size_t n_args, const mp_obj_t *args)
{
	mp_obj_t dict = mp_obj_new_dict(8);
	u64 heap_size, heap_used;

	kpy_gil_window(); /* counts what has not come to its end */
	put(dict, MP_QSTR_irqs_off_max_ns, cycles_to_ns(kpy_irqs_off_max));
	put(dict, MP_QSTR_gc_pause_max_ns, cycles_to_ns(kpy_gc_pause_max));
	kpy_heap_info(&heap_size, &heap_used); /* behind the maxima, which it may move itself */
	put(dict, MP_QSTR_gc_count, kpy_debug_state.gc_count);
	put(dict, MP_QSTR_entries, kpy_debug_state.entries);
	put_hooks(dict);
	put(dict, MP_QSTR_heap_size, heap_size);
	put(dict, MP_QSTR_heap_used, heap_used);
	if (n_args && mp_obj_is_true(args[0]))
		kpy_irqs_off_max = kpy_gc_pause_max = 0;
	return dict;
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_stats_obj, 0, 1, stats);
