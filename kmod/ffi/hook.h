/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hooks: the kernel calls Python. A hook is kernel memory with three holders: the Python
 * object that armed it, the kernel structure that will call it (a timer, ...), and
 * calls in flight. Removal stops new entries at once; a worker then disarms it, waits
 * for the calls in flight, and frees it when the Python object is gone, too.
 *
 * hook.c enters Python; reap.c removes hooks; a file for each kind arms it.
 */
#pragma once
#include "py/obj.h"

#ifndef NO_QSTR
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/stddef.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include "entry.h"
#include "own_work.h"
#include "ffi/ffi.h"

struct kpy_hook;
struct kpy_stub_frame;
struct kpy_probe;
struct kpy_hook_types;

#define KPY_HOOK_ARGS_MAX 12

/* One call of a hook by the kernel, on the stack of that call. */
struct kpy_invocation {
	struct kpy_hook *hook;
	unsigned long serial; /* of all invocations */
	/* The words that may be arguments: those of registers, and what is on the stack; or NULL. */
	const unsigned long *args, *stack_args;
	struct pt_regs *regs; /* where all registers are known */
	unsigned long result; /* of the handler */
	struct task_struct *task; /* linked: whose stack this is on */
	struct list_head originals; /* of calls that are in the original without being in Python */
	bool in_original; /* it is being called, by orig() */
	bool ran; /* the original returned this: */
	unsigned long original;
	u64 outside; /* TSC cycles spent in the original */
};

/* A word that may be an argument on the stack, or lie above its end: then 0. */
static inline unsigned long kpy_stack_word(const unsigned long *at)
{
	unsigned long word;

	return copy_from_kernel_nofault(&word, at, sizeof(word)) ? 0 : word;
}

struct kpy_hook_kind {
	const char *name;
	/* Makes the kernel call the hook (again); 0 or -errno. Without the GIL. */
	int (*arm)(struct kpy_hook *h);
	/* The kernel will not call it again, and no such call is running. May sleep. */
	void (*disarm)(struct kpy_hook *h);
	/* Calls the handler with what the call brought. Raises. Under the GIL. NULL: f(). */
	void (*handle)(struct kpy_hook *h, struct kpy_invocation *inv);
	bool is_pointer; /* the kernel may have kept the stub's address */
	bool wants_regs; /* its stub is the one with all registers */
	bool returns; /* the handler runs behind the original */
	bool watches; /* the original runs afterwards, whatever the handler returned */
};

enum kpy_hook_state {
	KPY_HOOK_ARMED,
	KPY_HOOK_DISARMED, /* the kernel has forgotten it */
	KPY_HOOK_IDLE, /* nobody is in it */
};

/* Why a call did not enter Python. */
enum kpy_miss {
	KPY_MISS_RECURSION, /* the interpreter, the module or the handler made it */
	KPY_MISS_NMI,
	KPY_MISS_NO_STACK, /* too little of it is left, or it is of an unknown kind */
	KPY_MISS_NO_ROOM, /* too many calls are in Python, or in originals */
	KPY_MISS_BUSY, /* the GIL was taken for too long */
	KPY_MISS_NOT_READY, /* the hook is disabled, the interpreter restarts, or RCU is idle */
	KPY_MISSES,
};

struct kpy_hook {
	struct list_head list; /* all hooks, under the GIL */
	const struct kpy_hook_kind *kind;
	mp_obj_t handler; /* a root of the collector */
	mp_call_fun_t call; /* of the handler's type */
	mp_obj_t last_error; /* another */
	mp_obj_t first; /* another: the handler's first argument, or NULL */
	struct kpy_session *session; /* that armed it: output and tracebacks go there */
	unsigned int epoch;
	bool enabled; /* entries are let in */
	bool removed; /* for good */
	bool shared; /* the address of its stub was given away */
	bool retired; /* and was never taken back: the stub serves no other */
	enum kpy_hook_state state; /* once removed, of the worker */
	mp_obj_t object; /* that shows it to Python: no root, its finaliser clears this */
	unsigned char n_args; /* that the handler takes from the call */
	unsigned char skip; /* arguments of the call that are not for the handler */
	struct kpy_hook_types *types; /* of the others; NULL: plain numbers */
	short slot; /* of its stub, -1: none */
	char target[48]; /* name of what is hooked, "" for none */
	/* What happened, under the GIL. */
	u64 hits, total_tsc;
	atomic_long_t missed[KPY_MISSES]; /* what did not: counted without the GIL */
	atomic_t in_flight;
	/* Where the stub goes on without Python, and what orig() calls; 0: it returns 0. */
	unsigned long original;
	unsigned long id; /* of all hooks, for orig(), which may outlive it */
	bool by_probe; /* of probe.c, which must be passed on the way there */
	unsigned long address; /* of what is hooked */
	unsigned long site; /* where ftrace or the probe catches it */
	struct module *owner; /* which has it; held until it is disarmed */
	union {
		struct irq_work work;
		struct {
			struct timer_list timer;
			unsigned long delay, period; /* jiffies; period 0: once */
		};
		struct {
			struct hlist_node chain_node; /* see chain.h */
			struct kpy_hook *below;
			struct kpy_probe *probe; /* see probe.c */
			bool armed;
		};
	};
};

