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
#include <linux/slab.h>
#include "kpy.h"
#include "ffi/chain.h"
#include "ffi/guard_impl.h"
#include "ffi/probe.h"

struct kpy_probe {
	struct kprobe kprobe;
	unsigned int holders; /* hooks, under the GIL */
	unsigned long tokens[16];
};

/* A task as a token; stack pointers are even. */
static unsigned long task_token(void)
{
	return (unsigned long)current | 1;
}

static void leave_token(struct kpy_probe *p, unsigned long token)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(p->tokens); i++)
		if (!cmpxchg(&p->tokens[i], 0, token))
			return;
	/* Some were never taken, as the kernel skips probes within probes. */
	WRITE_ONCE(p->tokens[hash_long(token, 4)], token);
}

static bool take_token(struct kpy_probe *p, unsigned long token)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(p->tokens); i++)
		if (READ_ONCE(p->tokens[i]) == token && cmpxchg(&p->tokens[i], token, 0) == token)
			return true;
	return false;
}

void kpy_probe_pass(struct kpy_hook *h, unsigned long sp)
{
	leave_token(h->probe, sp);
}

void kpy_probe_pass_call(struct kpy_hook *h)
{
	leave_token(h->probe, task_token());
}

static bool passes(struct kpy_probe *p, struct pt_regs *regs)
{
	unsigned long caller = *(unsigned long *)regs->sp;

	return take_token(p, regs->sp) || ((caller == (unsigned long)kpy_guard_returns ||
					    caller == (unsigned long)kpy_call_returns) &&
					   take_token(p, task_token()));
}

static int on_probe(struct kprobe *kprobe, struct pt_regs *regs)
{
	struct kpy_hook *h;

	if (passes(container_of(kprobe, struct kpy_probe, kprobe), regs))
		return 0;
	h = kpy_chain_top((unsigned long)kprobe->addr);
	if (!h)
		return 0;
	/* The breakpoint itself counts as one NMI. */
	if ((preempt_count() & NMI_MASK) > NMI_OFFSET) {
		kpy_chain_missed(h, KPY_MISS_NMI);
		return 0;
	}
	if (!rcu_is_watching()) {
		kpy_chain_missed(h, KPY_MISS_NOT_READY);
		return 0;
	}
	regs->ip = kpy_chain_entrance(h);
	return 1;
}

/* Its being there keeps the kernel from turning the probe into a jump, which could not change ip. */
static void no_jump(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kpy_probe *new_probe(unsigned long address)
{
	struct kpy_probe *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (p) {
		p->kprobe.addr = (void *)address;
		p->kprobe.pre_handler = on_probe;
		p->kprobe.post_handler = no_jump;
	}
	return p;
}

int kpy_probe_arm(struct kpy_hook *h)
{
	struct kpy_hook *below;
	int err;

	h->site = h->address;
	below = kpy_chain_top(h->site);
	/* Complete before anyone can come here. */
	h->probe = below ? below->probe : new_probe(h->address);
	if (!h->probe)
		return -ENOMEM;
	h->probe->holders++;
	h->armed = true;
	kpy_chain_push(h);
	err = below ? 0 : register_kprobe(&h->probe->kprobe);
	if (err) {
		h->armed = false;
		kpy_chain_drop(h);
		kfree(h->probe);
	}
	return err;
}

void kpy_probe_disarm(struct kpy_hook *h)
{
	if (!h->armed)
		return;
	if (kpy_chain_is_last(h))
		unregister_kprobe(&h->probe->kprobe);
	kpy_chain_drop(h);
}

/* Whoever was in the hook may have left a token up to now. */
void kpy_probe_free(struct kpy_hook *h)
{
	if (h->armed && !--h->probe->holders)
		kfree(h->probe);
}
