/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before upstream files whose loops over objects may be long (kmod/Kbuild): what
 * these loops call counts as work, so that they open interrupt windows, or pass safe points.
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
/* It may run any Python code, so that its callers are ready for a safe point there. */
#define mp_iternext(o)            \
	({                        \
		KPY_SAFE_POLL(2); \
		mp_iternext(o);   \
	})
#endif
#define mp_obj_equal(a, b) KPY_POLLED(2, mp_obj_equal(a, b))

#ifdef KPY_POLL_CHARACTERS
#undef UTF8_IS_CONT
#define UTF8_IS_CONT(ch) KPY_POLLED(1, ((ch)&0xc0) == 0x80)
#define KPY_POLLED_CHARACTER(type, name)                 \
	static inline type kpy_##name(unichar c)         \
	{                                                \
		return KPY_POLLED(2, unichar_##name(c)); \
	}
KPY_POLLED_CHARACTER(bool, isspace)
KPY_POLLED_CHARACTER(bool, isalpha)
KPY_POLLED_CHARACTER(bool, isdigit)
KPY_POLLED_CHARACTER(bool, isupper)
KPY_POLLED_CHARACTER(bool, islower)
KPY_POLLED_CHARACTER(bool, isxdigit)
KPY_POLLED_CHARACTER(unichar, tolower)
KPY_POLLED_CHARACTER(unichar, toupper)
#define unichar_isspace kpy_isspace
#define unichar_isalpha kpy_isalpha
#define unichar_isdigit kpy_isdigit
#define unichar_isupper kpy_isupper
#define unichar_islower kpy_islower
#define unichar_isxdigit kpy_isxdigit
#define unichar_tolower kpy_tolower
#define unichar_toupper kpy_toupper
#endif

/* Matching may take exponential time: a safe point, so that it can be interrupted. */
#ifdef KPY_POLL_STACK_CHECKS
static inline void kpy_checked_recursion(void)
{
	KPY_COUNT_DOWN(kpy_work, 2, kpy_long_op);
	mp_cstack_check();
}
#define mp_cstack_check kpy_checked_recursion
#endif
