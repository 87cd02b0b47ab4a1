/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry records: one for every way in which a stack is inside Python, and the GIL
 * that decides which of them runs. See kmod/gil.c.
 */
#pragma once

#ifndef NO_QSTR
#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/types.h>
#include <asm/processor-flags.h>
#endif
#include "py/mpstate.h"
#include "py/runtime.h"

#ifndef NO_QSTR

struct kpy_session;
struct kpy_fault;
struct kpy_invocation;
struct kpy_mailbox;

enum kpy_kind {
	KPY_SESSION, /* a REPL */
	KPY_THREAD, /* _thread.start_new_thread */
	KPY_HOOK, /* called by the kernel */
	KPY_DEBUG, /* called by a debugger in the frozen guest */
};

/* What setjmp saves: the order is known to setjmp.S and entry_asm.inc. */
struct kpy_regs {
	unsigned long ip, sp, bx, bp, r12, r13, r14, r15;
};

/* The kernel call that an entry is in. */
struct kpy_call {
	unsigned long target; /* 0: none */
	unsigned long serial; /* counts the entry's calls, from 1 */
	unsigned long args[6];
};

/* A thread's buffer in user memory: micropython/file_io.c. */
struct kpy_window {
	struct mm_struct *mm; /* NULL: none yet */
	char __user *at;
};
/* The thread's own, or another's that has ended. May sleep. */
void kpy_window_free(struct kpy_window *w);

/* kpy_entry_init() knows all fields. */
struct kpy_entry {
	struct kpy_regs parked; /* first: gil_asm.S stores here */
	struct kpy_call call;
	struct kpy_entry *next,
		**pprev; /* list of all entries, under the GIL; pprev NULL: not in it */
	mp_state_thread_t *ts; /* state in use: own_ts, or one that upstream keeps in its frame */
	unsigned long flags; /* EFLAGS as they were when the GIL was last taken */
	/* [lo, hi): what Python may use of the stack it runs on */
	unsigned long stack_lo, stack_hi;
	struct task_struct *task;
	enum kpy_kind kind;
	unsigned int epoch; /* the interpreter's life (between soft resets) it belongs to */
	bool has_token;
	unsigned long token_since; /* jiffies */
	struct kpy_session *session; /* where output goes; NULL: dmesg */
	struct kpy_fault *fault; /* of that call; it becomes an exception */
	unsigned long mark; /* to whoever looks for a guarded call up the stack: stop here */
	u64 deadline; /* TSC; 0: none */
	bool timed_out; /* TimeoutError was raised; the next deadline aborts */
	bool finalising; /* its stack is inside a finaliser that a safe point called */
	bool completing; /* looks for what a Tab could mean */
	bool abort; /* leave Python at the next safe point, whatever the code catches */
	nlr_buf_t *base; /* where abort goes to */
	void *root; /* one more GC root */
	void *what; /* of hooks: struct kpy_hook */
	struct kpy_invocation *invocation; /* of hooks: the call that is being handled */
	void *readline; /* state of the line editor: of sessions */
	struct kpy_mailbox *mailbox; /* of a debugger's code: where its output goes */
	struct kpy_window window; /* of sessions and threads */
	mp_state_thread_t own_ts;
};

extern struct kpy_entry *kpy_current, *kpy_entries;
extern unsigned long kpy_guard_secret; /* ffi/guard.c */
extern unsigned int kpy_epoch;
extern u32 kpy_ready;
/*
 * A debugger watches the word while the holder runs on; QEMU is then slow in all that lies on
 * the same page, so nothing else does.
 */
struct kpy_gil_page {
	u32 word; /* 1 while the GIL is held */
} __aligned(PAGE_SIZE);
extern struct kpy_gil_page kpy_gil_page;
extern s32 kpy_gil_cpu; /* of the holder; -1: none */

/*
 * struct kpy_entry *e = kpy_gil_release(); <anything that sleeps or takes locks>; kpy_gil_acquire(e);
 */
struct kpy_entry *kpy_gil_release(void);
void kpy_gil_acquire(struct kpy_entry *e);
/* Comes back also after a soft reset, e->epoch != kpy_epoch: no object may be touched then. */
void kpy_gil_acquire_stale(struct kpy_entry *e);

