// SPDX-License-Identifier: GPL-2.0-or-later
/* Entering Python from the kernel, and the life of hooks. */
#include <linux/hardirq.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <asm/stacktrace.h>
#include <asm/tsc.h>
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/hook.h"
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

static LIST_HEAD(hooks);
static DECLARE_WAIT_QUEUE_HEAD(hooks_wait);
static atomic_t n_hooks = ATOMIC_INIT(0); /* not yet disarmed */

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

static void report_error(struct kpy_hook *h, mp_obj_t error)
{
	nlr_buf_t nlr;

	h->enabled = false;
	h->last_error = error;
	/* Printing it may run Python, and that may raise in its turn. */
	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		kpy_current->base = &nlr;
		mp_printf(&mp_plat_print, "kpy: %s hook disabled by an exception\n", h->kind->name);
		mp_obj_print_exception(&mp_plat_print, error);
		nlr_pop();
	}
	kpy_current->base = NULL;
}

static void call_handler(struct kpy_hook *h, struct kpy_entry *e)
{
	nlr_buf_t nlr;

	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		mp_call_function_0(h->handler);
		nlr_pop();
		e->base = NULL;
	} else if (nlr.ret_val) {
		report_error(h, MP_OBJ_FROM_PTR(nlr.ret_val));
	} else { /* aborted: it is being stopped, or went on after its TimeoutError */
		e->base = NULL;
		h->enabled = false;
	}
}

/* Separate from kpy_hook_run() so that the entry is on the stack only where it is used. */
static noinline void enter(struct kpy_hook *h, unsigned long stack_lo)
{
	unsigned int budget = preemptible() ? budget_ms : atomic_budget_ms;
	struct kpy_entry e;
	void *pystack;
	u64 begin;

	kpy_entry_init(&e, KPY_HOOK, NULL);
	kpy_entry_set_stack(&e, stack_lo, __builtin_frame_address(0));
	if (!kpy_gil_enter_bounded(&e)) {
		atomic_long_inc(&h->busy);
		kpy_hook_totals.busy++;
		return;
	}
	pystack = take_pystack();
	if (!pystack || !h->enabled || h->epoch != kpy_epoch) {
		if (pystack)
			put_pystack(pystack);
		else
			atomic_long_inc(&h->no_room);
		kpy_hook_totals.no_room += !pystack;
		kpy_gil_leave(&e);
		return;
	}
	kpy_entry_set_pystack(&e, pystack, PYSTACK_SIZE);
	e.session = h->session;
	e.what = h;
	begin = rdtsc();
	if (budget)
		e.deadline = begin + (u64)tsc_khz * budget;
	h->hits++;
	count_context();
	call_handler(h, &e);
	h->total_tsc += rdtsc() - begin;
	put_pystack(pystack);
	kpy_gil_leave(&e);
}

void kpy_hook_run(struct kpy_hook *h)
{
	unsigned long stack_lo;

	atomic_inc(&h->in_flight);
	if (in_nmi()) {
		atomic_long_inc(&h->nmi);
		kpy_hook_totals.nmi++;
	} else if (kpy_gil_is_mine()) {
		/* The interpreter itself called what is hooked. */
		atomic_long_inc(&h->recursions);
		kpy_hook_totals.recursions++;
	} else if (!READ_ONCE(kpy_ready) || !READ_ONCE(h->enabled)) {
		atomic_long_inc(&h->not_ready);
		kpy_hook_totals.not_ready++;
	} else if (!(stack_lo = usable_stack())) {
		atomic_long_inc(&h->no_stack);
		kpy_hook_totals.no_stack++;
	} else {
		enter(h, stack_lo);
	}
	atomic_dec(&h->in_flight);
}

struct kpy_hook *kpy_hook_new(const struct kpy_hook_kind *kind, mp_obj_t handler)
{
	gfp_t gfp = kpy_may_sleep(kpy_current) ? GFP_KERNEL : GFP_ATOMIC;
	struct kpy_entry *e = kpy_gil_release();
	struct kpy_hook *h = kzalloc(sizeof(*h), gfp);

