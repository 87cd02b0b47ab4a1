// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The GIL: a test-and-set spinlock held with interrupts off.
 *
 * Its holder always runs and no hook can interrupt it (NMI excepted), so that code in
 * any context may wait for it. It is a leaf: nothing under it takes a lock that others
 * may hold while they wait for us. Waiters spin with interrupts as they had them; a
 * queued lock would convoy when vCPUs are overcommitted.
 *
 * Threads and sessions take a sleeping token (token.c) before they spin and keep it over
 * safe points, so that at most one of them contends with hooks at any time.
 *
 * C code that runs for long has two ways to bound the time with interrupts off; both are
 * polled by counting work (KPY_WORK in mpconfigport.h):
 * - kpy_long_op(), a safe point: others run, Ctrl-C and deadlines work. For code that may
 *   be left by an exception and whose operands nobody can change: big integers, regular
 *   expressions. Objects to which only a pointer into their middle is left on the stack are
 *   kept by the collector (gc_roots.c).
 * - kpy_gil_window(), an interrupt window: the GIL stays ours, so it may be anywhere, in the
 *   collector and amid changes of a list. Whoever interrupts us on this CPU and wants the GIL
 *   finds it held by its own CPU and must not wait: a hook is skipped and counted.
 */
#ifndef NO_QSTR
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/smp.h>
#include <asm/msr.h>
#endif
#include "py/gc.h"
#include "py/runtime.h"
#include "entry.h"
#ifndef NO_QSTR
#include "debug/info.h"
#include "ffi/guard.h"
#include "ffi/stats.h"
#include "repl/output.h"
#include "token.h"
#endif

MP_DEFINE_EXCEPTION(TimeoutError, OSError)

#ifndef NO_QSTR
struct kpy_gil_page kpy_gil_page;
s32 kpy_gil_cpu = -1;
struct kpy_entry *kpy_current; /* entry of the holder */
struct kpy_entry *kpy_entries; /* all entries */
struct _mp_state_thread_t *kpy_thread_state; /* kpy_current->ts */
unsigned int kpy_epoch = 1;
u32 kpy_ready;
int kpy_budget;
int kpy_work = KPY_WORK_BUDGET;
int kpy_windows; /* since the last safe point in C code; under the GIL */
u64 kpy_irqs_off_max; /* TSC cycles */

static u64 off_since; /* when the holder last had interrupts on, TSC; under the GIL */

static __always_inline void account_off(u64 now)
{
	if (unlikely((s64)(now - off_since) > (s64)kpy_irqs_off_max))
		kpy_irqs_off_max = now - off_since;
}

static __always_inline bool gil_try(void)
{
	return !READ_ONCE(kpy_gil_page.word) && xchg(&kpy_gil_page.word, 1) == 0;
}

/* flags: EFLAGS as they are. */
static __always_inline void gil_lock_with(unsigned long flags)
{
	local_irq_disable();
	while (unlikely(!gil_try())) {
		do {
			if (irqs_disabled_flags(flags)) {
				cpu_relax();
			} else {
				local_irq_enable();
				cpu_relax();
				local_irq_disable();
			}
		} while (READ_ONCE(kpy_gil_page.word));
	}
	WRITE_ONCE(kpy_gil_cpu, raw_smp_processor_id());
	off_since = rdtsc();
}

static __always_inline unsigned long gil_lock(void)
{
	unsigned long flags;

	local_save_flags(flags);
	gil_lock_with(flags);
	return flags;
}

static __always_inline void gil_unlock_with(unsigned long flags, bool kick)
{
	account_off(rdtsc());
	WRITE_ONCE(kpy_gil_cpu, -1);
	smp_store_release(&kpy_gil_page.word, 0);
	if (unlikely(kick))
		kpy_output_kick();
	local_irq_restore(flags);
}

static __always_inline void gil_unlock(unsigned long flags)
{
	gil_unlock_with(flags, kpy_output_take_kick());
}

/*
 * Hooks that found the GIL taken, and those who spin for it without an entry: a safe point lets
 * one of them in. Its holder takes it back after so few instructions that others may miss each of
 * these moments, for seconds.
 */
static atomic_t waiters = ATOMIC_INIT(0);

unsigned long kpy_gil_lock_raw(void)
{
	unsigned long flags;

	atomic_inc(&waiters);
	flags = gil_lock();
	atomic_dec(&waiters);
	return flags;
}

#define LET_IN_US 50

/* Without the GIL; bounded, as a waiter may be held up by an interrupt, or its vCPU not run. */
static noinline void wait_for_waiters(void)
{
	u64 end = rdtsc() + (u64)tsc_khz * LET_IN_US / 1000;

	do {
		cpu_relax();
	} while (atomic_read(&waiters) && !READ_ONCE(kpy_gil_page.word) && rdtsc() < end);
}

static __always_inline void let_waiters_in(void)
{
	if (unlikely(atomic_read(&waiters)))
		wait_for_waiters();
}

void kpy_gil_unlock_raw(unsigned long flags)
{
	gil_unlock(flags);
}

