// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where Python's output goes: to the ring of the session that runs the code, or,
 * without a session, to dmesg line by line.
 */
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include "kpy.h"
#include "entry.h"
#include "own_work.h"
#include "repl/output.h"
#include "repl/ring.h"
#include "repl/session.h"
#include "files.h"
#include "debug/eval.h"

#define LOG_RING_SIZE (64UL << 10)
#define LOG_LINE_MAX 512

bool kpy_output_pending;
DECLARE_WAIT_QUEUE_HEAD(kpy_output_wait);

DEFINE_PER_CPU(bool, kpy_own_interrupt);

static struct kpy_ring log_ring;
static struct task_struct *log_task;

static void wake_carriers(struct irq_work *work)
{
	kpy_own_work_begin();
	wake_up_all(&kpy_output_wait);
	kpy_files_kick();
	kpy_own_work_end();
}
static struct irq_work kick_work = IRQ_WORK_INIT(wake_carriers);

#define HARDIRQ_KICKS 64

/*
 * A hook on the way of that very interrupt (irq_work_run()), which prints, would raise it again and
 * again: those of one jiffy are limited. The carriers look by themselves every second.
 */
static bool too_many_kicks(void)
{
	static DEFINE_PER_CPU(unsigned long, jiffy);
	static DEFINE_PER_CPU(unsigned int, kicks);

	if (!in_hardirq())
		return false;
	if (this_cpu_read(jiffy) != jiffies) {
		this_cpu_write(jiffy, jiffies);
		this_cpu_write(kicks, 0);
	}
	return this_cpu_inc_return(kicks) > HARDIRQ_KICKS;
}

void kpy_output_kick(void)
{
	if (likely(!too_many_kicks()))
		irq_work_queue(&kick_work);
}

/* Under the GIL, which it gives up while it waits for room. */
void kpy_output_write(const char *s, size_t n)
{
	struct kpy_entry *e = kpy_current;

	if (e->mailbox) {
		kpy_debug_output(e->mailbox, s, n);
		return;
	}
	while (n) {
		struct kpy_session *session = e->session;
		struct kpy_ring *ring = session ? &session->out : &log_ring;
		size_t done = kpy_ring_put(ring, s, n);

		if (done)
			kpy_output_pending = true;
		s += done;
		n -= done;
		if (!n)
			break;
		if (!session || session->eof || e->abort || !kpy_may_sleep(e)) {
			ring->lost += n;
			break;
		}
		atomic_inc(&session->waiters);
		kpy_gil_release();
		kpy_session_wait_room(session);
		/* The last look at the session: it may be gone before the GIL is ours. */
		atomic_dec(&session->waiters);
		kpy_gil_acquire(e);
	}
}

/* Length of the first line in the log ring, or as much as fits, or 0 while it is incomplete. */
static size_t next_line(char *line, bool flush)
{
	size_t used = kpy_ring_used(&log_ring), i;

	for (i = 0; i < used && i < LOG_LINE_MAX - 1; i++) {
		line[i] = log_ring.buf[(log_ring.tail + i) % log_ring.size];
		if (line[i] == '\n')
			return i + 1;
	}
	return flush || i == LOG_LINE_MAX - 1 ? i : 0;
}

int kpy_log_main(void *unused)
{
	static char line[LOG_LINE_MAX];
	bool stop = false;

	while (!stop) {
		size_t n;

		wait_event_interruptible_timeout(
			kpy_output_wait, kpy_ring_used(&log_ring) || kthread_should_stop(), HZ);
		stop = kthread_should_stop();
		/* A piece without its end of line gets a moment to become a line. */
		if (!stop && !next_line(line, false))
			schedule_timeout_interruptible(HZ / 20);
		while ((n = next_line(line, true))) {
			kpy_ring_skip(&log_ring, n);
			while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
				n--;
			if (n)
				pr_info("%.*s\n", (int)n, line);
			cond_resched();
		}
	}
	return 0;
}

int kpy_output_init(void)
{
	log_ring.size = LOG_RING_SIZE;
	log_ring.buf = kvmalloc(LOG_RING_SIZE, GFP_KERNEL);
	if (!log_ring.buf)
		return -ENOMEM;
	log_task = kthread_run(kpy_log_main, NULL, "kpy-log");
	if (IS_ERR(log_task)) {
		kvfree(log_ring.buf);
		return PTR_ERR(log_task);
	}
	return 0;
}

void kpy_output_exit(void)
{
	irq_work_sync(&kick_work);
	kthread_stop(log_task);
	if (log_ring.lost)
		pr_warn("%lu bytes of output were lost\n", log_ring.lost);
	kvfree(log_ring.buf);
}