	kpy_gil_acquire(e);
	if (!h)
		return NULL;
	h->kind = kind;
	h->handler = handler;
	h->session = e->session;
	h->epoch = kpy_epoch;
	h->enabled = true;
	list_add_tail(&h->list, &hooks);
	atomic_inc(&n_hooks);
	return h;
}

static void reap(struct work_struct *work);
static DECLARE_WORK(reap_work, reap);

static void kick_reaper(struct irq_work *unused)
{
	schedule_work(&reap_work);
}
/* Under the GIL no work may be queued. An irq_work may, and runs once interrupts are on again. */
static struct irq_work reap_kick = IRQ_WORK_INIT(kick_reaper);

void kpy_hook_remove(struct kpy_hook *h)
{
	h->enabled = false;
	h->removed = true;
	h->handler = MP_OBJ_NULL;
	irq_work_queue(&reap_kick);
}

void kpy_hook_object_gone(struct kpy_hook *h)
{
	h->object = MP_OBJ_NULL;
	kpy_hook_remove(h);
}

/* The next hook that must be disarmed, or can be freed. */
static struct kpy_hook *next_to_reap(bool *disarm)
{
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_hook *h, *found = NULL;

	list_for_each_entry (h, &hooks, list) {
		if (h->removed && (!h->disarmed || !h->object)) {
			found = h;
			break;
		}
	}
	if (found) {
		*disarm = !found->disarmed;
		if (!*disarm)
			list_del(&found->list);
	}
	kpy_gil_unlock_raw(flags);
	return found;
}

static void reap(struct work_struct *work)
{
	struct kpy_hook *h;
	bool disarm;

	while ((h = next_to_reap(&disarm))) {
		if (!disarm) {
			kfree(h);
			continue;
		}
		h->kind->disarm(h);
		while (atomic_read(&h->in_flight))
			schedule_timeout_uninterruptible(1);
		WRITE_ONCE(h->disarmed, true);
		atomic_dec(&n_hooks);
		wake_up_all(&hooks_wait);
	}
}

void kpy_hooks_each(void (*f)(struct kpy_hook *h, void *arg), void *arg)
{
	struct kpy_hook *h;

	list_for_each_entry (h, &hooks, list)
		if (!h->removed)
			f(h, arg);
}

void kpy_hooks_forget_session(struct kpy_session *s)
{
	struct kpy_hook *h;

	list_for_each_entry (h, &hooks, list)
		if (h->session == s)
			h->session = NULL;
}

void kpy_hooks_collect(void (*root)(mp_obj_t *object))
{
	struct kpy_hook *h;

	list_for_each_entry (h, &hooks, list) {
		if (h->epoch != kpy_epoch)
			continue;
		root(&h->handler);
		root(&h->last_error);
	}
}

int kpy_hooks_stop(unsigned long until)
{
	unsigned long flags = kpy_gil_lock_raw(), now = jiffies;
	struct kpy_entry *e;
	struct kpy_hook *h;

	list_for_each_entry (h, &hooks, list) {
		h->enabled = false;
		h->removed = true;
		h->handler = h->last_error = MP_OBJ_NULL;
	}
	for (e = kpy_entries; e; e = e->next)
		if (e->kind == KPY_HOOK)
			e->abort = true;
	kpy_gil_unlock_raw(flags);
	schedule_work(&reap_work);
	if (wait_event_timeout(hooks_wait, !atomic_read(&n_hooks),
			       time_before(now, until) ? until - now : 1))
		return 0;
	pr_warn("%d hooks have calls that do not return\n", atomic_read(&n_hooks));
	return -EBUSY;
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
	return 0;
}

void kpy_hooks_exit(void)
{
	struct kpy_hook *h, *next;

	irq_work_sync(&reap_kick);
	flush_work(&reap_work);
	/* Disarmed ones whose objects died with the interpreter. */
	list_for_each_entry_safe (h, next, &hooks, list)
		kfree(h);
	vfree(pystacks);
}
