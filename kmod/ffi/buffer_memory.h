/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel memory of buffer objects: see kmod/ffi/buffer_memory.c. */
#pragma once
#include <linux/list.h>
#include <linux/types.h>

struct kpy_buffer {
	struct list_head list;
	unsigned int epoch;
	bool freed;
	size_t n;
	u8 *data; /* n bytes between two guards */
};

#define KPY_BUFFER_TEXT 160

/* Zeroed, or NULL. Under the GIL, given up. */
struct kpy_buffer *kpy_buffer_new(size_t n);
/* Are the guards as they were? Else what was overwritten, in words. Under the GIL. */
bool kpy_buffer_intact(const struct kpy_buffer *b, char text[KPY_BUFFER_TEXT]);
/* Poisons the memory; it is given back later. Under the GIL. */
void kpy_buffer_free(struct kpy_buffer *b);
/* Nobody refers to a freed one any more. Under the GIL. */
void kpy_buffer_put(struct kpy_buffer *b);
