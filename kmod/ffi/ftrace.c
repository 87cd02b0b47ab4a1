// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hooks at the beginning of functions, by ftrace: one ftrace_ops catches the calls of all
 * hooked functions and sends each to the stub of its hook, in the context of the call. One for
 * all, because a function that leaves the set of an ops costs no grace period, as an ops does
 * that is unregistered; reap.c waits once for many hooks.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include "kpy.h"
#include "ffi/chain.h"
#include "ffi/ftrace.h"
#include "ffi/guard_impl.h"
#include "ffi/hook.h"

static __always_inline bool let_through(struct kpy_hook *h, unsigned long parent_ip)
{
	/* What this module calls for its own needs; calls that Python code asked for are others. */
	if (unlikely(within_module_core(parent_ip, THIS_MODULE)) &&
	    parent_ip != (unsigned long)kpy_guard_returns) {
		kpy_chain_missed(h, KPY_MISS_RECURSION);
		return true;
	}
	/* Nothing would hold the removal of the hook up. */
	if (unlikely(!rcu_is_watching())) {
		kpy_chain_missed(h, KPY_MISS_NOT_READY);
		return true;
	}
	return false;
}

/*
 * The arguments of the callback are others since kernel commit d19ad0775dcd (v5.11), which also
 * made FTRACE_OPS_FL_RECURSION ask for a protection that this callback does not need. The
 * accessors were renamed in commit e4cf33ca4812 (v6.13).
 */
#if defined(ftrace_regs_set_instruction_pointer)
#define set_ip ftrace_regs_set_instruction_pointer
#define FREGS struct ftrace_regs
#elif defined(ftrace_instruction_pointer_set)
#define set_ip ftrace_instruction_pointer_set
#define FREGS struct ftrace_regs
#else
#define set_ip(regs, at) ((regs)->ip = (at))
#define FREGS struct pt_regs
#endif

static void notrace on_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    FREGS *regs)
{
	struct kpy_hook *h = kpy_chain_top(ip);

	if (h && !let_through(h, parent_ip))
		set_ip(regs, kpy_chain_entrance(h));
}

static struct ftrace_ops ops = {
	.func = on_call,
	.flags = FTRACE_OPS_FL_IPMODIFY
#ifndef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
		 | FTRACE_OPS_FL_SAVE_REGS
#endif
	,
};
static bool registered; /* under the arming lock */

static unsigned long (*location)(unsigned long ip);

unsigned long kpy_ftrace_site(unsigned long address)
{
	return location ? location(address) : 0;
}

static int register_ops(void)
{
	int err;

	if (registered)
		return 0;
	err = ftrace_set_filter_ip(&ops, kpy_ftrace_site((unsigned long)kpy_ftrace_anchor), 0, 0);
	if (!err)
		err = register_ftrace_function(&ops);
	registered = !err;
	return err;
}

int kpy_ftrace_arm(struct kpy_hook *h)
{
	int err = register_ops();

	if (!err && !kpy_chain_push(h)) {
		err = ftrace_set_filter_ip(&ops, h->site, 0, 0);
		if (err)
			kpy_chain_drop(h);
	}
	h->armed = !err;
	return err;
}

void kpy_ftrace_disarm(struct kpy_hook *h)
{
	if (!h->armed)
		return;
	if (kpy_chain_is_last(h))
		ftrace_set_filter_ip(&ops, h->site, 1, 0);
	kpy_chain_drop(h);
}

int kpy_ftrace_init(void)
{
	location = (void *)kpy_kallsyms_lookup("ftrace_location");
	return 0;
}

void kpy_ftrace_exit(void)
{
	if (registered)
		unregister_ftrace_function(&ops);
	registered = false;
	ftrace_free_filter(&ops);
}
