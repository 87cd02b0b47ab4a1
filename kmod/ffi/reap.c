// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The end of hooks. Whoever removes one only marks it, under the GIL and in any context; the
 * rest is done by a worker, for all that are marked:
 *   1. the kernel forgets the hook (disarm), and its stub;
 *   2. RCU-tasks: who was on the way into it has been counted as in flight;
 *   3. nobody is in flight: Python, or the original, may take as long as they like;
 *   4. RCU-tasks: who was on the way out has left our text;
 *   5. slot and memory are free.
 * synchronize_rcu_tasks() includes synchronize_rcu(), which covers interrupts of the idle task.
 */
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "kpy.h"
#include "own_work.h"
#include "ffi/hook.h"
#include "ffi/stub.h"

LIST_HEAD(kpy_hooks);
static DECLARE_WAIT_QUEUE_HEAD(hooks_wait);

static void reap(struct work_struct *work);
static DECLARE_WORK(reap_work, reap);

static void kick_reaper(struct irq_work *unused)
{
	kpy_own_work_begin();
	schedule_work(&reap_work);
	kpy_own_work_end();
}
/* Under the GIL no work may be queued. An irq_work may, and runs once interrupts are on again. */
static struct irq_work reap_kick = IRQ_WORK_INIT(kick_reaper);

void kpy_hooks_kick_reaper(void)
{
	irq_work_queue(&reap_kick);
}

void kpy_hooks_settle(void)
{
	irq_work_sync(&reap_kick);
	flush_work(&reap_work);
}

void kpy_hook_remove(struct kpy_hook *h)
{
	h->enabled = false;
	WRITE_ONCE(h->removed, true);
	h->handler = h->first = MP_OBJ_NULL;
	kpy_hooks_kick_reaper();
}

bool kpy_hook_object_gone(struct kpy_hook *h)
{
	h->object = MP_OBJ_NULL;
	if (h->shared && !h->removed)
		return false;
	kpy_hook_remove(h);
	return true;
}

void kpy_hooks_end(void)
{
	struct kpy_hook *h;

	list_for_each_entry (h, &kpy_hooks, list) {
		h->retired |= h->shared && !h->removed;
		kpy_hook_remove(h);
		h->last_error = h->object = MP_OBJ_NULL;
	}
}

/* A removed hook that is in this state; idle with nobody in it when so asked. */
static struct kpy_hook *find(enum kpy_hook_state state, bool empty)
{
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_hook *h, *found = NULL;

	list_for_each_entry (h, &kpy_hooks, list) {
		if (h->removed && h->state == state && !(empty && atomic_read(&h->in_flight))) {
			found = h;
			break;
		}
	}
	kpy_gil_unlock_raw(flags);
	return found;
}

/* Those that nothing holds any more. */
static void free_idle(void)
{
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_hook *h, *next;
	LIST_HEAD(dead);

	list_for_each_entry_safe (h, next, &kpy_hooks, list) {
		if (!h->removed || h->state != KPY_HOOK_IDLE)
			continue;
		if (h->slot >= 0 && !h->retired)
			kpy_stub_put(h->slot);
		h->slot = -1;
		if (!h->object)
			list_move(&h->list, &dead);
	}
	kpy_gil_unlock_raw(flags);
	list_for_each_entry_safe (h, next, &dead, list)
		kpy_hook_free(h);
	wake_up_all(&hooks_wait);
}

static void reap(struct work_struct *work)
{
	bool some = false;
	struct kpy_hook *h;

	while ((h = find(KPY_HOOK_ARMED, false))) {
		kpy_hook_disarm(h);
		if (h->owner)
			module_put(h->owner);
		if (h->slot >= 0 && !h->original)
			kpy_stub_unbind(h->slot);
		WRITE_ONCE(h->state, KPY_HOOK_DISARMED);
		some = true;
	}
	if (some)
		synchronize_rcu_tasks();
	/* Who is still in one kicks us on leaving it. */
	for (some = false; (h = find(KPY_HOOK_DISARMED, true)); some = true)
		WRITE_ONCE(h->state, KPY_HOOK_IDLE);
	if (some)
		synchronize_rcu_tasks();
	free_idle();
}