/* A zeroed hook of a kind that is in the list but not armed, or NULL. Under the GIL, given up. */
struct kpy_hook *kpy_hook_new(const struct kpy_hook_kind *kind, mp_obj_t handler);
/* Runs the handler in the context of the caller, if it can be. Any context. */
void kpy_hook_run(struct kpy_hook *h);
/* The same for a stub: where it is to go on; 0: at its caller with frame->ax. */
unsigned long kpy_hook_run_stub(struct kpy_hook *h, struct kpy_stub_frame *frame);
/* The same for a stub with all registers, which it changes to go on. */
void kpy_hook_run_reg_stub(struct kpy_hook *h, struct pt_regs *regs);
/* missed.c: a call that had to be let through. Any context. */
void kpy_hook_count_miss(struct kpy_hook *h, enum kpy_miss why);
unsigned long kpy_hook_missed(const struct kpy_hook *h);
/* Adds the counts, all or those that are not 0, to a dict by the names of the reasons. Under the GIL. */
void kpy_hook_misses(mp_obj_t dict, const atomic_long_t counts[KPY_MISSES], bool all);
extern atomic_long_t kpy_all_misses[KPY_MISSES]; /* since load */
/*
 * The current task ends and will not come back from the original it is in: the hook need not
 * wait for it. Under the GIL; and the same for calls that are in no Python.
 */
void kpy_hook_abandon(struct kpy_entry *e);
void kpy_hook_abandon_originals(void);
/* One of those calls, which does not return. Under the GIL. */
struct kpy_invocation *kpy_hook_some_original(void);

/* Between the stubs and hook.c. How a call of a hook went: */
enum kpy_outcome {
	KPY_MISSED, /* it did not enter Python */
	KPY_DONE,
	KPY_FAILED, /* an exception */
};
enum kpy_outcome kpy_hook_try(struct kpy_invocation *inv);
/* It is no longer in flight. */
void kpy_hook_leave(struct kpy_hook *h);

/* Stops new entries; the rest is done by a worker. Under the GIL. */
void kpy_hook_remove(struct kpy_hook *h);

/*
 * Its Python object is collected; false: the hook stays, since the kernel may call it.
 * Under the GIL.
 */
bool kpy_hook_object_gone(struct kpy_hook *h);
/* The interpreter ends, and all handlers with it. Under the GIL. */
void kpy_hooks_end(void);
/* Calls f for each hook that is not removed. Under the GIL. */
void kpy_hooks_each(void (*f)(struct kpy_hook *h, void *arg), void *arg);

/*
 * exits.c: tasks that end inside a hook are looked for from now on. Under the
 * arming lock; may sleep.
 */
void kpy_exits_watch(void);
void kpy_exits_unwatch(void);

int kpy_hooks_init(void);
void kpy_hooks_exit(void);
/* arm.c: the task that arms or disarms a hook. */
extern struct task_struct *kpy_hook_arming;

/* Does the interpreter, or the module around it, call what is hooked? */
static inline bool kpy_hook_is_own_doing(void)
{
	return kpy_gil_is_mine() || unlikely(READ_ONCE(kpy_hook_arming) == current) ||
	       kpy_own_work();
}

/* report.c: disables the hook, and tells its session and dmesg why. Under the GIL. */
void kpy_hook_report(struct kpy_hook *h, mp_obj_t error);
/* reap.c */
extern struct list_head kpy_hooks;
void kpy_hooks_reap_exit(void);
/* Waits until the worker is done with what was removed before. Without the GIL; may sleep. */
void kpy_hooks_settle(void);
/* Someone left a removed hook, or its object died: the worker looks again. Any context. */
void kpy_hooks_kick_reaper(void);

/*
 * Runs arm() outside the GIL, so that hooks let the calls through that it makes. 0 or -errno.
 * Where the caller may not sleep: -EWOULDBLOCK.
 */
int kpy_hook_arm(struct kpy_hook *h);
void kpy_hook_disarm(struct kpy_hook *h);
void kpy_hook_free(struct kpy_hook *h);

/*
 * handler.c. How many arguments of a call the handler takes, behind the first one, if that has a
 * name. n are there, as far as that is known. Raises TypeError.
 */
