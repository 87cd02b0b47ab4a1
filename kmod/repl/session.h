/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A REPL session: three kernel threads over a connection. The runner executes Python,
 * the reader receives (so that Ctrl-C is seen at once whatever the runner does), the
 * writer sends what Python printed. All sessions share the interpreter's globals.
 */
#pragma once
#ifndef NO_QSTR
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/wait.h>
#include "entry.h"
#include "repl/ring.h"

struct kpy_session;

struct kpy_transport {
	/* Bytes received or sent, 0 at the end of the connection, or a negative errno. */
	ssize_t (*recv)(struct kpy_session *s, char *buf, size_t n);
	ssize_t (*send)(struct kpy_session *s, const char *buf, size_t n);
	/* Makes a blocked recv and send return; recv may still give what had arrived. */
	void (*shutdown)(struct kpy_session *s);
	void (*release)(struct kpy_session *s);
};

struct kpy_session {
	struct list_head list;
	unsigned int id;
	const struct kpy_transport *transport;
	void *connection;
	struct kpy_ring in, out;
	wait_queue_head_t wait; /* the runner: for input, for room in out */
	struct task_struct *reader, *writer, *runner;
	bool eof; /* the peer is gone, or we are being closed */
	bool admitted; /* the token was right, or there is none */
	bool left_behind; /* the peer was sent away while a kernel call does not return */
	bool interrupting; /* Ctrl-C is on its way to the code that runs */
	unsigned long interrupted_call; /* serial of the kernel call that Ctrl-C found; 0: none */
	int interrupt_char; /* this input byte raises KeyboardInterrupt; -1: none */
	int mode; /* pyexec_mode_kind_t */
	atomic_t waiters; /* threads that wait for room in out */
	void *pystack, *readline;
	struct kpy_entry entry;
};

extern wait_queue_head_t kpy_output_wait;

/* Takes over the connection, also when it fails. */
int kpy_session_start(const struct kpy_transport *transport, void *connection);
/*
 * Closes all sessions and waits until their threads have left the module, at most until a
 * time in jiffies. -EBUSY: some are left, and named in dmesg.
 */
int kpy_sessions_stop(unsigned long until);
/* Shows all sessions a line; it may sleep. */
void kpy_sessions_tell(const char *line);
/* Lets sessions start again after that. */
void kpy_sessions_allow(void);

/* kmod/repl/session_input.c */
int kpy_session_reader(void *session); /* the reader thread */
/* Makes the Python code stop: an exception (abort: whatever it catches), and a wake-up. */
void kpy_session_interrupt(struct kpy_session *s, bool abort);
void kpy_session_end_input(struct kpy_session *s);
/*
 * This byte interrupts from now on (-1: none does), also if it has come already. Under the
 * GIL, given up then.
 */
void kpy_session_interrupt_on(struct kpy_session *s, int c);
/* A line from the module, not from Python, past the output ring. */
void kpy_session_say(struct kpy_session *s, const char *text);
/* Counts the session as one whose kernel call does not return. */
void kpy_session_left_behind(struct kpy_session *s);

/* The next input byte of the session that runs; -1 at its end. Under the GIL, given up to wait. */
int kpy_session_getc(struct kpy_session *s);
/* Without the GIL: until there is room in the output ring, or the session ends. */
void kpy_session_wait_room(struct kpy_session *s);

/* Under the GIL. */
void kpy_output_write(const char *s, size_t n);

/* micropython/repl.c: runs the REPL until the session ends. Under the GIL. */
void kpy_repl_run(struct kpy_session *s);
extern const size_t kpy_readline_size;
#endif
