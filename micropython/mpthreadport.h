/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "py/mpconfig.h"

/* Room for a struct semaphore, which upstream's code must not know; lockdep makes it larger. */
typedef struct {
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	mp_uint_t opaque[16];
#else
	mp_uint_t opaque[8];
#endif
} mp_thread_mutex_t;
typedef mp_thread_mutex_t mp_thread_recursive_mutex_t;

/* State of the thread that holds the GIL, set when the GIL is taken: MP_STATE_THREAD is one load. */
struct _mp_state_thread_t;
extern struct _mp_state_thread_t *kpy_thread_state;

static inline struct _mp_state_thread_t *mp_thread_get_state(void)
{
	return kpy_thread_state;
}
