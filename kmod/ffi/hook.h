/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hooks: the kernel calls Python. A hook is kernel memory with three holders: the Python
 * object that armed it, the kernel structure that will call it (a timer, ...), and
 * calls in flight. Removal stops new entries at once; a worker then disarms it, waits
 * for the calls in flight, and frees it when the Python object is gone, too.
 */
#pragma once
#include "py/obj.h"

#ifndef NO_QSTR
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/timer.h>
#include "entry.h"

struct kpy_hook;

struct kpy_hook_kind {
	const char *name;
	/* Makes the kernel call the hook (again); 0 or -errno. Without the GIL; must not sleep. */
	int (*arm)(struct kpy_hook *h);
	/* The kernel will not call it again, and no such call is running. May sleep. */
	void (*disarm)(struct kpy_hook *h);
};

struct kpy_hook {
	struct list_head list; /* all hooks, under the GIL */
	const struct kpy_hook_kind *kind;
	mp_obj_t handler; /* a root of the collector */
	mp_obj_t last_error; /* another */
	struct kpy_session *session; /* that armed it: output and tracebacks go there */
	unsigned int epoch;
	bool enabled; /* entries are let in */
	bool removed; /* for good */
	bool disarmed; /* the kernel has forgotten it */
	mp_obj_t object; /* that shows it to Python: no root, its finaliser clears this */
	/* What happened, under the GIL. */
	u64 hits, total_tsc;
	/* What did not: these are counted without the GIL. */
	atomic_long_t recursions, nmi, no_stack, no_room, busy, not_ready;
	atomic_t in_flight;
	union {
		struct irq_work work;
		struct {
			struct timer_list timer;
			unsigned long delay, period; /* jiffies; period 0: once */
		};
	};
};

/* A zeroed hook of a kind that is in the list but not armed, or NULL. Under the GIL, given up. */
struct kpy_hook *kpy_hook_new(const struct kpy_hook_kind *kind, mp_obj_t handler);
/* Runs the handler in the context of the caller, if it can be. Any context. */
void kpy_hook_run(struct kpy_hook *h);
/* Stops new entries; the rest is done by a worker. Under the GIL. */
void kpy_hook_remove(struct kpy_hook *h);

/* Its Python object is collected. Under the GIL. */
void kpy_hook_object_gone(struct kpy_hook *h);
/* Calls f for each hook that is not removed. Under the GIL. */
void kpy_hooks_each(void (*f)(struct kpy_hook *h, void *arg), void *arg);

int kpy_hooks_init(void);
void kpy_hooks_exit(void);
/* Removes all, and waits until none is left, at most until a time in jiffies; -EBUSY, and said. */
int kpy_hooks_stop(unsigned long until);
/* A session ended: its hooks print to dmesg from now on. Under the GIL. */
void kpy_hooks_forget_session(struct kpy_session *s);
/* Roots of the collector. */
void kpy_hooks_collect(void (*root)(mp_obj_t *object));

/* Totals since load, for stats(). */
struct kpy_hook_totals {
	unsigned long process, softirq, hardirq; /* entries by context */
	unsigned long recursions, nmi, no_stack, no_room, busy, not_ready;
};
extern struct kpy_hook_totals kpy_hook_totals;
#endif

#ifndef NO_QSTR
/* The object that Python sees of a hook, made at need. Under the GIL. */
mp_obj_t kpy_hook_object(struct kpy_hook *h);
#endif
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_timer_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_irq_work_obj);
MP_DECLARE_CONST_FUN_OBJ_0(kpy_hooks_obj);
MP_DECLARE_CONST_FUN_OBJ_0(kpy_context_obj);
extern const mp_obj_type_t kpy_type_hook;
