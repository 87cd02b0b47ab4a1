// SPDX-License-Identifier: GPL-2.0-or-later
/* What stubs do: run the hook, then say where the call goes on, with what registers. */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/string.h>
#include "entry.h"
#include "ffi/hook.h"
#include "ffi/probe.h"
#include "ffi/stub.h"

/* Flags that a handler may change. */
#define FLAGS_FREE                                                                       \
	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | \
	 X86_EFLAGS_DF | X86_EFLAGS_OF)

/* Calls that are in the original without being in Python, under the GIL. */
static LIST_HEAD(originals);

static void link_original(struct kpy_invocation *inv)
{
	unsigned long flags = kpy_gil_lock_raw();

	inv->task = current;
	list_add(&inv->originals, &originals);
	kpy_gil_unlock_raw(flags);
}

static void unlink_original(struct kpy_invocation *inv)
{
	unsigned long flags = kpy_gil_lock_raw();

	list_del(&inv->originals);
	kpy_gil_unlock_raw(flags);
}

struct kpy_invocation *kpy_hook_some_original(void)
{
	return list_first_entry_or_null(&originals, struct kpy_invocation, originals);
}

void kpy_hook_abandon_originals(void)
{
	struct kpy_invocation *inv, *next;

	list_for_each_entry_safe (inv, next, &originals, originals) {
		if (inv->task == current) {
			list_del(&inv->originals);
			kpy_hook_leave(inv->hook);
		}
	}
}

/* What may be arguments on the stack, or lie above its end. */
static void copy_stack(unsigned long *words, const unsigned long *stack, size_t n)
{
	if (offset_in_page(stack) <= PAGE_SIZE - n * sizeof(*words))
		memcpy(words, stack, n * sizeof(*words));
	else
		for (; n--; words++, stack++)
			*words = kpy_stack_word(stack);
}

/* Calls the original before the handler, unless that cannot run anyway. */
static void run_original(struct kpy_invocation *inv)
{
	unsigned long words[KPY_HOOK_ARGS_MAX], target;
	struct kpy_hook *h = inv->hook;

	if (in_nmi() || kpy_hook_is_own_doing())
		return;
	memcpy(words, inv->args, 6 * sizeof(*words));
	copy_stack(words + 6, inv->stack_args, 6);
	target = READ_ONCE(h->original);
	if (h->by_probe && target == h->address)
		kpy_probe_pass_call(h);
	link_original(inv);
	inv->original = kpy_call_words(target, words);
	unlink_original(inv);
	inv->ran = true;
}

unsigned long kpy_hook_run_stub(struct kpy_hook *h, struct kpy_stub_frame *frame)
{
	struct kpy_invocation inv;
	enum kpy_outcome outcome;
	unsigned long next;

	inv.hook = h;
	inv.args = frame->args;
	inv.stack_args = frame->stack_args;
	inv.regs = NULL;
	inv.result = inv.original = 0;
	inv.in_original = inv.ran = false;
	inv.outside = 0;
	atomic_inc(&h->in_flight);
	if (h->kind->returns)
		run_original(&inv);
	outcome = kpy_hook_try(&inv);
	/* Read it last: the hook there may have gone meanwhile. */
	next = READ_ONCE(h->original);
	if (outcome == KPY_DONE && !h->kind->watches) {
		frame->ax = inv.result;
		next = 0;
	} else if (inv.ran) {
		frame->ax = inv.original;
		next = 0;
	} else if (!next) {
		frame->ax = 0;
	}
	kpy_hook_leave(h);
	return next;
}

/* Makes the function at whose beginning the registers are return. */
static void return_from(struct pt_regs *regs, unsigned long result)
{
	regs->ax = result;
	regs->ip = *(unsigned long *)regs->sp;
	regs->sp += sizeof(unsigned long);
}

void kpy_hook_run_reg_stub(struct kpy_hook *h, struct pt_regs *regs)
{
	unsigned long words[6] = { regs->di, regs->si, regs->dx, regs->cx, regs->r8, regs->r9 };
	struct kpy_invocation inv = { .hook = h, .args = words, .regs = regs };
	struct pt_regs before;
	enum kpy_outcome outcome;

	regs->ip = h->address;
	regs->orig_ax = -1;
	before = *regs;
	inv.stack_args = (unsigned long *)regs->sp + 1;
	atomic_inc(&h->in_flight);
	if (h->kind->returns)
		run_original(&inv);
	outcome = kpy_hook_try(&inv);
	if (h->kind->wants_regs && outcome == KPY_DONE && !h->kind->watches) {
		regs->cs = before.cs;
		regs->ss = before.ss;
		regs->flags = (before.flags & ~FLAGS_FREE) | (regs->flags & FLAGS_FREE);
	} else {
		*regs = before;
		if (outcome == KPY_DONE && !h->kind->watches)
			return_from(regs, inv.result);
		else if (inv.ran)
			return_from(regs, inv.original);
	}
	if (regs->ip == h->address) {
		regs->ip = READ_ONCE(h->original);
		if (h->by_probe && regs->ip == h->address)
			kpy_probe_pass(h, regs->sp);
	}
	kpy_hook_leave(h);
}
