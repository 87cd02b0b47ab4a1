/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Evaluation on behalf of a debugger that has stopped the guest: it fills in the
 * mailbox, calls kpy_debug_eval() on the stack kept here for it, and reads the answer.
 */
#pragma once
#ifndef NO_QSTR
#include <linux/types.h>

#define KPY_MAILBOX_SOURCE (64 << 10)
#define KPY_MAILBOX_RESULT (64 << 10)
#define KPY_MAILBOX_OUTPUT (64 << 10)

enum { KPY_MAILBOX_IDLE, KPY_MAILBOX_BUSY, KPY_MAILBOX_DONE };
enum { KPY_EVAL_EXPRESSION, KPY_EVAL_STATEMENTS };
enum { KPY_EVAL_OK, KPY_EVAL_EXCEPTION, KPY_EVAL_REFUSED };

/* Text that may be longer than its buffer. */
struct kpy_mailbox_text {
	u64 len; /* bytes in the buffer */
	u64 total; /* bytes there were */
};

struct kpy_mailbox {
	u32 state;
	u32 kind;
	u32 status;
	u32 timeout_ms;
	u64 source_len;
	struct kpy_mailbox_text result_text, output_text;
	char source[KPY_MAILBOX_SOURCE];
	char result[KPY_MAILBOX_RESULT];
	char output[KPY_MAILBOX_OUTPUT];
};

extern struct kpy_mailbox *kpy_mailbox;
extern u64 kpy_debug_stack_top;

int kpy_debug_init(void);
void kpy_debug_exit(void);

void kpy_debug_eval(void);
/*
 * For a debugger that took the CPU out of kpy_debug_eval() before it returned, because it
 * faulted or ran on in C: gives the GIL back. Does nothing when there is nothing to do.
 */
void kpy_debug_abort(void);
/* Where a debugger's call of kpy_debug_eval() returns to; a breakpoint is there. */
void kpy_debug_return(void);
/* Output of the code that kpy_debug_eval() runs. */
void kpy_debug_output(const char *s, size_t n);
#endif
