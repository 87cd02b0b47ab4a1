// SPDX-License-Identifier: GPL-2.0-or-later
/* What arrives at a session: the token, Ctrl-C, and bytes for the code that runs. */
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "py/runtime.h"
#include "kpy.h"
#include "repl/session.h"

/* Makes the Python code of a session stop: an exception, and a wake-up from a killable sleep. */
void kpy_session_interrupt(struct kpy_session *s, bool abort)
{
	unsigned long flags = kpy_gil_lock_raw();

	if (abort)
		s->entry.abort = true;
	MP_STATE_VM(mp_kbd_exception).traceback_data = NULL;
	s->entry.ts->mp_pending_exception = MP_OBJ_FROM_PTR(&MP_STATE_VM(mp_kbd_exception));
	kpy_gil_unlock_raw(flags);
	/*
	 * A kernel thread that allows SIGKILL is not killed by it, but it sees
	 * fatal_signal_pending(), which is what ends killable sleeps.
	 */
	send_sig(SIGKILL, s->runner, 1);
}

void kpy_session_end_input(struct kpy_session *s)
{
	WRITE_ONCE(s->eof, true);
	wake_up_all(&s->wait);
}

void kpy_session_say(struct kpy_session *s, const char *text)
{
	s->transport->send(s, text, strlen(text));
}

/*
 * The second Ctrl-C, and still the same kernel call: it cannot be woken. Its thread stays
 * behind, ends when the call returns, and the peer is free to open another session.
 */
static void leave_behind(struct kpy_session *s)
{
	char text[160];

	snprintf(
		text, sizeof(text),
		"\r\nkpy: %s (pid %d) stays behind in %ps until that returns; open a new session\r\n",
		s->runner->comm, s->runner->pid, (void *)s->entry.call.target);
	kpy_session_say(s, text);
	kpy_session_left_behind(s);
	kpy_session_end_input(s);
	kpy_session_interrupt(s, true);
	s->transport->shutdown(s);
}

static void ctrl_c(struct kpy_session *s)
{
	unsigned long call = READ_ONCE(s->entry.call.target) ? s->entry.call.serial : 0;

	if (call && call == s->interrupted_call) {
		leave_behind(s);
		return;
	}
	s->interrupted_call = call;
	WRITE_ONCE(s->interrupting, true);
	smp_mb(); /* forget_signal() comes after the end of the code, then looks at us */
	if (READ_ONCE(s->interrupt_char) >= 0)
		kpy_session_interrupt(s, false);
	smp_store_release(&s->interrupting, false);
}

/* The end of the last c among the unread bytes, counted as the ring does; 0: there is none. */
static unsigned long after_last(const struct kpy_ring *r, int c)
{
	unsigned long end = READ_ONCE(r->tail), at = smp_load_acquire(&r->head);

	while (at != end && r->buf[(at - 1) % r->size] != c)
		at--;
	return at == end ? 0 : at;
}

/*
 * What interrupted the code before must not reach the code that now begins: neither the
 * exception nor the signal, which comes after it. Nobody interrupts meanwhile, except for good.
 */
static void forget_signal(struct kpy_session *s)
{
	struct kpy_entry *e = kpy_gil_release();

	while (smp_load_acquire(&s->interrupting))
		schedule_timeout_uninterruptible(1);
	flush_signals(current);
	kpy_gil_acquire(e);
	if (e->abort)
		kpy_leave_python(e);
	if (e->ts->mp_pending_exception == MP_OBJ_FROM_PTR(&MP_STATE_VM(mp_kbd_exception)))
		e->ts->mp_pending_exception = MP_OBJ_NULL;
}

/*
 * From here on c interrupts. One that was typed ahead of the code that now begins is for that
 * code, and takes the input before it along, as a terminal's does.
 */
void kpy_session_interrupt_on(struct kpy_session *s, int c)
{
	unsigned long end;

	if (c >= 0 && s->interrupt_char < 0)
		forget_signal(s);
	WRITE_ONCE(s->interrupt_char, c);
	smp_mb(); /* receive() puts bytes in, then looks at interrupt_char */
	end = c >= 0 ? after_last(&s->in, c) : 0;
	if (end) {
		kpy_ring_skip(&s->in, end - s->in.tail);
		kpy_gil_release();
		kpy_session_interrupt(s, false);
		kpy_gil_acquire(&s->entry);
	}
}

