/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interpreter's death and its next life: see kmod/restart.c. */
#pragma once

struct kpy_session;

/* Ends the interpreter's life and leaves Python; `why` is a constant text. Under the GIL. */
void kpy_interpreter_failed(const char *why);
/* Waits, for a session that has left Python, until there is an interpreter. Under the GIL, given up. */
void kpy_restart_wait(struct kpy_session *s);
/* No restart is under way any more. */
void kpy_restart_exit(void);
