/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output of Python code. It is produced under the GIL, where nothing may sleep or
 * take a lock: a ring takes it, and a thread outside the GIL carries it away.
 */
#pragma once
#ifndef NO_QSTR
#include <linux/types.h>
#include <linux/compiler.h>

extern bool kpy_output_pending;

/* Under the GIL: is there new output whose carrier must be woken after the release? */
static __always_inline bool kpy_output_take_kick(void)
{
	if (likely(!kpy_output_pending))
		return false;
	kpy_output_pending = false;
	return true;
}

/* Wakes the carriers; from any context. */
void kpy_output_kick(void);

int kpy_output_init(void);
void kpy_output_exit(void);
#endif
