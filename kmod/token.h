/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sleeping token: who has it may spin for the GIL; all other threads and sessions wait for
 * it, asleep if it takes long. See token.c. Process context that may sleep only.
 */
#pragma once

#ifndef NO_QSTR
#include <linux/atomic.h>
#include <linux/types.h>

struct kpy_token {
	u32 taken;
	atomic_t wanted; /* by how many that sleep, or are about to */
};
extern struct kpy_token kpy_token;

static __always_inline bool kpy_token_try(void)
{
	return likely(xchg(&kpy_token.taken, 1) == 0);
}

/* Where kpy_token_try() failed. */
void kpy_token_await(void);

/* True: kpy_token_wake() must follow, from where that may wake a task. */
static __always_inline bool kpy_token_drop(void)
{
	xchg(&kpy_token.taken, 0);
	return unlikely(atomic_read(&kpy_token.wanted));
}
void kpy_token_wake(void);

static __always_inline bool kpy_token_is_wanted(void)
{
	return atomic_read(&kpy_token.wanted);
}

/* Instead of dropping it: passes it to one that waits, while kpy_token_is_wanted(). */
void kpy_token_give(void);
#endif
