// SPDX-License-Identifier: GPL-2.0-or-later
/* Entering Python from the kernel. */
#include <linux/hardirq.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/sched/task_stack.h>
#include <linux/vmalloc.h>
#include <asm/stacktrace.h>
#include <asm/tsc.h>
#include "py/runtime.h"
#include "kpy.h"
#include "own_work.h"
#include "debug/info.h"
#include "ffi/ftrace.h"
#include "ffi/hook.h"
#include "ffi/stub.h"
#include "repl/session.h"

/* What entering Python wants of the stack it finds. */
#define STACK_RESERVE 6144
/* Every CPU can be in process, softirq and hardirq context at once, and blocked entries pile up. */
#define PYSTACKS 256
#define PYSTACK_SIZE (4UL << 10)

static unsigned int budget_ms = 1000;
module_param_named(hook_budget_ms, budget_ms, uint, 0600);
MODULE_PARM_DESC(hook_budget_ms, "ms that a hook may run in process context, 0: no limit");

static unsigned int atomic_budget_ms = 50;
module_param_named(hook_atomic_budget_ms, atomic_budget_ms, uint, 0600);
MODULE_PARM_DESC(hook_atomic_budget_ms, "ms that a hook may run in atomic context, 0: no limit");

struct kpy_hook_totals kpy_hook_totals;

/* A pool of pystacks, linked through their first word, under the GIL: nothing is allocated per entry. */
static void *pystacks, *free_pystack;

static void *take_pystack(void)
{
	void *p = free_pystack;

	if (p)
		free_pystack = *(void **)p;
	return p;
}

static void put_pystack(void *p)
{
	*(void **)p = free_pystack;
	free_pystack = p;
}

typedef int (*get_stack_info_t)(unsigned long *stack, struct task_struct *task,
				struct stack_info *info, unsigned long *visit_mask);
static get_stack_info_t stack_info_of;

/* The lower end of the stack of interrupts that sp is on; 0 when it is on another. */
static noinline unsigned long interrupt_stack(unsigned long sp)
{
	struct stack_info info;
	unsigned long mask = 0;

	if (!stack_info_of || stack_info_of((unsigned long *)sp, current, &info, &mask) ||
	    info.type != STACK_TYPE_IRQ)
		return 0;
	return (unsigned long)info.begin;
}

/* The lower end of the stack that we are on; 0 when it is none that Python runs on, or nearly full. */
static __always_inline unsigned long usable_stack(void)
{
	unsigned long sp = (unsigned long)__builtin_frame_address(0);
	unsigned long lo = (unsigned long)end_of_stack(current);

	if (unlikely(sp - lo >= THREAD_SIZE)) {
		lo = interrupt_stack(sp);
		if (!lo)
			return 0;
	}
	return sp - lo >= STACK_RESERVE ? lo : 0;
}

static void count_context(void)
{
	if (in_hardirq())
		kpy_hook_totals.hardirq++;
	else if (in_softirq())
		kpy_hook_totals.softirq++;
	else
		kpy_hook_totals.process++;
}

static enum kpy_outcome call_handler(struct kpy_invocation *inv, struct kpy_entry *e)
{
	struct kpy_hook *h = inv->hook;
	nlr_buf_t nlr;

	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		if (h->kind->handle)
			h->kind->handle(h, inv);
		else
			h->call(h->handler, 0, 0, NULL);
		nlr_pop();
		e->base = NULL;
		return KPY_DONE;
	}
	if (nlr.ret_val) {
		kpy_hook_report(h, MP_OBJ_FROM_PTR(nlr.ret_val));
	} else { /* aborted: it is being stopped, or went on after its TimeoutError */
		e->base = NULL;
		h->enabled = false;
	}
	return KPY_FAILED;
}

/*
 * Is this the hook's own doing: does its handler, further up on this stack, call a kernel
 * function (its original aside) that led here?
 */
static bool caused_by_handler(const struct kpy_hook *h, const struct kpy_entry *e)
{
	const struct kpy_entry *o;

	for (o = e->next; o; o = o->next)
		if (o->what == h && o->call.target && !o->invocation->in_original &&
		    e->stack_hi >= o->stack_lo && e->stack_hi < o->stack_hi)
			return true;
	return false;
}

