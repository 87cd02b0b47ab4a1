// SPDX-License-Identifier: GPL-2.0-or-later
/* What MicroPython asks of the machine under it: terminal and time. */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <asm/msr.h>
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "entry.h"
#include "repl/session.h"

#define CTRL_D 4

int mp_hal_stdin_rx_chr(void)
{
	struct kpy_session *s = kpy_current->session;
	int c;

	/* Code outside a session has no input: end of file. */
	if (!s || kpy_current != &s->entry)
		return CTRL_D;
	c = kpy_session_getc(s);
	/* The peer is gone. What it had typed so far is not to be executed. */
	if (c < 0)
		kpy_leave_python(&s->entry);
	return c;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *s, size_t n)
{
	kpy_output_write(s, n);
	return n;
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags)
{
	struct kpy_session *s = kpy_current->session;
	uintptr_t ready = flags & MP_STREAM_POLL_WR;

	if (s && kpy_ring_used(&s->in))
		ready |= flags & MP_STREAM_POLL_RD;
	return ready;
}

void mp_hal_set_interrupt_char(int c)
{
	struct kpy_session *s = kpy_current->session;

	if (s && kpy_current == &s->entry)
		kpy_session_interrupt_on(s, c);
}

/*
 * The fast clocks take no sequence lock: a hook in the middle of the kernel's update of
 * the time may wait for the GIL, whose holder would wait for the end of the update.
 */
mp_uint_t mp_hal_ticks_ms(void)
{
	return ktime_get_mono_fast_ns() / NSEC_PER_MSEC;
}

mp_uint_t mp_hal_ticks_us(void)
{
	return ktime_get_mono_fast_ns() / NSEC_PER_USEC;
}

mp_uint_t mp_hal_ticks_cpu(void)
{
	return ktime_get_mono_fast_ns();
}

uint64_t mp_hal_time_ns(void)
{
	return ktime_get_real_fast_ns();
}

/* Not worth a context switch, and possible where nothing may sleep. */
#define SPIN_MAX_US 20

void mp_hal_delay_us(mp_uint_t us)
{
	struct kpy_entry *e = kpy_current;
	ktime_t until;

	if (us <= SPIN_MAX_US) {
		kpy_gil_release();
		udelay(us);
		kpy_gil_acquire(e);
		return;
	}
	if (!kpy_may_sleep(e)) {
		mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("cannot sleep in this context"));
		return;
	}
	kpy_gil_release();
	until = ktime_add_us(ktime_get(), min_t(mp_uint_t, us, KTIME_MAX / NSEC_PER_USEC / 2));
	/* Sleeps until the time or a signal, and a signal means Ctrl-C. */
	do {
		set_current_state(TASK_INTERRUPTIBLE);
	} while (schedule_hrtimeout(&until, HRTIMER_MODE_ABS) && !signal_pending(current));
	__set_current_state(TASK_RUNNING);
	if (e->kind == KPY_SESSION && signal_pending(current))
		flush_signals(current);
	kpy_gil_acquire(e);
	mp_handle_pending(true);
}

void mp_hal_delay_ms(mp_uint_t ms)
{
	mp_hal_delay_us(ms > KTIME_MAX / 1000 ? KTIME_MAX : ms * 1000);
}

uint32_t kpy_random_seed(void)
{
	return (rdtsc() * 0x9e3779b97f4a7c15UL) >> 32;
}