static __always_inline void become(struct kpy_entry *e, unsigned long flags)
{
	e->flags = flags;
	kpy_current = e;
	kpy_thread_state = e->ts;
	kpy_budget = KPY_SAFE_POINT_BUDGET;
}

/* False: someone has the token, and kpy_token_await() must follow. flags: EFLAGS as they are. */
static __always_inline bool ask_token(struct kpy_entry *e, unsigned long flags)
{
	if (e->kind > KPY_THREAD || preempt_count() || irqs_disabled_flags(flags))
		return true;
	e->has_token = true;
	e->token_since = jiffies;
	return kpy_token_try();
}

static __always_inline void get_token(struct kpy_entry *e)
{
	unsigned long flags;

	local_save_flags(flags);
	if (!ask_token(e, flags)) {
		kpy_token_await();
		e->token_since = jiffies;
	}
}

/* True: someone must be woken for it. */
static __always_inline bool drop_token(struct kpy_entry *e)
{
	if (!e->has_token)
		return false;
	e->has_token = false;
	return kpy_token_drop();
}

void kpy_entry_put_token(struct kpy_entry *e)
{
	if (drop_token(e))
		kpy_token_wake();
}

static __always_inline void entry_link(struct kpy_entry *e)
{
	e->next = kpy_entries;
	if (e->next)
		e->next->pprev = &e->next;
	e->pprev = &kpy_entries;
	kpy_entries = e;
}

void kpy_entry_link(struct kpy_entry *e)
{
	entry_link(e);
}

static __always_inline void entry_unlink(struct kpy_entry *e)
{
	*e->pprev = e->next;
	if (e->next)
		e->next->pprev = e->pprev;
	e->pprev = NULL;
}

void kpy_entry_unlink(struct kpy_entry *e)
{
	entry_unlink(e);
}

void kpy_gil_acquire_stale(struct kpy_entry *e)
{
	get_token(e);
	become(e, gil_lock());
}

static __always_inline void acquire_with_token(struct kpy_entry *e, unsigned long flags)
{
	gil_lock_with(flags);
	become(e, flags);
	/* A soft reset came between: the objects that this stack knows are gone. */
	if (unlikely(e->epoch != kpy_epoch))
		kpy_leave_python(e);
}

static noinline void acquire_later(struct kpy_entry *e, unsigned long flags)
{
	kpy_token_await();
	e->token_since = jiffies;
	acquire_with_token(e, flags);
}

/* This and the release are on the way of every kernel call: what is rare is in functions of its own. */
void kpy_gil_acquire(struct kpy_entry *e)
{
	unsigned long flags;

	local_save_flags(flags);
	if (ask_token(e, flags))
		acquire_with_token(e, flags);
	else
		acquire_later(e, flags);
}

void kpy_gil_enter(struct kpy_entry *e)
{
	unsigned long flags;

	get_token(e);
	flags = gil_lock();
	kpy_entry_link(e);
	e->epoch = kpy_epoch;
	kpy_debug_state.entries++;
	become(e, flags);
}

static __always_inline bool try_enter(struct kpy_entry *e)
{
	unsigned long flags;

	local_irq_save(flags);
	if (!gil_try()) {
		local_irq_restore(flags);
		return false;
	}
	WRITE_ONCE(kpy_gil_cpu, raw_smp_processor_id());
	off_since = rdtsc();
	entry_link(e);
	e->epoch = kpy_epoch;
	kpy_debug_state.entries++;
	become(e, flags);
	return true;
}

bool kpy_gil_try_enter(struct kpy_entry *e)
{
	return try_enter(e);
}

static noinline bool enter_later(struct kpy_entry *e)
{
	bool bounded = preempt_count() || irqs_disabled();
	u64 limit = rdtsc() + (u64)tsc_khz * KPY_GIL_WAIT_MS;
	bool entered;

	atomic_inc(&waiters);
	while (!(entered = try_enter(e)) && !(bounded && rdtsc() > limit))
		cpu_relax();
	atomic_dec(&waiters);
	return entered;
}

bool kpy_gil_enter_bounded(struct kpy_entry *e)
{
	return likely(try_enter(e)) || enter_later(e);
}

static noinline void leave_rarely(struct kpy_entry *e)
{
	gil_unlock(e->flags);
	kpy_entry_put_token(e);
	WRITE_ONCE(e->mark, 0);
	kpy_fault_put(e->fault);
	e->fault = NULL;
}

void kpy_gil_leave(struct kpy_entry *e)
{
	entry_unlink(e);
	if (unlikely(kpy_output_pending || e->has_token || e->fault)) {
		leave_rarely(e);
		return;
	}
	gil_unlock_with(e->flags, false);
	WRITE_ONCE(e->mark, 0);
}

/* Second halves of kpy_gil_release() and kpy_gil_bounce() in gil_asm.S. */
static noinline struct kpy_entry *wake_for_token(struct kpy_entry *e)
{
	kpy_token_wake();
	return e;
}

static noinline struct kpy_entry *release_and_kick(struct kpy_entry *e)
{
	gil_unlock(e->flags);
	kpy_entry_put_token(e);
	return e;
}

