/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before upstream files whose loops run over the bytes of one operand and call
 * nothing (kmod/Kbuild): each turn of each loop counts as work, so that long ones open
 * interrupt windows. The loop's body is the else branch of the poll.
 */
#pragma once
#include "py/runtime.h"
#include "py/stream.h"

#ifndef NO_QSTR
#ifdef KPY_SAFE_WHILE
/* Searches that take quadratic time are in these: others run, and Ctrl-C interrupts them. */
#define KPY_WHILE_POLL KPY_COUNT_DOWN(kpy_work, 1, kpy_long_op)
#else
#define KPY_WHILE_POLL KPY_WORK(1)
#endif

#ifdef KPY_POLL_NAMES
/* Before a name is new, all others were looked at. No safe point: the list of names may change. */
#define mp_obj_str_get_qstr(o)                                        \
	({                                                            \
		KPY_WORK(MP_STATE_VM(last_pool)->total_prev_len / 8); \
		mp_obj_str_get_qstr(o);                               \
	})
#endif

#define KPY_TURN(poll) \
	({             \
		poll;  \
		1;     \
	})
/* clang-format off */
#define for(...) for (__VA_ARGS__) if (!KPY_TURN(KPY_WORK(1))) { } else
#define while(...) while (KPY_TURN(KPY_WHILE_POLL) && (__VA_ARGS__))
/* clang-format on */
#endif