/* Separate from kpy_hook_try() so that the entry is on the stack only where it is used. */
static noinline enum kpy_outcome enter(struct kpy_invocation *inv, unsigned long stack_lo)
{
	unsigned int budget = preemptible() ? budget_ms : atomic_budget_ms;
	struct kpy_hook *h = inv->hook;
	enum kpy_outcome outcome;
	struct kpy_entry e;
	void *pystack;
	u64 begin;

	kpy_entry_init(&e, KPY_HOOK, NULL);
	e.what = h;
	e.invocation = inv;
	kpy_entry_set_stack(&e, stack_lo, __builtin_frame_address(0));
	if (!kpy_gil_enter_bounded(&e)) {
		kpy_hook_count_miss(h, KPY_MISS_BUSY);
		return KPY_MISSED;
	}
	pystack = take_pystack();
	if (!pystack || !h->enabled || h->epoch != kpy_epoch || caused_by_handler(h, &e)) {
		if (pystack)
			put_pystack(pystack);
		kpy_hook_count_miss(h, !pystack				     ? KPY_MISS_NO_ROOM
				       : h->enabled && h->epoch == kpy_epoch ? KPY_MISS_RECURSION
									     : KPY_MISS_NOT_READY);
		kpy_gil_leave(&e);
		return KPY_MISSED;
	}
	kpy_entry_set_pystack(&e, pystack, PYSTACK_SIZE);
	e.session = h->session;
	begin = rdtsc();
	if (budget)
		e.deadline = begin + (u64)tsc_khz * budget;
	h->hits++;
	inv->serial = kpy_debug_state.entries;
	count_context();
	outcome = call_handler(inv, &e);
	h->total_tsc += rdtsc() - begin - inv->outside;
	put_pystack(pystack);
	kpy_gil_leave(&e);
	return outcome;
}

enum kpy_outcome kpy_hook_try(struct kpy_invocation *inv)
{
	struct kpy_hook *h = inv->hook;
	enum kpy_outcome outcome = KPY_MISSED;
	unsigned long stack_lo;

	if (in_nmi()) {
		kpy_hook_count_miss(h, KPY_MISS_NMI);
	} else if (kpy_hook_is_own_doing()) {
		kpy_hook_count_miss(h, KPY_MISS_RECURSION);
	} else if (!READ_ONCE(kpy_ready) || !READ_ONCE(h->enabled)) {
		kpy_hook_count_miss(h, KPY_MISS_NOT_READY);
	} else if (!(stack_lo = usable_stack())) {
		kpy_hook_count_miss(h, KPY_MISS_NO_STACK);
	} else {
		outcome = enter(inv, stack_lo);
	}
	return outcome;
}

void kpy_hook_leave(struct kpy_hook *h)
{
	/*
	 * The worker waits for RCU-tasks after it saw 0, and frees the hook only then. Before it
	 * has disarmed the hook nobody waits; kicking it then might call what is hooked, and so on.
	 */
	if (atomic_dec_and_test(&h->in_flight) &&
	    unlikely(READ_ONCE(h->state) == KPY_HOOK_DISARMED))
		kpy_hooks_kick_reaper();
}

void kpy_hook_run(struct kpy_hook *h)
{
	struct kpy_invocation inv = { .hook = h };

	atomic_inc(&h->in_flight);
	kpy_hook_try(&inv);
	kpy_hook_leave(h);
}

void kpy_hook_abandon(struct kpy_entry *e)
{
	put_pystack(e->own_ts.pystack_start);
	kpy_hook_leave(e->what);
}

int kpy_hooks_init(void)
{
	int i;

	stack_info_of = (void *)kpy_kallsyms_lookup("get_stack_info");
	pystacks = vmalloc(PYSTACKS * PYSTACK_SIZE);
	if (!pystacks)
		return -ENOMEM;
	for (i = 0; i < PYSTACKS; i++)
		put_pystack(pystacks + i * PYSTACK_SIZE);
	kpy_stubs_init();
	kpy_ftrace_init();
	return 0;
}

void kpy_hooks_exit(void)
{
	kpy_hooks_reap_exit();
	kpy_ftrace_exit();
	kpy_exits_unwatch();
	vfree(pystacks);
}
