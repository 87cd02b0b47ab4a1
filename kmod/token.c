// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sleeping token of threads and sessions, so that at most one of them contends with hooks
 * for the GIL.
 *
 * It is dropped at each kernel call and taken again soon after. Whoever comes first has it: were
 * it handed to the task that waits, two threads that make calls would go through the scheduler
 * at each of them (a trial: 51 us a call in place of 1.8). So a waiter first spins, for about as
 * long as it takes to sleep and wake, and of those asleep only one at a time is woken.
 *
 * Nobody starves: who has waited for a jiffy says so when it is woken, and the next to drop the
 * token gives it away, as does a safe point of a holder that had it for as long.
 */
#ifndef NO_QSTR
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/semaphore.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include "token.h"

#define SPIN_US 20

struct kpy_token kpy_token;

static struct semaphore sleepers = __SEMAPHORE_INITIALIZER(sleepers, 0);
static u32 woken; /* one of them was, and has neither taken the token nor gone back to sleep */
static u32 given; /* the token is taken, by the one that was woken */
static bool starving; /* that one has waited for too long */

/* For those awake: in vain where the holder computes, or waits for our CPU. */
static bool spin(bool was_woken)
{
	u64 end = rdtsc() + (u64)tsc_khz * SPIN_US / 1000;

	if (num_online_cpus() == 1)
		return false;
	do {
		if (!READ_ONCE(kpy_token.taken) && kpy_token_try())
			return true;
		if (was_woken && READ_ONCE(given))
			return false;
		cpu_relax();
	} while (!need_resched() && rdtsc() < end);
	return false;
}

static bool take_woken(void)
{
	return kpy_token_try() || xchg(&given, 0);
}

void kpy_token_await(void)
{
	unsigned long since = jiffies;
	bool has;

	if (spin(false))
		return;
	atomic_inc(&kpy_token.wanted);
	has = kpy_token_try();
	while (!has) {
		down(&sleepers);
		if (time_after(jiffies, since + 1))
			WRITE_ONCE(starving, true);
		has = spin(true) || take_woken();
		if (has)
			WRITE_ONCE(starving, false);
		xchg(&woken, 0);
		/* Who dropped it in between has not woken anyone. */
		has = has || take_woken();
	}
	atomic_dec(&kpy_token.wanted);
}

static void wake_one(void)
{
	if (!xchg(&woken, 1))
		up(&sleepers);
}

void kpy_token_give(void)
{
	xchg(&given, 1);
	wake_one();
}

void kpy_token_wake(void)
{
	if (likely(!READ_ONCE(starving)) || !kpy_token_try())
		wake_one();
	else if (kpy_token_is_wanted())
		kpy_token_give();
	else if (kpy_token_drop())
		wake_one();
}
#endif
