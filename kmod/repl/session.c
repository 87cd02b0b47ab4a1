// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of sessions, from the connection to the last thread's end. */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include "py/runtime.h"
#include "shared/runtime/pyexec.h"
#include "kpy.h"
#include "own_work.h"
#include "debug/info.h"
#include "ffi/hook.h"
#include "repl/output.h"
#include "repl/session.h"

#define SESSIONS_MAX 8
#define LEFT_BEHIND_MAX 64 /* sessions whose kernel call does not return */
#define RING_SIZE (64UL << 10)
#define PYSTACK_SIZE (64UL << 10)
#define TOKEN_SECONDS 10

static LIST_HEAD(sessions);
static DEFINE_MUTEX(sessions_lock);
static unsigned int sessions_started, sessions_alive, sessions_left_behind;
static unsigned int sessions_reaped; /* of session_ended */
static bool stopping;
/* Completed once by each session, by code that is not the module's: see runner_main(). */
static DECLARE_COMPLETION(session_ended);

void kpy_session_left_behind(struct kpy_session *s)
{
	mutex_lock(&sessions_lock);
	s->left_behind = true;
	sessions_left_behind++;
	mutex_unlock(&sessions_lock);
}

int kpy_writer_main(void *arg)
{
	struct kpy_session *s = arg;
	const char *piece;
	size_t n;

	do {
		wait_event_interruptible_timeout(
			kpy_output_wait, kpy_ring_used(&s->out) || kthread_should_stop(), HZ);
		while ((n = kpy_ring_peek(&s->out, &piece))) {
			ssize_t sent = s->transport->send(s, piece, n);

			/* A dead connection swallows output; the reader notices its end. */
			kpy_ring_skip(&s->out, sent > 0 ? sent : n);
			wake_up_all(&s->wait);
			cond_resched();
		}
	} while (!kthread_should_stop());
	return 0;
}

static noinline void run_python(struct kpy_session *s)
{
	struct kpy_entry *e = &s->entry, *other;

	kpy_entry_set_stack(e, (unsigned long)end_of_stack(current), __builtin_frame_address(0));
	kpy_entry_set_pystack(e, s->pystack, PYSTACK_SIZE);
	kpy_gil_enter(e);
	kpy_repl_run(s);
	/* What this session started prints to dmesg from now on. */
	for (other = kpy_entries; other; other = other->next)
		if (other->session == s)
			other->session = NULL;
	kpy_hooks_forget_session(s);
	kpy_gil_leave(e);
	kpy_window_free(&e->window);
}

static void free_session(struct kpy_session *s)
{
	s->transport->release(s);
	kvfree(s->in.buf);
	kvfree(s->out.buf);
	kvfree(s->pystack);
	kfree(s->readline);
	kfree(s);
}

static int runner_main(void *arg)
{
	struct kpy_session *s = arg;

	allow_signal(SIGKILL);
	if (!wait_event_interruptible_timeout(s->wait, s->admitted || s->eof, TOKEN_SECONDS * HZ))
		kpy_session_say(s, "kpy: no token\r\n");
	if (READ_ONCE(s->admitted))
		run_python(s);
	/* The last words go out before the connection does. */
	if (!READ_ONCE(s->eof))
		wait_event_interruptible_timeout(s->wait, !kpy_ring_used(&s->out) || s->eof, HZ);
	s->transport->shutdown(s);
	kpy_session_end_input(s);
	kthread_stop(s->reader);
	kthread_stop(s->writer);
	mutex_lock(&sessions_lock);
	list_del(&s->list);
	sessions_alive--;
	if (s->left_behind)
		sessions_left_behind--;
	kpy_debug_state.sessions = sessions_alive;
	mutex_unlock(&sessions_lock);
	/* A thread that waited for room in our ring woke up, but may still be on its way out of it. */
	while (atomic_read(&s->waiters))
		schedule_timeout_uninterruptible(1);
	free_session(s);
	/* The rest of this thread must not be module text: unloading waits for the completion. */
	kthread_complete_and_exit(&session_ended, 0);
	return 0;
}

static struct kpy_session *new_session(const struct kpy_transport *transport, void *connection)
{
	struct kpy_session *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	s->transport = transport;
	s->connection = connection;
	s->interrupt_char = -1;
	init_waitqueue_head(&s->wait);
	s->in.size = s->out.size = RING_SIZE;
	s->in.buf = kvmalloc(RING_SIZE, GFP_KERNEL);
	s->out.buf = kvmalloc(RING_SIZE, GFP_KERNEL);
	s->pystack = kvmalloc(PYSTACK_SIZE, GFP_KERNEL);
	s->readline = kzalloc(kpy_readline_size, GFP_KERNEL);
	if (!s->in.buf || !s->out.buf || !s->pystack || !s->readline) {
		kvfree(s->in.buf);
		kvfree(s->out.buf);
		kvfree(s->pystack);
		kfree(s->readline);
		kfree(s);
		return NULL;
	}
	return s;
}

