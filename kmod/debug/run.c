// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Evaluation in the running guest: by a thread of its own, so that the code may call, sleep
 * and fault as at the REPL. The debugger's calls only queue irq_work, which is allowed on any CPU
 * whatever locks it holds.
 */
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <asm/tsc.h>
#include "py/objexcept.h"
#include "py/objtuple.h"
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"

#define PYSTACK_SIZE (64UL << 10)

struct kpy_mailbox *kpy_run_mailbox;

static struct kpy_entry entry;
static void *pystack;
static struct task_struct *thread;
static bool closed; /* nothing is run any more: the module is being unloaded */
static DECLARE_WAIT_QUEUE_HEAD(posted);
static DECLARE_WAIT_QUEUE_HEAD(ended);

/* noinline, and not in the page of the interpreter's loop: a breakpoint slows its page. */
noinline void kpy_debug_run_done(void)
{
	barrier();
}

/* What runs gets an exception, and a sleep that can be killed ends. */
static void stop_code(mp_obj_t exception, bool abort)
{
	unsigned long flags = kpy_gil_lock_raw();

	if (entry.pprev) {
		if (exception != MP_OBJ_NULL) {
			((mp_obj_exception_t *)MP_OBJ_TO_PTR(exception))->traceback_data = NULL;
			entry.ts->mp_pending_exception = exception;
		}
		entry.abort |= abort;
	}
	kpy_gil_unlock_raw(flags);
	send_sig(SIGKILL, thread, 1);
}

/* A sleep outlasts the deadline of the code unless it is woken. */
static void time_is_up(struct work_struct *work)
{
	static mp_obj_exception_t too_long = { .base.type = &mp_type_TimeoutError };

	too_long.args = (mp_obj_tuple_t *)&mp_const_empty_tuple_obj;
	stop_code(MP_OBJ_FROM_PTR(&too_long), false);
}
static DECLARE_DELAYED_WORK(deadline_work, time_is_up);

static void interrupt(struct work_struct *work)
{
	stop_code(MP_OBJ_FROM_PTR(&MP_STATE_VM(mp_kbd_exception)), false);
}
static DECLARE_WORK(interrupt_work, interrupt);

static noinline void run_posted(struct kpy_mailbox *mb)
{
	struct kpy_entry *e = &entry;

	kpy_entry_init(e, KPY_THREAD, NULL);
	kpy_entry_set_stack(e, (unsigned long)end_of_stack(current), __builtin_frame_address(0));
	kpy_entry_set_pystack(e, pystack, PYSTACK_SIZE);
	e->mailbox = mb;
	if (mb->timeout_ms) {
		e->deadline = rdtsc() + (u64)tsc_khz * mb->timeout_ms;
		schedule_delayed_work(&deadline_work, msecs_to_jiffies(mb->timeout_ms) + 2);
	}
	kpy_gil_enter(e);
	if (kpy_ready)
		kpy_debug_evaluate(e, mb);
	else
		kpy_debug_refuse(mb, "the interpreter is not running");
	kpy_gil_leave(e);
	kpy_window_free(&e->window);
	cancel_delayed_work_sync(&deadline_work);
	flush_signals(current);
}

static int run_main(void *unused)
{
	struct kpy_mailbox *mb = kpy_run_mailbox;

	allow_signal(SIGKILL);
	while (!kthread_should_stop()) {
		if (wait_event_interruptible(posted, READ_ONCE(mb->state) == KPY_MAILBOX_POSTED ||
							     kthread_should_stop()))
			flush_signals(current);
		if (cmpxchg(&mb->state, KPY_MAILBOX_POSTED, KPY_MAILBOX_BUSY) != KPY_MAILBOX_POSTED)
			continue;
		memset(&mb->result_text, 0, sizeof(mb->result_text));
		memset(&mb->output_text, 0, sizeof(mb->output_text));
		mb->value_kind = KPY_VALUE_NONE;
		mb->value_type[0] = 0;
		mb->kept = 0;
		if (READ_ONCE(closed))
			kpy_debug_refuse(mb, "the module is being unloaded");
		else if (mb->source_len > KPY_MAILBOX_SOURCE)
			kpy_debug_refuse(mb, "the source is too long");
		else
			run_posted(mb);
		smp_store_release(&mb->state, KPY_MAILBOX_DONE);
		wake_up_all(&ended);
		kpy_debug_run_done();
	}
	return 0;
}

static void wake(struct irq_work *work)
{
	wake_up_all(&posted);
}
static struct irq_work wake_work = IRQ_WORK_INIT(wake);

static void kick_interrupt(struct irq_work *work)
{
	schedule_work(&interrupt_work);
}
static struct irq_work interrupt_kick = IRQ_WORK_INIT(kick_interrupt);

void kpy_debug_run(void)
{
	irq_work_queue(&wake_work);
}

void kpy_debug_run_interrupt(void)
{
	irq_work_queue(&interrupt_kick);
}

int kpy_debug_run_init(void)
{
	int err = -ENOMEM;

	kpy_run_mailbox = vzalloc(sizeof(*kpy_run_mailbox));
	pystack = vmalloc(PYSTACK_SIZE);
	if (kpy_run_mailbox && pystack) {
		thread = kthread_run(run_main, NULL, "kpy-debug");
		err = PTR_ERR_OR_ZERO(thread);
	}
	if (err) {
		vfree(pystack);
		vfree(kpy_run_mailbox);
		kpy_run_mailbox = NULL;
	}
	return err;
}

void kpy_debug_run_allow(void)
{
	WRITE_ONCE(closed, false);
}

int kpy_debug_run_stop(unsigned long until)
{
	WRITE_ONCE(closed, true);
	smp_mb(); /* a thread that did not see it had set BUSY before */
	while (READ_ONCE(kpy_run_mailbox->state) == KPY_MAILBOX_BUSY) {
		stop_code(MP_OBJ_NULL, true);
		if (!wait_event_timeout(ended,
					READ_ONCE(kpy_run_mailbox->state) != KPY_MAILBOX_BUSY,
					HZ / 10) &&
		    time_after_eq(jiffies, until)) {
			pr_warn("what `kpy eval -run` runs does not end: it is in %ps\n",
				(void *)entry.call.target);
			return -EBUSY;
		}
	}
	return 0;
}

void kpy_debug_run_exit(void)
{
	irq_work_sync(&wake_work);
	irq_work_sync(&interrupt_kick);
	kthread_stop(thread);
	cancel_work_sync(&interrupt_work);
	vfree(pystack);
	vfree(kpy_run_mailbox);
	kpy_run_mailbox = NULL;
}
