/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the module does for Python without being in Python: carrying output, waking who carries it.
 * A hook that prints, on what that calls, would never see the end of it: hooks let such calls through.
 */
#pragma once
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>

/* In an interrupt, or with preemption disabled. */
DECLARE_PER_CPU(bool, kpy_own_interrupt);

static inline void kpy_own_work_begin(void)
{
	this_cpu_write(kpy_own_interrupt, true);
}

static inline void kpy_own_work_end(void)
{
	this_cpu_write(kpy_own_interrupt, false);
}

/* Threads that carry output. */
int kpy_log_main(void *unused);
int kpy_writer_main(void *session);

static inline bool kpy_own_work(void)
{
	void *thread;

	if (this_cpu_read(kpy_own_interrupt))
		return true;
	/* Softirqs that are served on top of such a thread are others' work. */
	if (likely(!(current->flags & PF_KTHREAD)) || in_hardirq() || in_serving_softirq())
		return false;
	thread = kthread_func(current);
	return thread == kpy_log_main || thread == kpy_writer_main;
}
