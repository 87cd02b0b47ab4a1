/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A byte ring for one producer and one consumer; neither takes a lock. */
#pragma once
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>

struct kpy_ring {
	char *buf;
	unsigned long size;
	unsigned long head; /* bytes ever written */
	unsigned long tail; /* bytes ever read */
	unsigned long lost; /* bytes that found no room */
};

static inline unsigned long kpy_ring_used(const struct kpy_ring *r)
{
	return smp_load_acquire(&r->head) - READ_ONCE(r->tail);
}

static inline unsigned long kpy_ring_room(const struct kpy_ring *r)
{
	return r->size - (READ_ONCE(r->head) - smp_load_acquire(&r->tail));
}

/* Returns how many of n bytes went in. */
static inline unsigned long kpy_ring_put(struct kpy_ring *r, const char *s, unsigned long n)
{
	unsigned long i = 0;

	n = min(n, kpy_ring_room(r));
	while (i < n) {
		unsigned long at = (r->head + i) % r->size, part = min(n - i, r->size - at);

		memcpy(r->buf + at, s + i, part);
		i += part;
	}
	smp_store_release(&r->head, r->head + n);
	return n;
}

/* The longest piece of unread bytes that lies in one stretch; kpy_ring_skip() consumes it. */
static inline unsigned long kpy_ring_peek(const struct kpy_ring *r, const char **s)
{
	unsigned long at = r->tail % r->size;

	*s = r->buf + at;
	return min(kpy_ring_used(r), r->size - at);
}

static inline void kpy_ring_skip(struct kpy_ring *r, unsigned long n)
{
	smp_store_release(&r->tail, r->tail + n);
}
