// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guarded calls. A record on the caller's stack holds where the call returns to and what
 * the task's state was. A fault finds the record by walking up the very stack it happened
 * on, makes the call return from there, and the state is repaired.
 *
 * A record counts only while its call runs: its mark depends on a secret and on its
 * address, and is wiped when the call returns. An entry of Python that was made further
 * down the same stack (a hook within the call) carries a mark, too: what faults below that
 * is not the call's business, as the entry cannot be abandoned.
 */
#include <linux/bottom_half.h>
#include <linux/hardirq.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/magic.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <asm/fpu/api.h>
#include <asm/stacktrace.h>
#include "kpy.h"
#include "ffi/guard.h"
#include "ffi/guard_impl.h"

bool kpy_guard_on = true;
unsigned long kpy_guard_secret;

static struct kpy_fault faults[KPY_FAULTS];
static DECLARE_BITMAP(faults_used, KPY_FAULTS);
/* For those that find no room. */
static struct kpy_fault faceless = { .kind = KPY_FAULT_OTHER, .text = "\0a fault" };

struct kpy_fault *const kpy_fault_faceless = &faceless;

struct kpy_fault *kpy_fault_get(void)
{
	unsigned int i;

	for (i = 0; i < KPY_FAULTS; i++)
		if (!test_and_set_bit(i, faults_used))
			return &faults[i];
	return &faceless;
}

void kpy_fault_put(struct kpy_fault *f)
{
	if (f && f != &faceless)
		clear_bit(f - faults, faults_used);
}

bool kpy_guard_failed(struct kpy_entry *e, const struct kpy_guard *g)
{
	kpy_fault_put(e->fault); /* of a call whose interpreter ended meanwhile */
	e->fault = g->fault;
	return false;
}

bool kpy_guarded_call(struct kpy_entry *e, unsigned long target, size_t n,
		      const unsigned long *words, unsigned long *result)
{
	return kpy_guarded_call_here(e, target, n, words, result);
}

typedef int (*get_stack_info_t)(unsigned long *stack, struct task_struct *task,
				struct stack_info *info, unsigned long *visit_mask);
static get_stack_info_t stack_info_of;

/* The stack that sp points into, or just below. */
static bool stack_of(unsigned long sp, struct stack_info *info)
{
	unsigned long mask = 0;

	if (stack_info_of((unsigned long *)sp, current, info, &mask) &&
	    stack_info_of((unsigned long *)PAGE_ALIGN(sp), current, info, &mask))
		return false;
	return info->type == STACK_TYPE_TASK || info->type == STACK_TYPE_IRQ;
}

/* Stacks have holes that KASAN forbids, and words that others write. */
static __no_kasan_or_inline struct kpy_guard *scan(unsigned long *at, unsigned long *end)
{
	for (; at < end; at++) {
		unsigned long word = READ_ONCE_NOCHECK(*at) ^ kpy_guard_secret;
		struct kpy_guard *g = container_of(at, struct kpy_guard, mark);

		if (word == (unsigned long)g)
			return g;
		if (word == ~(unsigned long)at) /* an entry: kpy_entry_mark() */
			return NULL;
	}
	return NULL;
}

/* The call that faulted, if it was one, and on what stack. In the context of the fault. */
static struct kpy_guard *find(unsigned long sp, const struct stack_info *stack,
			      unsigned int preempt)
{
	struct kpy_guard *g = scan((unsigned long *)ALIGN(max(sp, (unsigned long)stack->begin), 8),
				   (void *)stack->end);

	/* An interrupt that came during the call, and uses the same stack, is not the call. */
	if (!g || g->entry->task != current ||
	    (preempt ^ g->preempt) & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET))
		return NULL;
	return g;
}

bool kpy_guard_divert(struct pt_regs *regs, struct kpy_fault_signs *signs)
{
	unsigned int preempt = preempt_count();
	unsigned long guard_page;
	struct stack_info stack;
	struct kpy_guard *g;

	if (signs->double_fault)
		preempt -= NMI_OFFSET + HARDIRQ_OFFSET; /* what its handler added */
	if (!READ_ONCE(kpy_guard_on) || preempt & NMI_MASK || !stack_of(regs->sp, &stack))
		return false;
	guard_page = (unsigned long)stack.begin - PAGE_SIZE;
	if (signs->has_address && signs->address - guard_page < PAGE_SIZE)
		signs->kind = KPY_FAULT_STACK;
	else if (signs->double_fault)
		return false;
	g = find(regs->sp, &stack, preempt);
	if (!g)
		return false;
	g->fault = kpy_fault_get();
	g->faulting_sp = max(regs->sp, (unsigned long)stack.begin);
	kpy_fault_record(g->fault, regs, signs);
	regs->ip = (unsigned long)kpy_guard_recover;
	regs->di = (unsigned long)g;
	regs->sp = g->regs.sp;
	regs->bx = g->regs.bx;
	regs->bp = g->regs.bp;
	regs->r12 = g->regs.r12;
	regs->r13 = g->regs.r13;
	regs->r14 = g->regs.r14;
	regs->r15 = g->regs.r15;
	/* Neither the direction flag, nor access to user memory, nor a single step. */
	regs->flags = X86_EFLAGS_FIXED | (regs->flags & X86_EFLAGS_IF);
	return true;
}

