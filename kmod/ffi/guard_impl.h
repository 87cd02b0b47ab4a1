/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of guarded calls share: guard.c, catch.c, fault_text.c; and the call itself. */
#pragma once
#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <asm/fpu/api.h>
#include "ffi/guard.h"

struct pt_regs;

#define KPY_FAULTS 32 /* that wait to become exceptions at one time */

/* Lives on the caller's stack while the call lasts. */
struct kpy_guard {
	struct kpy_regs regs; /* first: guard_asm.S */
	unsigned long mark;
	struct kpy_entry *entry;
	struct kpy_fault *fault;
	unsigned long flags;
	unsigned long faulting_sp; /* down to here the stack is abandoned */
	struct nameidata *nameidata;
	unsigned int preempt;
	bool fpu_usable;
	int rcu_nesting, pagefault_disabled, lockdep_depth;
};

/* What the handler of a fault knows. */
struct kpy_fault_signs {
	enum kpy_fault_kind kind;
	bool has_address, write;
	bool double_fault; /* the handler runs as if it were an NMI, on a stack of its own */
	unsigned long address;
};

/* guard_asm.S */
unsigned long kpy_guard_call(struct kpy_guard *g, unsigned long target, size_t n,
			     const unsigned long *words);
void kpy_guard_returns(void); /* where the callee returns to */
void kpy_guard_return(void);
void kpy_guard_jump(const struct kpy_regs *to, void *argument);

/* guard.c: what is left to do where the call faulted. Returns false. */
bool kpy_guard_failed(struct kpy_entry *e, const struct kpy_guard *g);

/* kpy_guarded_call() in line, for the callers that are in a hurry. */
static __always_inline bool kpy_guarded_call_here(struct kpy_entry *e, unsigned long target,
						  size_t n, const unsigned long *words,
						  unsigned long *result)
{
	struct kpy_guard g;

	g.fault = NULL;
	g.entry = e;
	g.preempt = preempt_count();
	/* Where nothing disables preemption nobody uses the FPU. */
	g.fpu_usable = !g.preempt || irq_fpu_usable();
	g.flags = arch_local_save_flags();
	g.pagefault_disabled = current->pagefault_disabled;
	g.nameidata = current->nameidata;
#ifdef CONFIG_PREEMPT_RCU
	g.rcu_nesting = current->rcu_read_lock_nesting;
#endif
#ifdef CONFIG_LOCKDEP
	g.lockdep_depth = current->lockdep_depth;
#endif
	WRITE_ONCE(g.mark, kpy_guard_secret ^ (unsigned long)&g);
	*result = kpy_guard_call(&g, target, n, words);
	WRITE_ONCE(g.mark, 0);
	if (unlikely(g.fault))
		return kpy_guard_failed(e, &g);
	return true;
}

/* guard.c: makes the call that faulted return; false: there is none. */
bool kpy_guard_divert(struct pt_regs *regs, struct kpy_fault_signs *signs);
unsigned long kpy_guard_recover(struct kpy_guard *g);
/* The stack between these holds frames that never return. On that stack, above it. */
void kpy_stack_abandoned(unsigned long from, unsigned long to);
struct kpy_fault *kpy_fault_get(void);
extern struct kpy_fault *const kpy_fault_faceless; /* shared: not to be written to */

/*
 * The same for a fault of the interpreter itself, while this CPU holds the GIL: it goes to
 * restart.c.
 */
bool kpy_interpreter_divert(struct pt_regs *regs, struct kpy_fault_signs *signs);

/* overflow.c: a double fault, which a stack overflow is. Comes back when that is not ours. */
void kpy_catch_overflow(struct pt_regs *regs,
			bool (*divert)(struct pt_regs *regs, struct kpy_fault_signs *signs));
void kpy_overflow_init(void);

/* catch.c */
int kpy_catch_init(void);
void kpy_catch_exit(void);

/* fault_text.c: in the handler of the fault; with interrupts off; and behind it. */
void kpy_fault_text_init(void);
bool kpy_fault_is_bug(unsigned long ip);
void kpy_fault_record(struct kpy_fault *f, struct pt_regs *regs, const struct kpy_fault_signs *s);
void kpy_fault_locks(struct kpy_fault *f, int from);
void kpy_fault_describe(struct kpy_fault *f);
