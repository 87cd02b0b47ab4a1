/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before upstream files whose loops over objects may be long (kmod/Kbuild): what
 * these loops call counts as work, so that they open interrupt windows.
 */
#pragma once
#include "py/cstack.h"
#include "py/runtime.h"

#define KPY_POLLED(n, call)  \
	({                   \
		KPY_WORK(n); \
		call;        \
	})
#ifdef KPY_POLL_OBJECTS
#define mp_binary_op(op, lhs, rhs) KPY_POLLED(4, mp_binary_op(op, lhs, rhs))
#define mp_iternext(o) KPY_POLLED(2, mp_iternext(o))
#endif
#define mp_obj_equal(a, b) KPY_POLLED(2, mp_obj_equal(a, b))

/* Matching may take exponential time: a safe point, so that it can be interrupted. */
#ifdef KPY_POLL_STACK_CHECKS
static inline void kpy_checked_recursion(void)
{
	KPY_COUNT_DOWN(kpy_work, 2, kpy_long_op);
	mp_cstack_check();
}
#define mp_cstack_check kpy_checked_recursion
#endif