size_t kpy_handler_args(mp_obj_t handler, const char *first, size_t n, bool known);
/* The word that a handler's result stands for. Raises TypeError. */
unsigned long kpy_other_result(mp_obj_t result);
static inline unsigned long kpy_handler_result(mp_obj_t result)
{
	if (mp_obj_is_small_int(result))
		return MP_OBJ_SMALL_INT_VALUE(result);
	if (kpy_is_large_int(result))
		return kpy_large_int_word(result);
	return kpy_other_result(result);
}
/* Calls the handler with first, if any, and the arguments of the call. */
mp_obj_t kpy_handler_call(struct kpy_hook *h, const struct kpy_invocation *inv, mp_obj_t first);

/* target.c: what a hook is to be put on. */
struct kpy_target {
	unsigned long address, offset; /* in its symbol */
	unsigned long site; /* where ftrace catches its calls, or 0 */
	char name[sizeof_field(struct kpy_hook, target)];
};

/* Fills it in from a name, Symbol or address. Raises ValueError, OSError. Under the GIL. */
void kpy_target_find(mp_obj_t what, struct kpy_target *t);
/* Does the scheduler go from one task to another there? That the kernel marks notrace only. */
bool kpy_target_switches_tasks(const struct kpy_target *t);
/*
 * For hooks that call the original: raises OSError where a task is as good as dead. Others that
 * never return are no trouble, see exits.c.
 */
void kpy_target_must_return(const struct kpy_target *t);
/*
 * How many arguments t takes, -1: unknown; and when typed, of what types, or ValueError.
 * Under the GIL, given up.
 */
int kpy_target_args(const struct kpy_target *t, bool typed, struct kpy_hook_types **types);
/* The keyword argument typed=, the only one there is. */
bool kpy_target_typed(mp_map_t *kw);
/* OSError(err, "NAME WHY") */
void kpy_raise_untraceable(int err, const struct kpy_target *t, const char *why);
/* Arms it, or removes it and raises OSError. Under the GIL, given up. */
void kpy_hook_arm_or_raise(struct kpy_hook *h, const struct kpy_target *t);
/* A hook with a stub, on t or (NULL) on nothing, which then owns types, or NULL. Raises MemoryError, OSError. Under the GIL, given up. */
struct kpy_hook *kpy_hook_new_at(const struct kpy_hook_kind *kind, mp_obj_t handler,
				 const struct kpy_target *t, struct kpy_hook_types *types);

/* registers.c: an object for the registers of an invocation; void once that is over. */
mp_obj_t kpy_registers_new(struct kpy_invocation *inv);
/* False: o is no such object. */
bool kpy_registers_pointer(mp_obj_t o, unsigned long *address);

/* original.c: a callable for the original of a hook. Under the GIL. */
mp_obj_t kpy_original_new(struct kpy_hook *h);
/* Removes all, and waits until none is left, at most until a time in jiffies; -EBUSY, and said. */
int kpy_hooks_stop(unsigned long until);
/* A session ended: its hooks print to dmesg from now on. Under the GIL. */
void kpy_hooks_forget_session(struct kpy_session *s);
/* Roots of the collector. */
void kpy_hooks_collect(void (*root)(mp_obj_t *object));

/* Totals since load, for stats(). */
struct kpy_hook_totals {
	unsigned long process, softirq, hardirq; /* entries by context */
};
extern struct kpy_hook_totals kpy_hook_totals;
#endif

#ifndef NO_QSTR
/* The object that Python sees of a hook, made at need. Under the GIL. */
mp_obj_t kpy_hook_object(struct kpy_hook *h);
#endif
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_timer_obj);
MP_DECLARE_CONST_FUN_OBJ_KW(kpy_ftrace_obj);
MP_DECLARE_CONST_FUN_OBJ_KW(kpy_kprobe_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_irq_work_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_callback_obj);
MP_DECLARE_CONST_FUN_OBJ_2(kpy_tracepoint_obj);
MP_DECLARE_CONST_FUN_OBJ_0(kpy_hooks_obj);
MP_DECLARE_CONST_FUN_OBJ_0(kpy_context_obj);
extern const mp_obj_type_t kpy_type_hook, kpy_type_registers;

/* kprobe(): what to do at the target. */
enum {
	KPY_ARGS_WATCH,
	KPY_ARGS_MODIFY,
	KPY_REGS_WATCH,
	KPY_REGS_MODIFY,
	KPY_RETURN,
	KPY_KP_KINDS,
};

/*
 * The address that a hook object stands for where the kernel wants one: of a callback that was
 * not removed; else false. Under the GIL.
 */
bool kpy_hook_pointer(mp_obj_t hook, unsigned long *address);