/* First acquire (links the record) and last release (unlinks it) of an entry. */
void kpy_gil_enter(struct kpy_entry *e);
void kpy_gil_leave(struct kpy_entry *e);
/*
 * For hooks: where the caller cannot be preempted it waits for KPY_GIL_WAIT_MS at most;
 * false: it has not entered.
 */
#define KPY_GIL_WAIT_MS 100
bool kpy_gil_enter_bounded(struct kpy_entry *e);
/* Held by this CPU: by the caller, or by what the caller interrupted in a window. */
static __always_inline bool kpy_gil_is_mine(void)
{
	return READ_ONCE(kpy_gil_cpu) == raw_smp_processor_id() &&
	       (irqs_disabled() || in_interrupt());
}
/* Never waits; for the debugger's entry, while all other CPUs stand still. */
bool kpy_gil_try_enter(struct kpy_entry *e);

/* Links the record of an entry that will start on another stack; under the GIL. */
void kpy_entry_link(struct kpy_entry *e);
/* Whoever leaves does this; so does a task that ends, for entries it will not come back to. */
void kpy_entry_unlink(struct kpy_entry *e);

/* The GIL for a few stores from outside Python: no entry record, no waiting for the token. */
unsigned long kpy_gil_lock_raw(void);
void kpy_gil_unlock_raw(unsigned long flags);

/* What is not here is set by whoever enters or parks. In line, as hooks do it on each call. */
static __always_inline void kpy_entry_init(struct kpy_entry *e, enum kpy_kind kind,
					   struct kpy_session *session)
{
	mp_state_thread_t *ts = &e->own_ts;

	/* A new field? It needs its value here. */
	static_assert(offsetof(struct kpy_entry, own_ts) == 312 && sizeof(*ts) == 96);
	e->parked.sp = 0;
	e->call.target = e->call.serial = 0;
	e->next = NULL;
	e->pprev = NULL;
	e->ts = ts;
	e->flags = 0;
	e->stack_lo = e->stack_hi = 0;
	e->task = current;
	e->kind = kind;
	e->epoch = 0;
	e->has_token = false;
	e->session = session;
	e->fault = NULL;
	e->mark = ~(unsigned long)&e->mark ^ kpy_guard_secret;
	e->deadline = 0;
	e->timed_out = e->finalising = e->completing = e->abort = false;
	e->base = NULL;
	e->root = e->what = e->readline = NULL;
	e->mailbox = NULL;
	e->invocation = NULL;
	e->window = (struct kpy_window){ NULL, NULL };
	ts->stack_top = NULL;
	ts->stack_limit = 0;
	ts->pystack_start = ts->pystack_cur = ts->pystack_end = NULL;
	ts->gc_lock_depth = 0;
	ts->dict_locals = ts->dict_globals = &MP_STATE_VM(dict_main);
	ts->nlr_top = NULL;
	ts->nlr_jump_callback_top = NULL;
	ts->mp_pending_exception = MP_OBJ_NULL;
	ts->stop_iteration_arg = MP_OBJ_NULL;
}
/* Describes the stack the caller runs on, from the caller's frame downwards. */
static inline void kpy_entry_set_stack(struct kpy_entry *e, unsigned long lo, void *top)
{
	e->stack_lo = lo;
	e->stack_hi = (unsigned long)top;
	e->own_ts.stack_top = top;
	e->own_ts.stack_limit = (unsigned long)top - lo - MICROPY_STACK_CHECK_MARGIN;
}
static inline void kpy_entry_set_pystack(struct kpy_entry *e, void *base, size_t size)
{
	e->own_ts.pystack_start = e->own_ts.pystack_cur = base;
	e->own_ts.pystack_end = base + size;
}
/* Leaves all Python code of the current entry for its base; no exception handler is asked. */
void kpy_leave_python(struct kpy_entry *e);
void kpy_entry_put_token(struct kpy_entry *e);

/* May the code that entered Python sleep here? Only its own state counts, not that of the GIL. */
static inline bool kpy_may_sleep(const struct kpy_entry *e)
{
	return (e->flags & X86_EFLAGS_IF) && !preempt_count() && e->kind != KPY_DEBUG;
}

/* mp_handle_pending(true), which is called only where something is pending. */
static __always_inline void kpy_handle_pending(void)
{
	if (unlikely(MP_STATE_THREAD(mp_pending_exception) != MP_OBJ_NULL ||
		     MP_STATE_VM(sched_state) == MP_SCHED_PENDING))
		mp_handle_pending(true);
}
#endif
