// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The memory of buffer objects. Guard bytes on both sides tell of writes beyond it. What is
 * freed is filled with a pattern and held back for a while, so that whoever in the kernel still
 * writes to it does no harm, and is found out when the memory is given back in the end, by a
 * worker: finalisers run under the GIL, where no memory may be freed.
 */
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/poison.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include "kpy.h"
#include "entry.h"
#include "own_work.h"
#include "ffi/alloc.h"
#include "ffi/buffer_memory.h"

#define GUARD 64 /* bytes; keeps data aligned, too */
#define GUARD_BYTE 0xa5
#define SHOWN 8 /* overwritten bytes that are shown */
/* How much freed memory is held back. */
#define HELD_BYTES (1UL << 20)
#define HELD_BUFFERS 256

/* Under the GIL. in_use: an object refers to it. */
static LIST_HEAD(in_use);
static LIST_HEAD(held);
static LIST_HEAD(given_back);
static size_t held_bytes;
static unsigned int n_held;

static void give_back(struct work_struct *work);
static DECLARE_WORK(give_back_work, give_back);

static void kick(struct irq_work *unused)
{
	kpy_own_work_begin();
	/* Of high priority: Python that allocates in a loop must not outrun it. */
	queue_work(system_highpri_wq, &give_back_work);
	kpy_own_work_end();
}
static struct irq_work kick_work = IRQ_WORK_INIT(kick);

struct kpy_buffer *kpy_buffer_new(size_t n)
{
	gfp_t gfp = kpy_gfp() | __GFP_NOWARN;
	struct kpy_entry *e = kpy_gil_release();
	struct kpy_buffer *b = kzalloc(sizeof(*b), gfp);
	u8 *block = n <= KMALLOC_MAX_SIZE - 2 * GUARD ? kmalloc(n + 2 * GUARD, gfp) : NULL;

	if (b && block) {
		memset(block, GUARD_BYTE, GUARD);
		memset(block + GUARD, 0, n);
		memset(block + GUARD + n, GUARD_BYTE, GUARD);
		b->data = block + GUARD;
		b->n = n;
	} else {
		kfree(block);
		kfree(b);
		b = NULL;
	}
	kpy_gil_acquire_stale(e);
	if (b) {
		b->epoch = e->epoch;
		list_add_tail(&b->list, &in_use);
	}
	if (e->epoch != kpy_epoch) {
		if (b) {
			kpy_buffer_free(b);
			kpy_buffer_put(b);
		}
		kpy_leave_python(e);
	}
	return b;
}

/* The first and last of n bytes that are not `byte`, or false. */
static bool differing(const u8 *at, size_t n, u8 byte, size_t *first, size_t *last)
{
	const u8 *p = memchr_inv(at, byte, n);

	if (!p)
		return false;
	*first = p - at;
	for (*last = n - 1; at[*last] == byte; --*last)
		;
	return true;
}

static void describe(char text[KPY_BUFFER_TEXT], const struct kpy_buffer *b, const char *what,
		     long first, long last)
{
	int shown = min_t(long, last - first + 1, SHOWN);

	snprintf(text, KPY_BUFFER_TEXT, "buffer of %zu bytes at 0x%lx: %s %ld to %ld: %*ph%s", b->n,
		 (unsigned long)b->data, what, first, last, shown, b->data + first,
		 last - first + 1 > SHOWN ? " ..." : "");
}

bool kpy_buffer_intact(const struct kpy_buffer *b, char text[KPY_BUFFER_TEXT])
{
	size_t first, last;

	if (b->freed) {
		if (!differing(b->data, b->n, POISON_FREE, &first, &last))
			return true;
		describe(text, b, "written to after it was freed, bytes", first, last);
		return false;
	}
	if (differing(b->data + b->n, GUARD, GUARD_BYTE, &first, &last)) {
		describe(text, b, "overrun, bytes", b->n + first, b->n + last);
		return false;
	}
	if (differing(b->data - GUARD, GUARD, GUARD_BYTE, &first, &last)) {
		describe(text, b, "underrun, bytes", (long)first - GUARD, (long)last - GUARD);
		return false;
	}
	return true;
}

static void trim(void)
{
	while (n_held && (n_held > HELD_BUFFERS || held_bytes > HELD_BYTES)) {
		struct kpy_buffer *b = list_first_entry(&held, struct kpy_buffer, list);

		n_held--;
		held_bytes -= b->n;
		list_move_tail(&b->list, &given_back);
	}
	if (!list_empty(&given_back))
		irq_work_queue(&kick_work);
}

void kpy_buffer_free(struct kpy_buffer *b)
{
	memset(b->data, POISON_FREE, b->n);
	b->freed = true;
}

void kpy_buffer_put(struct kpy_buffer *b)
{
	list_move_tail(&b->list, &held);
	n_held++;
	held_bytes += b->n;
	trim();
}

static void free_all(struct list_head *list)
{
	struct kpy_buffer *b, *next;
	char text[KPY_BUFFER_TEXT];

	list_for_each_entry_safe (b, next, list, list) {
		if (!kpy_buffer_intact(b, text))
			pr_warn("%s\n", text);
		kfree(b->data - GUARD);
		kfree(b);
	}
}

static void give_back(struct work_struct *work)
{
	unsigned long flags = kpy_gil_lock_raw();
	LIST_HEAD(list);

	list_splice_init(&given_back, &list);
	kpy_gil_unlock_raw(flags);
	free_all(&list);
}

void kpy_buffers_forget_objects(void)
{
	struct kpy_buffer *b, *next;

	list_for_each_entry_safe (b, next, &in_use, list)
		if (b->epoch != kpy_epoch)
			list_move_tail(&b->list, &given_back);
	trim();
}

void kpy_buffers_exit(void)
{
	irq_work_sync(&kick_work);
	flush_work(&give_back_work);
	free_all(&in_use);
	free_all(&held);
	free_all(&given_back);
}
