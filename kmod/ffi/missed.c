// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls of what is hooked that could not enter Python, by the reason. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#endif
#include "py/runtime.h"
#include "ffi/hook.h"

#ifdef NO_QSTR
static const qstr used[] = {
	MP_QSTR_recursions, MP_QSTR_nmi,  MP_QSTR_no_stack,
	MP_QSTR_no_room,    MP_QSTR_busy, MP_QSTR_not_ready,
};
#else
static const qstr_short_t names[KPY_MISSES] = {
	[KPY_MISS_RECURSION] = MP_QSTR_recursions,
	[KPY_MISS_NMI] = MP_QSTR_nmi,
	[KPY_MISS_NO_STACK] = MP_QSTR_no_stack,
	[KPY_MISS_NO_ROOM] = MP_QSTR_no_room,
	[KPY_MISS_BUSY] = MP_QSTR_busy,
	[KPY_MISS_NOT_READY] = MP_QSTR_not_ready,
};

atomic_long_t kpy_all_misses[KPY_MISSES];

void kpy_hook_count_miss(struct kpy_hook *h, enum kpy_miss why)
{
	/* Who removed a hook does not want to hear of it. */
	if (READ_ONCE(h->removed))
		return;
	atomic_long_inc(&h->missed[why]);
	atomic_long_inc(&kpy_all_misses[why]);
}

unsigned long kpy_hook_missed(const struct kpy_hook *h)
{
	unsigned long sum = 0;
	int i;

	for (i = 0; i < KPY_MISSES; i++)
		sum += atomic_long_read(&h->missed[i]);
	return sum;
}

void kpy_hook_misses(mp_obj_t dict, const atomic_long_t counts[KPY_MISSES], bool all)
{
	unsigned long n;
	int i;

	for (i = 0; i < KPY_MISSES; i++) {
		n = atomic_long_read(&counts[i]);
		if (n || all)
			mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(names[i]),
					  mp_obj_new_int_from_uint(n));
	}
}
#endif
