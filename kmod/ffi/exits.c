// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tasks that end while they are inside Python, in a kernel call or in an original that does not
 * return: do_exit(), a system call whose task is killed, a fault nobody caught. Their stacks are
 * about to be freed, and with them their entries.
 */
#include <linux/sched.h>
#include <linux/tracepoint.h>
#include "kpy.h"
#include "entry.h"
#include "ffi/guard.h"
#include "ffi/hook.h"

static struct tracepoint *point;

static void on_exit(void *data, struct task_struct *task)
{
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_fault *faults[8];
	struct kpy_entry *e, *next;
	size_t n = 0;

	for (e = kpy_entries; e; e = next) {
		next = e->next;
		if (e->task != current || e->kind == KPY_DEBUG)
			continue;
		kpy_entry_unlink(e);
		if (e->kind == KPY_HOOK && e->what)
			kpy_hook_abandon(e);
		if (e->fault && n < ARRAY_SIZE(faults))
			faults[n++] = e->fault;
	}
	kpy_hook_abandon_originals();
	kpy_gil_unlock_raw(flags);
	while (n)
		kpy_fault_put(faults[--n]);
}

void kpy_exits_watch(void)
{
	struct tracepoint *p;

	if (point)
		return;
	p = (void *)kpy_kallsyms_lookup("__tracepoint_sched_process_exit");
	if (p && !tracepoint_probe_register(p, on_exit, NULL))
		point = p;
	else
		pr_warn_once("tasks that end inside a hook are not noticed here\n");
}

void kpy_exits_unwatch(void)
{
	if (!point)
		return;
	tracepoint_probe_unregister(point, on_exit, NULL);
	tracepoint_synchronize_unregister();
	point = NULL;
}
