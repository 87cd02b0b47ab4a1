/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memcpy(), strcmp() and their kin with user pointers: see kmod/ffi/user_copy.c. */
#pragma once
#ifndef NO_QSTR
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/types.h>

struct kpy_entry;

static inline bool kpy_is_user_address(unsigned long address)
{
	return address >= PAGE_SIZE && address < TASK_SIZE_MAX;
}

/* Might a call with these words concern memory of the current process? */
static inline bool kpy_has_user_words(const unsigned long *words)
{
	return current->mm && (kpy_is_user_address(words[0]) || kpy_is_user_address(words[1]));
}

/* As kpy_guarded_call(). */
bool kpy_user_call(struct kpy_entry *e, unsigned long target, size_t n, unsigned long *words,
		   unsigned long *result);
void kpy_user_copy_init(void);
#endif
