// SPDX-License-Identifier: GPL-2.0-or-later
/* Slots of the stubs, and what a stub does. */
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/ptrace.h>
#include "ffi/hook.h"
#include "ffi/stub.h"

static struct kpy_hook *slots[KPY_STUBS];

/*
 * Free slots, the longest unused first: a pointer that the kernel was not to use any more
 * should find nobody as long as possible.
 */
static unsigned short free_slots[KPY_STUBS];
static unsigned int first_free, n_free;

int kpy_stub_take(struct kpy_hook *h)
{
	int slot;

	if (!n_free)
		return -1;
	slot = free_slots[first_free];
	first_free = (first_free + 1) % KPY_STUBS;
	n_free--;
	WRITE_ONCE(slots[slot], h);
	return slot;
}

void kpy_stub_unbind(int slot)
{
	WRITE_ONCE(slots[slot], NULL);
}

void kpy_stub_put(int slot)
{
	kpy_stub_unbind(slot);
	free_slots[(first_free + n_free) % KPY_STUBS] = slot;
	n_free++;
}

unsigned int kpy_stubs_free(void)
{
	return n_free;
}

void kpy_stubs_init(void)
{
	int slot;

	for (slot = 0; slot < KPY_STUBS; slot++)
		kpy_stub_put(slot);
}

/* Called by stubs.S. */
unsigned long kpy_stub_run(struct kpy_stub_frame *frame);
unsigned long kpy_stub_run(struct kpy_stub_frame *frame)
{
	/*
	 * Between here and the count of calls in flight nothing sleeps: whoever unbinds the slot
	 * waits for RCU-tasks, then for that count, then for RCU-tasks again.
	 */
	struct kpy_hook *h = READ_ONCE(slots[frame->slot]);

	if (unlikely(!h)) {
		frame->ax = 0;
		return 0;
	}
	return kpy_hook_run_stub(h, frame);
}

void kpy_reg_stub_run(struct pt_regs *regs);
void kpy_reg_stub_run(struct pt_regs *regs)
{
	/* Its slot is bound as long as anyone can come here: there is somewhere to go on. */
	kpy_hook_run_reg_stub(READ_ONCE(slots[regs->orig_ax]), regs);
}
