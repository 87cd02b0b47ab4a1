// SPDX-License-Identifier: GPL-2.0-or-later
/* _thread on kernel threads, and its locks. */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/semaphore.h>
#include <linux/slab.h>
#include "py/cstack.h"
#include "py/mperrno.h"
#include "py/mpthread.h"
#include "py/pystack.h"
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"

#define PYSTACK_SIZE (64UL << 10)

struct python_thread {
	struct kpy_entry entry;
	void *pystack;
	void *(*start)(void *);
};

static unsigned int n_started, n_reaped; /* under the GIL */
/* Completed once by each thread, by code that is not the module's. */
static DECLARE_COMPLETION(thread_ended);

void mp_thread_set_state(mp_state_thread_t *state)
{
	kpy_current->ts = state;
	kpy_thread_state = state;
}

mp_uint_t mp_thread_get_id(void)
{
	return current->pid;
}

static noinline void run_thread(struct python_thread *t)
{
	nlr_buf_t base;

	kpy_entry_set_stack(&t->entry, (unsigned long)end_of_stack(current),
			    __builtin_frame_address(0));
	kpy_gil_acquire(&t->entry);
	base.ret_val = NULL;
	/* Its epoch may be over before it begins. */
	if (t->entry.epoch == kpy_epoch && nlr_push(&base) == 0) {
		t->entry.base = &base;
		t->start(t->entry.root); /* gives the GIL up, as upstream has it */
		kpy_gil_acquire(&t->entry);
	}
	/* Here also after an abort, with the GIL held and upstream's state gone. */
	t->entry.base = NULL;
	kpy_gil_leave(&t->entry);
}

static int thread_main(void *arg)
{
	struct python_thread *t = arg;

	allow_signal(SIGKILL);
	run_thread(t);
	kpy_window_free(&t->entry.window);
	kvfree(t->pystack);
	kfree(t);
	kthread_complete_and_exit(&thread_ended, 0);
	return 0;
}

static struct python_thread *new_thread(void *(*start)(void *), void *arg)
{
	struct python_thread *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;
	t->pystack = kvmalloc(PYSTACK_SIZE, GFP_KERNEL);
	if (!t->pystack) {
		kfree(t);
		return NULL;
	}
	t->start = start;
	kpy_entry_init(&t->entry, KPY_THREAD, NULL);
	t->entry.root = arg;
	return t;
}

mp_uint_t mp_thread_create(void *(*start)(void *), void *arg, size_t *stack_size)
{
	struct kpy_entry *e = kpy_current;
	struct task_struct *task = ERR_PTR(-ENOMEM);
	struct python_thread *t;
	mp_uint_t id;

	*stack_size = THREAD_SIZE - 1024;
	if (!kpy_may_sleep(e))
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("cannot start a thread in this context"));
	kpy_gil_release();
	t = new_thread(start, arg);
	if (t)
		task = kthread_create(thread_main, t, "kpy-%u", n_started);
	kpy_gil_acquire_stale(e);
	if (unlikely(e->epoch != kpy_epoch)) { /* nobody wants it any more */
		kpy_gil_release();
		if (!IS_ERR(task))
			kthread_stop(task);
		if (t)
			kvfree(t->pystack);
		kfree(t);
		kpy_gil_acquire(e);
	}
	if (IS_ERR(task)) {
		if (t) {
			kvfree(t->pystack);
			kfree(t);
		}
		mp_raise_OSError(-PTR_ERR(task));
	}
	t->entry.task = task;
	t->entry.session = e->session;
	t->entry.epoch = kpy_epoch;
	kpy_entry_set_pystack(&t->entry, t->pystack, PYSTACK_SIZE);
	kpy_entry_link(&t->entry); /* from here on arg is a root of the collector */
	n_started++;
	id = task->pid;
	kpy_gil_release();
	wake_up_process(task);
	kpy_gil_acquire(e);
	return id;
}

/* Upstream's thread function now has its own state in its frame, with too small a pystack. */
void mp_thread_start(void)
{
	struct kpy_entry *e = kpy_current;
	struct python_thread *t = container_of(e, struct python_thread, entry);

	mp_pystack_init(t->pystack, t->pystack + PYSTACK_SIZE);
	mp_cstack_init_with_top((void *)e->stack_hi, e->stack_hi - e->stack_lo);
}

void mp_thread_finish(void)
{
	struct kpy_entry *e = kpy_current;

	mp_thread_set_state(&e->own_ts);
	e->own_ts.pystack_cur = e->own_ts.pystack_start;
	e->root = NULL;
	/* No Python frame is left: what the kernel's frames hold from here on is no root. */
	e->stack_hi = 0;
}

/* Marks the Python threads, and wakes one batch of those that sleep in a kernel call. */
static void abort_threads(void)
{
	struct task_struct *tasks[16];
	struct kpy_entry *e;
	unsigned long flags;
	size_t n = 0;

	flags = kpy_gil_lock_raw();
	for (e = kpy_entries; e; e = e->next) {
		if (e->kind != KPY_THREAD || e->task == current)
			continue;
		e->abort = true;
		if (n < ARRAY_SIZE(tasks)) {
			get_task_struct(e->task);
			tasks[n++] = e->task;
		}
	}
	kpy_gil_unlock_raw(flags);
	while (n) {
		send_sig(SIGKILL, tasks[--n], 1);
		put_task_struct(tasks[n]);
	}
}

static void report_threads(void)
{
	struct task_struct *task = NULL;
	unsigned long flags, target = 0;
	struct kpy_entry *e;

	flags = kpy_gil_lock_raw();
	for (e = kpy_entries; e && !task; e = e->next) {
		if (e->kind == KPY_THREAD && e->task != current) {
			task = e->task;
			get_task_struct(task);
			target = e->call.target;
		}
	}
	kpy_gil_unlock_raw(flags);
	if (!task)
		return;
	pr_warn("Python thread %s (pid %d) does not end: it is in %ps\n", task->comm, task->pid,
		(void *)target);
	put_task_struct(task);
}

int kpy_threads_stop(unsigned long until)
{
	while (n_reaped != n_started) {
		abort_threads();
		if (wait_for_completion_timeout(&thread_ended, HZ / 10)) {
			n_reaped++;
		} else if (time_after_eq(jiffies, until)) {
			report_threads();
			return -EBUSY;
		}
	}
	return 0;
}

/* Locks. Sleeping ones where the code may sleep; elsewhere they are tried. */

static struct semaphore *semaphore(mp_thread_mutex_t *mutex)
{
	BUILD_BUG_ON(sizeof(struct semaphore) > sizeof(*mutex));
	return (struct semaphore *)mutex;
}

void mp_thread_mutex_init(mp_thread_mutex_t *mutex)
{
	sema_init(semaphore(mutex), 1);
}

/* Called without the GIL. 1: taken, 0: not, negative: errno. Raises with the GIL held. */
int mp_thread_mutex_lock(mp_thread_mutex_t *mutex, int wait)
{
	if (!down_trylock(semaphore(mutex)))
		return 1;
	if (!wait)
		return 0;
	if (preempt_count() || irqs_disabled()) {
		kpy_gil_acquire_self();
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("the lock is taken and this context cannot sleep"));
	}
	if (!down_interruptible(semaphore(mutex)))
		return 1;
	flush_signals(current);
	/* Ctrl-C: the pending exception is better than an errno. */
	kpy_gil_acquire_self();
	mp_handle_pending(true);
	kpy_gil_release();
	return -EINTR;
}

void mp_thread_mutex_unlock(mp_thread_mutex_t *mutex)
{
	up(semaphore(mutex));
}
