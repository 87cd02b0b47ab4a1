// SPDX-License-Identifier: GPL-2.0-or-later
/* Entering Python from the kernel. */
#include <linux/hardirq.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/stacktrace.h>
#include <asm/tsc.h>
#include "py/runtime.h"
#include "kpy.h"
#include "debug/info.h"
#include "ffi/ftrace.h"
#include "ffi/hook.h"
#include "ffi/probe.h"
#include "ffi/stub.h"
#include "repl/session.h"

/* Flags that a handler may change. */
#define FLAGS_FREE                                                                       \
	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | \
	 X86_EFLAGS_DF | X86_EFLAGS_OF)

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

/* The lower end of the stack that we are on; 0 when it is none that Python runs on, or nearly full. */
static unsigned long usable_stack(void)
{
	unsigned long sp = (unsigned long)__builtin_frame_address(0), mask = 0;
	unsigned long lo = (unsigned long)end_of_stack(current);
	struct stack_info info;

	if (sp < lo || sp >= lo + THREAD_SIZE) {
		if (!stack_info_of || stack_info_of((unsigned long *)sp, current, &info, &mask) ||
		    info.type != STACK_TYPE_IRQ)
			return 0;
		lo = (unsigned long)info.begin;
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

static void print_error(struct kpy_hook *h, mp_obj_t error)
{
	nlr_buf_t nlr;

	/* Printing it may run Python, and that may raise in its turn. */
	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		kpy_current->base = &nlr;
		mp_printf(&mp_plat_print, "kpy: %s hook%s%s disabled by an exception\n",
			  h->kind->name, h->target[0] ? " on " : "", h->target);
		mp_obj_print_exception(&mp_plat_print, error);
		nlr_pop();
	}
	kpy_current->base = NULL;
}

/* To the session that armed the hook, and to dmesg. */
static void report_error(struct kpy_hook *h, mp_obj_t error)
{
	struct kpy_entry *e = kpy_current;

	h->enabled = false;
	h->last_error = error;
	print_error(h, error);
	if (e->session) {
		e->session = NULL;
		print_error(h, error);
	}
}

enum outcome { MISSED, DONE, FAILED };

static enum outcome call_handler(struct kpy_invocation *inv, struct kpy_entry *e)
{
	struct kpy_hook *h = inv->hook;
	nlr_buf_t nlr;

	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		if (h->kind->handle)
			h->kind->handle(h, inv);
		else
			mp_call_function_0(h->handler);
		nlr_pop();
		e->base = NULL;
		return DONE;
	}
	if (nlr.ret_val) {
		report_error(h, MP_OBJ_FROM_PTR(nlr.ret_val));
	} else { /* aborted: it is being stopped, or went on after its TimeoutError */
		e->base = NULL;
		h->enabled = false;
	}
	return FAILED;
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

void kpy_hook_count_not_ready(struct kpy_hook *h)
{
	if (READ_ONCE(h->removed))
		return;
	atomic_long_inc(&h->not_ready);
	kpy_hook_totals.not_ready++;
}

/* Separate from run() so that the entry is on the stack only where it is used. */
static noinline enum outcome enter(struct kpy_invocation *inv, unsigned long stack_lo)
{
	unsigned int budget = preemptible() ? budget_ms : atomic_budget_ms;
	struct kpy_hook *h = inv->hook;
	enum outcome outcome;
	struct kpy_entry e;
	void *pystack;
	u64 begin;

	kpy_entry_init(&e, KPY_HOOK, NULL);
	kpy_entry_set_stack(&e, stack_lo, __builtin_frame_address(0));
	if (!kpy_gil_enter_bounded(&e)) {
		atomic_long_inc(&h->busy);
		kpy_hook_totals.busy++;
		return MISSED;
	}
	pystack = take_pystack();
	if (!pystack || !h->enabled || h->epoch != kpy_epoch || caused_by_handler(h, &e)) {
		if (!pystack) {
			atomic_long_inc(&h->no_room);
			kpy_hook_totals.no_room++;
		} else {
			put_pystack(pystack);
			if (h->enabled && h->epoch == kpy_epoch)
				kpy_hook_count_recursion(h);
			else
				kpy_hook_count_not_ready(h);
		}
		kpy_gil_leave(&e);
		return MISSED;
	}
	kpy_entry_set_pystack(&e, pystack, PYSTACK_SIZE);
	e.session = h->session;
	e.what = h;
	e.invocation = inv;
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

void kpy_hook_count_recursion(struct kpy_hook *h)
{
	atomic_long_inc(&h->recursions);
	kpy_hook_totals.recursions++;
}

/* The task that arms a hook: ftrace holds its locks for it. */
static struct task_struct *arming;
static DEFINE_MUTEX(arming_lock);

static enum outcome run(struct kpy_invocation *inv)
{
	struct kpy_hook *h = inv->hook;
	enum outcome outcome = MISSED;
	unsigned long stack_lo;

	if (in_nmi()) {
		atomic_long_inc(&h->nmi);
		kpy_hook_totals.nmi++;
	} else if (kpy_gil_is_mine() || unlikely(READ_ONCE(arming) == current)) {
		/* The interpreter itself called what is hooked. */
		kpy_hook_count_recursion(h);
	} else if (!READ_ONCE(kpy_ready) || !READ_ONCE(h->enabled)) {
		kpy_hook_count_not_ready(h);
	} else if (!(stack_lo = usable_stack())) {
		atomic_long_inc(&h->no_stack);
		kpy_hook_totals.no_stack++;
	} else {
		outcome = enter(inv, stack_lo);
	}
	return outcome;
}

static void leave(struct kpy_hook *h)
{
	/* The worker waits for RCU-tasks after it saw 0, and frees the hook only then. */
	if (atomic_dec_and_test(&h->in_flight) && unlikely(READ_ONCE(h->removed)))
		kpy_hooks_kick_reaper();
}

void kpy_hook_run(struct kpy_hook *h)
{
	struct kpy_invocation inv = { .hook = h };

	atomic_inc(&h->in_flight);
	run(&inv);
	leave(h);
}

/* Calls the original before the handler, unless that cannot run anyway. */
static void run_original(struct kpy_invocation *inv)
{
	unsigned long words[KPY_HOOK_ARGS_MAX], target;
	struct kpy_hook *h = inv->hook;

	if (in_nmi() || kpy_gil_is_mine() || READ_ONCE(arming) == current)
		return;
	memcpy(words, inv->args, 6 * sizeof(*words));
	memcpy(words + 6, inv->stack_args, 6 * sizeof(*words));
	target = READ_ONCE(h->original);
	if (h->by_probe && target == h->address)
		kpy_probe_pass_call(h);
	inv->original = kpy_call_words(target, words);
	inv->ran = true;
}

unsigned long kpy_hook_run_stub(struct kpy_hook *h, struct kpy_stub_frame *frame)
{
	struct kpy_invocation inv = { .hook = h };
	enum outcome outcome;
	unsigned long next;

	inv.args = frame->args;
	inv.stack_args = frame->stack_args;
	atomic_inc(&h->in_flight);
	if (h->kind->returns)
		run_original(&inv);
	outcome = run(&inv);
	/* Read it last: the hook there may have gone meanwhile. */
	next = READ_ONCE(h->original);
	if (outcome == DONE && !h->kind->watches) {
		frame->ax = inv.result;
		next = 0;
	} else if (inv.ran) {
		frame->ax = inv.original;
		next = 0;
	} else if (!next) {
		frame->ax = 0;
	}
	leave(h);
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
	enum outcome outcome;

	regs->ip = h->address;
	regs->orig_ax = -1;
	before = *regs;
	inv.stack_args = (unsigned long *)regs->sp + 1;
	atomic_inc(&h->in_flight);
	if (h->kind->returns)
		run_original(&inv);
	outcome = run(&inv);
	if (h->kind->wants_regs && outcome == DONE && !h->kind->watches) {
		regs->cs = before.cs;
		regs->ss = before.ss;
		regs->flags = (before.flags & ~FLAGS_FREE) | (regs->flags & FLAGS_FREE);
	} else {
		*regs = before;
		if (outcome == DONE && !h->kind->watches)
			return_from(regs, inv.result);
		else if (inv.ran)
			return_from(regs, inv.original);
	}
	if (regs->ip == h->address) {
		regs->ip = READ_ONCE(h->original);
		if (h->by_probe && regs->ip == h->address)
			kpy_probe_pass(h, regs->sp);
	}
	leave(h);
}

int kpy_hook_arm(struct kpy_hook *h)
{
	struct kpy_entry *e;
	int err;

	if (!kpy_may_sleep(kpy_current))
		return -EWOULDBLOCK;
	e = kpy_gil_release();
	mutex_lock(&arming_lock);
	WRITE_ONCE(arming, current);
	err = h->kind->arm(h);
	WRITE_ONCE(arming, NULL);
	mutex_unlock(&arming_lock);
	kpy_gil_acquire(e);
	return err;
}

void kpy_hook_free(struct kpy_hook *h)
{
	mutex_lock(&arming_lock);
	if (h->by_probe)
		kpy_probe_free(h);
	mutex_unlock(&arming_lock);
	kfree(h->types);
	kfree(h);
}

void kpy_hook_disarm(struct kpy_hook *h)
{
	mutex_lock(&arming_lock);
	WRITE_ONCE(arming, current);
	h->kind->disarm(h);
	WRITE_ONCE(arming, NULL);
	mutex_unlock(&arming_lock);
}

struct kpy_hook *kpy_hook_new(const struct kpy_hook_kind *kind, mp_obj_t handler)
{
	gfp_t gfp = kpy_may_sleep(kpy_current) ? GFP_KERNEL : GFP_ATOMIC;
	struct kpy_entry *e = kpy_gil_release();
	struct kpy_hook *h = kzalloc(sizeof(*h), gfp);
	static unsigned long ids;

	kpy_gil_acquire(e);
	if (!h)
		return NULL;
	h->id = ++ids;
	h->kind = kind;
	h->handler = handler;
	h->session = e->session;
	h->epoch = kpy_epoch;
	h->enabled = true;
	h->slot = -1;
	list_add_tail(&h->list, &kpy_hooks);
	return h;
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
	vfree(pystacks);
}
