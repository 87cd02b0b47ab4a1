// SPDX-License-Identifier: GPL-2.0-or-later
/* Evaluation in the frozen guest, on a stack of its own. */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>
#include <asm/tsc.h>
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"

#define STACK_SIZE (16UL << 10)
#define PYSTACK_SIZE (64UL << 10)

struct kpy_mailbox *kpy_mailbox;
u64 kpy_debug_stack_top;
struct kpy_rescue kpy_rescue;

static void *stack, *pystack;
static struct kpy_entry entry;

/* Guard pages: each vmalloc area is followed by an unmapped page, and preceded by that of another. */
int kpy_debug_init(void)
{
	kpy_mailbox = vzalloc(sizeof(*kpy_mailbox));
	stack = vmalloc(STACK_SIZE);
	pystack = vmalloc(PYSTACK_SIZE);
	if (!kpy_mailbox || !stack || !pystack) {
		kpy_debug_exit();
		return -ENOMEM;
	}
	/* Touched here, so that no evaluation takes the fault that maps it into the current page table. */
	memset(stack, 0, STACK_SIZE);
	memset(pystack, 0, PYSTACK_SIZE);
	kpy_debug_stack_top = (u64)stack + STACK_SIZE;
	return 0;
}

void kpy_debug_exit(void)
{
	kpy_debug_stack_top = 0;
	vfree(stack);
	vfree(pystack);
	vfree(kpy_mailbox);
	kpy_mailbox = NULL;
}

static noinline void run(struct kpy_mailbox *mb)
{
	struct kpy_entry *e = &entry;

	kpy_entry_init(e, KPY_DEBUG, NULL);
	e->mailbox = mb;
	kpy_entry_set_stack(e, (unsigned long)stack, __builtin_frame_address(0));
	kpy_entry_set_pystack(e, pystack, PYSTACK_SIZE);
	if (!kpy_gil_try_enter(e)) {
		kpy_debug_refuse(mb, "the GIL is held");
		return;
	}
	if (mb->timeout_ms)
		e->deadline = rdtsc() + (u64)tsc_khz * mb->timeout_ms;
	kpy_debug_evaluate(e, mb);
	kpy_gil_leave(e);
}

void kpy_debug_eval(void)
{
	struct kpy_mailbox *mb = kpy_mailbox;

	/* Written once, at the end: where a debugger has a watchpoint on it. */
	if (mb->state != KPY_MAILBOX_BUSY)
		mb->state = KPY_MAILBOX_BUSY;
	memset(&mb->result_text, 0, sizeof(mb->result_text));
	memset(&mb->output_text, 0, sizeof(mb->output_text));
	mb->value_kind = KPY_VALUE_NONE;
	mb->value_type[0] = 0;
	mb->kept = 0;
	if (!READ_ONCE(kpy_ready))
		kpy_debug_refuse(mb, "the interpreter is not running");
	else if (mb->source_len > KPY_MAILBOX_SOURCE)
		kpy_debug_refuse(mb, "the source is too long");
	else
		run(mb);
	mb->state = KPY_MAILBOX_DONE;
}

void kpy_debug_abort(void)
{
	if (entry.pprev)
		kpy_gil_leave(&entry);
	if (kpy_mailbox)
		kpy_mailbox->state = KPY_MAILBOX_IDLE;
}