static void receive(struct kpy_session *s, const char *buf, size_t n)
{
	while (n) {
		int stop = READ_ONCE(s->interrupt_char);
		const char *c = stop >= 0 ? memchr(buf, stop, n) : NULL;
		size_t part = c ? c - buf : n, done;

		done = kpy_ring_put(&s->in, buf, part);
		smp_mb(); /* pairs with kpy_session_interrupt_on() */
		if (stop < 0 && READ_ONCE(s->interrupt_char) >= 0 &&
		    after_last(&s->in, s->interrupt_char))
			ctrl_c(s); /* code began meanwhile; what it did not read goes to the editor */
		buf += done;
		n -= done;
		if (done)
			wake_up_all(&s->wait);
		if (READ_ONCE(s->eof))
			return;
		if (done < part) {
			/* The consumer holds the GIL and must not wake us: look again. */
			schedule_timeout_interruptible(HZ / 100 + 1);
		} else if (c) {
			ctrl_c(s);
			buf++;
			n--;
		}
	}
}

/* Takes as long for a wrong token as for the right one. */
static bool same_token(const char *given, size_t n)
{
	size_t i, wanted = strlen(kpy_auth_token);
	unsigned int differs = n ^ wanted;

	for (i = 0; i < n; i++)
		differs |= given[i] ^ kpy_auth_token[i % (wanted + 1)];
	return !differs;
}

/*
 * Receives the first line, which must be the token. What came behind it is moved to the
 * beginning of buf; its length, or a negative errno.
 */
static ssize_t admit(struct kpy_session *s, char *buf, size_t size)
{
	size_t n = 0, len;

	if (*kpy_auth_token) {
		do {
			ssize_t got = n < size ? s->transport->recv(s, buf + n, size - n) : 0;

			if (got <= 0)
				return -EPIPE;
			n += got;
			for (len = 0; len < n && buf[len] != '\n' && buf[len] != '\r'; len++)
				;
		} while (len == n);
		if (!same_token(buf, len)) {
			kpy_session_say(s, "kpy: wrong token\r\n");
			return -EACCES;
		}
		while (len < n && (buf[len] == '\n' || buf[len] == '\r'))
			len++;
		n -= len;
		memmove(buf, buf + len, n);
	}
	WRITE_ONCE(s->admitted, true);
	wake_up_all(&s->wait);
	return n;
}

int kpy_session_reader(void *arg)
{
	struct kpy_session *s = arg;
	static const size_t size = 2048;
	char *buf = kmalloc(size, GFP_KERNEL);
	ssize_t n = buf ? admit(s, buf, size) : -ENOMEM;

	if (n >= 0) {
		receive(s, buf, n);
		while (!kthread_should_stop() && !READ_ONCE(s->eof)) {
			n = s->transport->recv(s, buf, size);
			if (n <= 0)
				break;
			receive(s, buf, n);
		}
	}
	kfree(buf);
	if (!READ_ONCE(s->eof)) {
		kpy_session_end_input(s);
		/* Nobody is left to read what the code prints: stop it, whatever it catches. */
		kpy_session_interrupt(s, true);
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

int kpy_session_getc(struct kpy_session *s)
{
	struct kpy_entry *e;
	const char *c;
	int value;

	while (!kpy_ring_used(&s->in)) {
		if (READ_ONCE(s->eof))
			return -1;
		e = kpy_gil_release();
		if (wait_event_interruptible(s->wait, kpy_ring_used(&s->in) || READ_ONCE(s->eof)))
			flush_signals(current);
		kpy_gil_acquire(e);
		/* Ctrl-C, unless it is the line editor that reads. */
		if (READ_ONCE(s->interrupt_char) >= 0)
			mp_handle_pending(true);
	}
	kpy_ring_peek(&s->in, &c);
	value = (unsigned char)*c;
	kpy_ring_skip(&s->in, 1);
	return value;
}
