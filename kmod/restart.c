// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The interpreter died: it faulted while it held the GIL, or found its own state broken.
 * Its life (epoch) is over at once, so that whoever is inside Python leaves it at the next
 * look at the GIL. A worker then removes hooks and threads and starts a new interpreter on
 * the same memory; nothing of the old heap is looked at, which may be corrupt.
 */
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <asm/ptrace.h>
#include "py/mpstate.h"
#include "py/nlr.h"
#include "kpy.h"
#include "entry.h"
#include "restart.h"
#include "ffi/alloc.h"
#include "ffi/guard.h"
#include "ffi/guard_impl.h"
#include "ffi/hook.h"
#include "repl/session.h"

#define PYSTACK_SIZE (16UL << 10)
#define TRACE_SHOWN 4 /* callers in the line for sessions; dmesg has all */

static DECLARE_WAIT_QUEUE_HEAD(restarted);
static struct kpy_fault *cause; /* under the GIL */

static void kick_restart(struct irq_work *unused);
static struct irq_work restart_kick = IRQ_WORK_INIT(kick_restart);
static void restart(struct work_struct *work);
static DECLARE_WORK(restart_work, restart);

static void kick_restart(struct irq_work *unused)
{
	schedule_work(&restart_work);
}

/* Under the GIL, which the entry's base gives up. */
static void die_with(struct kpy_entry *e, struct kpy_fault *f)
{
	/* Upstream keeps a thread's state in a frame that may be gone already. */
	e->ts = &e->own_ts;
	kpy_thread_state = e->ts;
	WRITE_ONCE(kpy_ready, 0);
	kpy_epoch++;
	if (cause)
		kpy_fault_put(f);
	else
		cause = f;
	irq_work_queue(&restart_kick);
	kpy_leave_python(e);
	panic("kpy: the interpreter failed where there is no way out of it");
}

void kpy_interpreter_failed(const char *why)
{
	struct kpy_fault *f = kpy_fault_get();

	if (f == kpy_fault_faceless)
		die_with(kpy_current, f);
	f->kind = KPY_FAULT_OTHER;
	f->ip = (unsigned long)__builtin_return_address(0);
	f->n_trace = 0;
	f->what = why;
	die_with(kpy_current, f);
}

/* The fault returned to here, at the depth of the entry's base. */
static void landing(struct kpy_entry *e)
{
	struct kpy_fault *f = e->fault;

	kpy_stack_abandoned(e->stack_lo & PAGE_MASK, ((struct kpy_regs *)e->base->jmpbuf)->sp);
	e->fault = NULL;
	die_with(e, f);
}

bool kpy_interpreter_divert(struct pt_regs *regs, struct kpy_fault_signs *signs)
{
	struct kpy_entry *e = READ_ONCE(kpy_current);
	unsigned long guard_page;
	const struct kpy_regs *base;

	/* Our CPU holds the GIL, and what faulted has interrupts off: then it is the holder. */
	if (READ_ONCE(kpy_gil_cpu) != raw_smp_processor_id() || regs->flags & X86_EFLAGS_IF || !e ||
	    (in_nmi() && !signs->double_fault))
		return false;
	guard_page = (e->stack_lo & PAGE_MASK) - PAGE_SIZE;
	if (regs->sp < guard_page || regs->sp >= e->stack_hi || !e->base || e->kind == KPY_DEBUG)
		return false;
	if (signs->has_address && signs->address - guard_page < PAGE_SIZE)
		signs->kind = KPY_FAULT_STACK;
	else if (signs->double_fault)
		return false;
	kpy_fault_put(e->fault);
	e->fault = kpy_fault_get();
	kpy_fault_record(e->fault, regs, signs);
	base = (const struct kpy_regs *)e->base->jmpbuf;
	regs->ip = (unsigned long)landing;
	regs->di = (unsigned long)e;
	regs->sp = base->sp;
	regs->flags = X86_EFLAGS_FIXED;
	return true;
}

static void tell(struct kpy_fault *f)
{
	const char *what = f->text + strlen(f->text) + 1, *at = what + strlen(what) + 1;
	char line[512];
	size_t n;
	unsigned int i;

	n = scnprintf(line, sizeof(line), "kpy: the interpreter failed: %s", what);
	pr_err("the interpreter failed: %s\n", what);
	for (i = 0; i < f->n_trace; i++) {
		pr_err("  %s\n", at);
		if (i && i <= TRACE_SHOWN)
			n += scnprintf(line + n, sizeof(line) - n, " < %s", at);
		at += strlen(at) + 1;
	}
	scnprintf(line + n, sizeof(line) - n,
		  "; it was restarted: globals are gone, hooks are removed");
	kpy_sessions_tell(line);
}

static noinline void start_anew(void *pystack)
{
	struct kpy_entry e;

	kpy_entry_init(&e, KPY_THREAD, NULL);
	kpy_entry_set_stack(&e, (unsigned long)end_of_stack(current), __builtin_frame_address(0));
	kpy_entry_set_pystack(&e, pystack, PYSTACK_SIZE);
	kpy_gil_enter(&e);
	if (!kpy_ready) { /* else a session was faster, by a soft reset */
		kpy_hooks_end();
		kpy_buffers_forget_objects();
		kpy_interpreter_start();
	}
	kpy_gil_leave(&e);
}

static void restart(struct work_struct *work)
{
	void *pystack = kvmalloc(PYSTACK_SIZE, GFP_KERNEL | __GFP_NOFAIL);
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_fault *f = cause;

	cause = NULL;
	kpy_gil_unlock_raw(flags);
	if (f) {
		if (f != kpy_fault_faceless)
			f->text[0] = 0;
		kpy_fault_describe(f);
		tell(f);
		kpy_fault_put(f);
	}
	kpy_hooks_stop(jiffies + HZ);
	kpy_threads_stop(jiffies + HZ);
	start_anew(pystack);
	kvfree(pystack);
	wake_up_all(&restarted);
}

void kpy_restart_wait(struct kpy_session *s)
{
	struct kpy_entry *e = &s->entry;

	while (!READ_ONCE(kpy_ready) && !READ_ONCE(s->eof)) {
		kpy_gil_release();
		wait_event_timeout(restarted, READ_ONCE(kpy_ready) || READ_ONCE(s->eof), HZ / 10);
		flush_signals(current);
		kpy_gil_acquire_stale(e);
	}
}

void kpy_restart_exit(void)
{
	irq_work_sync(&restart_kick);
	flush_work(&restart_work);
}