struct kpy_entry *kpy_gil_release_spilled(struct kpy_entry *e);
struct kpy_entry *kpy_gil_release_spilled(struct kpy_entry *e)
{
	if (unlikely(kpy_output_pending))
		return release_and_kick(e);
	gil_unlock_with(e->flags, false);
	return drop_token(e) ? wake_for_token(e) : e;
}

struct kpy_entry *kpy_gil_bounce_spilled(struct kpy_entry *e);
struct kpy_entry *kpy_gil_bounce_spilled(struct kpy_entry *e)
{
	gil_unlock(e->flags);
	return e;
}

struct kpy_entry *kpy_gil_bounce(void);

/*
 * The innermost entry on the stack we run on: for upstream code that releases and
 * takes the GIL without a place to keep the entry. Under the GIL.
 */
static struct kpy_entry *entry_of_stack(void)
{
	unsigned long sp = (unsigned long)__builtin_frame_address(0);
	struct kpy_entry *e, *found = NULL;

	for (e = kpy_entries; e; e = e->next) {
		if (sp >= e->stack_lo && sp < e->stack_hi &&
		    (!found || e->stack_hi < found->stack_hi))
			found = e;
	}
	return found;
}

void kpy_gil_acquire_self(void)
{
	struct kpy_entry *e;
	unsigned long flags;

	/* mp_init() asks for the GIL although the port already took it. */
	if (kpy_gil_is_mine())
		return;
	flags = gil_lock();
	e = entry_of_stack();
	if (WARN_ON_ONCE(!e)) {
		gil_unlock(flags);
		return;
	}
	if (!e->has_token) {
		gil_unlock(flags);
		get_token(e);
		flags = gil_lock();
	}
	become(e, flags);
	if (unlikely(e->epoch != kpy_epoch))
		kpy_leave_python(e);
}

static void raise_timeout(struct kpy_entry *e)
{
	if (e->timed_out && e->base) {
		e->abort = true;
		return;
	}
	e->timed_out = true;
	e->deadline += tsc_khz * 100ULL; /* 100 ms to unwind */
	e->ts->mp_pending_exception =
		mp_obj_new_exception_msg(&mp_type_TimeoutError, MP_ERROR_TEXT("ran too long"));
}

void kpy_leave_python(struct kpy_entry *e)
{
	if (!e->base)
		return;
	if (e->epoch != kpy_epoch)
		e->ts->nlr_jump_callback_top = NULL; /* they would free what is gone */
	e->ts->nlr_top = e->base;
	nlr_jump(NULL);
}

/*
 * Lets interrupts in for a moment without giving up the GIL. Anyone may call it at any time:
 * it does nothing unless this is the holder, in a context that had interrupts on.
 */
noinline void kpy_gil_window(void)
{
	struct kpy_entry *e = kpy_current;

	kpy_work = KPY_WORK_BUDGET;
	kpy_windows++;
	/* An interrupt within a window has a preempt count. */
	if (READ_ONCE(kpy_gil_cpu) != raw_smp_processor_id() || !irqs_disabled() ||
	    !kpy_may_sleep(e))
		return;
	preempt_disable();
	account_off(rdtsc());
	local_irq_enable();
	asm volatile("nop"); /* sti holds interrupts off for one more instruction */
	local_irq_disable();
	off_since = rdtsc();
	preempt_enable(); /* does not schedule: interrupts are off */
}

/* A safe point within a C function: raises what is pending. */
noinline void kpy_long_op(void)
{
	kpy_work = KPY_WORK_BUDGET;
	kpy_windows = 0;
	kpy_safe_point();
	mp_handle_pending(true);
}

/*
 * Objects that a collection found unreachable. Their finalisers run here, between bytecodes,
 * where the heap is whole, and only in entries that may take their time and sleep.
 */
static void finalise(struct kpy_entry *e)
{
	if (e->finalising || e->kind > KPY_THREAD || !kpy_may_sleep(e) || e->ts->gc_lock_depth)
		return;
	e->finalising = true;
	gc_run_finalisers();
	e->finalising = false;
}

/* Called by the VM between bytecodes: lets others run, and stops what must stop. */
void kpy_safe_point(void)
{
	struct kpy_entry *e;

	/* A finaliser: others would allocate what the collection is about to free. */
	if (unlikely(MP_STATE_THREAD(gc_lock_depth) & GC_COLLECT_FLAG)) {
		kpy_budget = KPY_SAFE_POINT_BUDGET;
		kpy_gil_window();
		return;
	}
	e = kpy_gil_bounce();
	if (kpy_may_sleep(e)) {
		if (e->has_token && time_after(jiffies, e->token_since + 1) &&
		    kpy_token_is_wanted()) {
			kpy_token_give();
			get_token(e);
		}
		cond_resched();
		let_waiters_in();
	}
	become(e, gil_lock());
	if (unlikely(e->epoch != kpy_epoch))
		kpy_leave_python(e);
	if (unlikely(e->deadline) && rdtsc() > e->deadline)
		raise_timeout(e);
	if (unlikely(e->abort))
		kpy_leave_python(e);
	if (unlikely(MP_STATE_VM(gc_n_due)))
		finalise(e);
}
#endif
