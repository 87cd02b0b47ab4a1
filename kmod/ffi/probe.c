// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hooks at any instruction, by kprobes. Python does not run in the probe's handler, which is much
 * like an NMI: it only sends the code to the stub of the hook, which has all registers and goes on
 * at the probed instruction. That raises the probe again, and now it must let it pass. Who is on
 * the way there leaves a token: its stack pointer, which nobody else can have, or, when
 * the original is called from here, its task, and then the return address is ours, too.
 */
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include "kpy.h"
#include "ffi/guard_impl.h"
#include "ffi/hook.h"
#include "ffi/probe.h"
#include "ffi/stub.h"

/* A task as a token; stack pointers are even. */
static unsigned long task_token(void)
{
	return (unsigned long)current | 1;
}

static void leave_token(struct kpy_hook *h, unsigned long token)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(h->tokens); i++)
		if (!cmpxchg(&h->tokens[i], 0, token))
			return;
	/* Some were never taken, as the kernel skips probes within probes. */
	WRITE_ONCE(h->tokens[hash_long(token, 4)], token);
}

static bool take_token(struct kpy_hook *h, unsigned long token)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(h->tokens); i++)
		if (READ_ONCE(h->tokens[i]) == token && cmpxchg(&h->tokens[i], token, 0) == token)
			return true;
	return false;
}

void kpy_probe_pass(struct kpy_hook *h, unsigned long sp)
{
	leave_token(h, sp);
}

void kpy_probe_pass_call(struct kpy_hook *h)
{
	leave_token(h, task_token());
}

static bool passes(struct kpy_hook *h, struct pt_regs *regs)
{
	unsigned long caller = *(unsigned long *)regs->sp;

	return take_token(h, regs->sp) || ((caller == (unsigned long)kpy_guard_returns ||
					    caller == (unsigned long)kpy_call_returns) &&
					   take_token(h, task_token()));
}

static int on_probe(struct kprobe *p, struct pt_regs *regs)
{
	struct kpy_hook *h = container_of(p, struct kpy_hook, probe);

	if (passes(h, regs))
		return 0;
	/* The breakpoint itself counts as one NMI. */
	if ((preempt_count() & NMI_MASK) > NMI_OFFSET) {
		atomic_long_inc(&h->nmi);
		return 0;
	}
	if (!rcu_is_watching()) {
		kpy_hook_count_not_ready(h);
		return 0;
	}
	regs->ip = kpy_reg_stub_address(h->slot);
	return 1;
}

/* Its being there keeps the kernel from turning the probe into a jump, which could not change ip. */
static void no_jump(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

int kpy_probe_arm(struct kpy_hook *h)
{
	int err;

	h->probe.addr = (void *)h->address;
	h->probe.pre_handler = on_probe;
	h->probe.post_handler = no_jump;
	err = register_kprobe(&h->probe);
	if (err)
		h->probe.addr = NULL;
	return err;
}

void kpy_probe_disarm(struct kpy_hook *h)
{
	if (h->probe.addr)
		unregister_kprobe(&h->probe);
}