static void (*unpoison)(const void *address, size_t size);

void kpy_stack_abandoned(unsigned long from, unsigned long to)
{
	unsigned long *end = end_of_stack(current);

	if (from >= to)
		return;
	/* Frames that never returned left KASAN's marks around their variables. */
	if (unpoison)
		unpoison((void *)from, to - from);
	/* The scheduler looks whether it is still there. */
	if ((unsigned long)end >= from && (unsigned long)end < to)
		*end = STACK_END_MAGIC;
}

static void clear_if_abandoned(void *pointer_to_stack, const struct kpy_guard *g)
{
	unsigned long *p = pointer_to_stack;

	if (*p >= g->faulting_sp && *p < g->regs.sp)
		*p = 0;
}

/* What points from the task to its stack, and what it was about to do. */
static void repair_task(const struct kpy_guard *g)
{
	current->pagefault_disabled = g->pagefault_disabled;
	if (g->preempt & (HARDIRQ_MASK | SOFTIRQ_OFFSET))
		return;
	current->nameidata = g->nameidata;
	clear_if_abandoned(&current->plug, g);
	clear_if_abandoned(&current->bio_list, g);
	clear_if_abandoned(&current->reclaim_state, g);
	__set_current_state(TASK_RUNNING);
}

#ifdef CONFIG_LOCKDEP
static bool is_rcu(const struct lockdep_map *map)
{
	return map == &rcu_lock_map || map == &rcu_bh_lock_map || map == &rcu_sched_lock_map;
}

/*
 * RCU's sections are left. The locks stay, and stay known as the task's, which may release
 * them; those of an interrupt would be taken for locks of the task it interrupted.
 */
static void repair_lockdep(const struct kpy_guard *g)
{
	bool all = g->entry->kind == KPY_HOOK;
	int i;

	kpy_fault_locks(g->fault, g->lockdep_depth);
	for (i = current->lockdep_depth - 1; i >= g->lockdep_depth; i--) {
		struct lockdep_map *map = current->held_locks[i].instance;

		if (all || is_rcu(map))
			lock_release(map, _THIS_IP_);
	}
}
#else
static void repair_lockdep(const struct kpy_guard *g)
{
	kpy_fault_locks(g->fault, 0);
}
#endif

static void repair_counts(const struct kpy_guard *g)
{
	bool bh = (preempt_count() & SOFTIRQ_MASK) > (g->preempt & SOFTIRQ_MASK) && !in_hardirq();

#ifdef CONFIG_PREEMPT_RCU
	while (current->rcu_read_lock_nesting > g->rcu_nesting)
		__rcu_read_unlock();
	while (current->rcu_read_lock_nesting < g->rcu_nesting)
		__rcu_read_lock();
#endif
	preempt_count_set(g->preempt + (bh ? SOFTIRQ_DISABLE_OFFSET : 0));
	if (bh)
		_local_bh_enable();
	if (g->fpu_usable && !irq_fpu_usable()) {
		preempt_disable();
		kernel_fpu_end();
	}
}

/* The fault returned to here, as if kpy_guard_call() had called us: we return for it. */
unsigned long kpy_guard_recover(struct kpy_guard *g)
{
	unsigned long unused;

	local_irq_save(unused);
	kpy_stack_abandoned(g->faulting_sp, g->regs.sp);
	repair_task(g);
	repair_lockdep(g);
	repair_counts(g);
	local_irq_restore(g->flags);
	if (!irqs_disabled()) {
		/* What had to wait for the callee: softirqs, and being preempted. */
		if (!in_interrupt()) {
			local_bh_disable();
			local_bh_enable();
		}
		preempt_disable();
		preempt_enable();
	}
	kpy_fault_describe(g->fault);
	return 0;
}

int kpy_guard_init(void)
{
	kpy_guard_secret = get_random_u64() | 1; /* no address is odd: 0 marks nothing */
	stack_info_of = (void *)kpy_kallsyms_lookup("get_stack_info");
	/* Only with CONFIG_KASAN. */
	unpoison = (void *)kpy_kallsyms_lookup("__kasan_unpoison_range");
	if (!stack_info_of) {
		pr_warn("wrong calls are not caught: this kernel has no get_stack_info\n");
		return 0;
	}
	return kpy_catch_init();
}

void kpy_guard_exit(void)
{
	if (stack_info_of)
		kpy_catch_exit();
}