static int start_threads(struct kpy_session *s)
{
	s->runner = kthread_create(runner_main, s, "kpy-repl-%u", s->id);
	if (IS_ERR(s->runner))
		return PTR_ERR(s->runner);
	s->reader = kthread_create(kpy_session_reader, s, "kpy-in-%u", s->id);
	if (IS_ERR(s->reader)) {
		kthread_stop(s->runner);
		return PTR_ERR(s->reader);
	}
	s->writer = kthread_create(kpy_writer_main, s, "kpy-out-%u", s->id);
	if (IS_ERR(s->writer)) {
		kthread_stop(s->runner);
		kthread_stop(s->reader);
		return PTR_ERR(s->writer);
	}
	/* The reader may send signals to the runner: it must see an initialised entry. */
	kpy_entry_init(&s->entry, KPY_SESSION, s);
	s->entry.task = s->runner;
	s->entry.readline = s->readline;
	wake_up_process(s->writer);
	wake_up_process(s->runner);
	wake_up_process(s->reader);
	return 0;
}

static void refuse(const struct kpy_transport *transport, void *connection, const char *why)
{
	struct kpy_session s = { .transport = transport, .connection = connection };

	transport->send(&s, why, strlen(why));
	transport->shutdown(&s);
	transport->release(&s);
}

int kpy_session_start(const struct kpy_transport *transport, void *connection)
{
	struct kpy_session *s;
	int err = -EBUSY;

	mutex_lock(&sessions_lock);
	if (stopping || sessions_alive - sessions_left_behind >= SESSIONS_MAX ||
	    sessions_left_behind >= LEFT_BEHIND_MAX) {
		refuse(transport, connection, "kpy: too many sessions, close one first\r\n");
		goto out;
	}
	err = -ENOMEM;
	s = new_session(transport, connection);
	if (!s) {
		refuse(transport, connection, "kpy: no memory for another session\r\n");
		goto out;
	}
	s->id = sessions_started;
	list_add_tail(&s->list, &sessions);
	err = start_threads(s);
	if (err) {
		list_del(&s->list);
		free_session(s);
		goto out;
	}
	sessions_started++;
	sessions_alive++;
	kpy_debug_state.sessions = sessions_alive;
out:
	mutex_unlock(&sessions_lock);
	return err;
}

static void report_sessions(void)
{
	struct kpy_session *s;

	mutex_lock(&sessions_lock);
	list_for_each_entry (s, &sessions, list)
		pr_warn("session %u (task %s, pid %d) does not end: it is in %ps\n", s->id,
			s->runner->comm, s->runner->pid, (void *)s->entry.call.target);
	mutex_unlock(&sessions_lock);
}

/*
 * A raw session that waits for the end of its code gets the line as an exception.
 */
static void tell(struct kpy_session *s, const char *line)
{
	bool raw = s->mode == PYEXEC_MODE_RAW_REPL && s->interrupt_char >= 0;
	unsigned long flags = kpy_gil_lock_raw();

	kpy_ring_put(&s->out, raw ? "\x04" : "\r\n", raw ? 1 : 2);
	kpy_ring_put(&s->out, line, strlen(line));
	kpy_ring_put(&s->out, "\r\n\x04", raw ? 3 : 2);
	kpy_output_pending = true;
	kpy_gil_unlock_raw(flags);
	/* From a sleep, as by Ctrl-C: its Python code is gone. */
	send_sig(SIGKILL, s->runner, 1);
}

void kpy_sessions_tell(const char *line)
{
	struct kpy_session *s;

	mutex_lock(&sessions_lock);
	list_for_each_entry (s, &sessions, list)
		if (READ_ONCE(s->admitted) && !READ_ONCE(s->eof))
			tell(s, line);
	mutex_unlock(&sessions_lock);
}

void kpy_sessions_allow(void)
{
	stopping = false;
}

int kpy_sessions_stop(unsigned long until)
{
	struct kpy_session *s;
	unsigned int left;

	mutex_lock(&sessions_lock);
	stopping = true;
	list_for_each_entry (s, &sessions, list) {
		kpy_session_end_input(s);
		kpy_session_interrupt(s, true);
		s->transport->shutdown(s);
	}
	mutex_unlock(&sessions_lock);

	while ((left = sessions_started - sessions_reaped)) {
		unsigned long now = jiffies;

		if (wait_for_completion_timeout(&session_ended,
						time_before(now, until) ? until - now : 0)) {
			sessions_reaped++;
		} else if (time_after_eq(jiffies, until)) {
			report_sessions();
			return -EBUSY;
		}
	}
	return 0;
}

void kpy_session_wait_room(struct kpy_session *s)
{
	if (wait_event_interruptible(s->wait,
				     kpy_ring_room(&s->out) > RING_SIZE / 2 || READ_ONCE(s->eof)))
		flush_signals(current);
}