void kpy_hooks_each(void (*f)(struct kpy_hook *h, void *arg), void *arg)
{
	struct kpy_hook *h;

	list_for_each_entry (h, &kpy_hooks, list)
		if (!h->removed)
			f(h, arg);
}

void kpy_hooks_forget_session(struct kpy_session *s)
{
	struct kpy_hook *h;

	list_for_each_entry (h, &kpy_hooks, list)
		if (h->session == s)
			h->session = NULL;
}

void kpy_hooks_collect(void (*root)(mp_obj_t *object))
{
	struct kpy_hook *h;

	list_for_each_entry (h, &kpy_hooks, list) {
		if (h->epoch != kpy_epoch)
			continue;
		root(&h->handler);
		root(&h->last_error);
		root(&h->first);
	}
}

/* Is any still of use to the kernel, or on the worker's way? */
static bool any_left(void)
{
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_hook *h;
	bool left = false;

	list_for_each_entry (h, &kpy_hooks, list)
		left |= h->state != KPY_HOOK_IDLE || h->slot >= 0;
	kpy_gil_unlock_raw(flags);
	return left;
}

/* Says which hook has a call that does not return, and which task made it. */
static void report_left(void)
{
	unsigned long flags = kpy_gil_lock_raw(), target = 0;
	struct kpy_invocation *inv = kpy_hook_some_original();
	struct kpy_hook *h = inv ? inv->hook : NULL;
	struct task_struct *task = inv ? inv->task : NULL;
	char name[64] = "", where[64] = "Python";
	struct kpy_entry *e;

	if (inv)
		target = inv->hook->original;
	for (e = kpy_entries; e && !h; e = e->next) {
		if (e->kind != KPY_HOOK || !e->what)
			continue;
		h = e->what;
		task = e->task;
		target = e->call.target;
	}
	if (h) {
		get_task_struct(task);
		snprintf(name, sizeof(name), "%s hook%s%s", h->kind->name,
			 h->target[0] ? " on " : "", h->target);
	}
	kpy_gil_unlock_raw(flags);
	if (!h) {
		pr_warn("hooks are not removed yet\n");
		return;
	}
	if (target)
		snprintf(where, sizeof(where), "%ps", (void *)target);
	pr_warn("%s: task %s (pid %d) does not return: it is in %s\n", name, task->comm, task->pid,
		where);
	put_task_struct(task);
}

int kpy_hooks_stop(unsigned long until)
{
	unsigned long flags = kpy_gil_lock_raw(), now = jiffies;
	unsigned int n_pointers = 0;
	struct kpy_entry *e;
	struct kpy_hook *h;

	list_for_each_entry (h, &kpy_hooks, list) {
		n_pointers += h->shared && !h->removed;
		h->retired |= h->shared && !h->removed;
		h->enabled = false;
		WRITE_ONCE(h->removed, true);
		h->handler = h->last_error = h->first = MP_OBJ_NULL;
	}
	for (e = kpy_entries; e; e = e->next)
		if (e->kind == KPY_HOOK)
			e->abort = true;
	kpy_gil_unlock_raw(flags);
	if (n_pointers)
		pr_warn("%u callbacks were not removed: the kernel must not call them any more\n",
			n_pointers);
	schedule_work(&reap_work);
	if (wait_event_timeout(hooks_wait, !any_left(), time_before(now, until) ? until - now : 1))
		return 0;
	report_left();
	return -EBUSY;
}

void kpy_hooks_reap_exit(void)
{
	struct kpy_hook *h, *next;

	kpy_hooks_settle();
	/* Idle ones whose objects died with the interpreter. */
	list_for_each_entry_safe (h, next, &kpy_hooks, list)
		kpy_hook_free(h);
}
