/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Evaluation on behalf of a debugger. In the frozen guest (eval.c): it fills in a mailbox, starts
 * kpy_debug_start() on the stack kept here for it, and reads the answer. In the running guest
 * (run.c): it fills in another, calls kpy_debug_run(), which only kicks a thread of ours, lets the
 * guest go on, and has it back when that thread comes to kpy_debug_run_done().
 */
#pragma once
#include "py/obj.h"
#ifndef NO_QSTR
#include <linux/types.h>

#define KPY_MAILBOX_SOURCE (1 << 20)
#define KPY_MAILBOX_RESULT (64 << 10)
#define KPY_MAILBOX_OUTPUT (64 << 10)

enum { KPY_MAILBOX_IDLE, KPY_MAILBOX_BUSY, KPY_MAILBOX_DONE, KPY_MAILBOX_POSTED };
enum { KPY_EVAL_EXPRESSION, KPY_EVAL_STATEMENTS };
enum { KPY_EVAL_OK, KPY_EVAL_EXCEPTION, KPY_EVAL_REFUSED };
/* Flags: */
#define KPY_EVAL_KEEP 1 /* the value, as a result with a number */
#define KPY_EVAL_UNSAFE 2 /* calls of kernel functions in the frozen guest */
/* What else the value is: its address, or number, as a C program has it. */
enum { KPY_VALUE_NONE, KPY_VALUE_SIGNED, KPY_VALUE_UNSIGNED, KPY_VALUE_OTHER };

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
	u32 flags;
	u32 value_kind;
	u64 value;
	u64 kept; /* the number under which the value is kept; 0: it is not */
	u64 source_len;
	struct kpy_mailbox_text result_text, output_text;
	char value_type[64]; /* "task_struct", when it is a pointer to one */
	union {
		char source[KPY_MAILBOX_SOURCE];
		/* Written when the source is compiled; here, a short one is read with what is above. */
		char result[KPY_MAILBOX_RESULT];
	};
	char output[KPY_MAILBOX_OUTPUT];
};

/*
 * What the vCPU was doing that a debugger took for its call: kept here by the debugger, so that
 * another one can put it back if that one dies in the middle.
 */
struct kpy_rescue {
	u32 taken; /* 1: the vCPU is in a call */
	u32 thread; /* the gdbstub's number of the vCPU */
	u32 narrow; /* it ran 32-bit code */
	u32 preempt_count;
	u64 preempt_at;
	u32 reserved;
	u32 size;
	u8 registers[2040]; /* as the gdbstub sends them */
};

struct kpy_entry;

extern struct kpy_rescue kpy_rescue;
extern struct kpy_mailbox *kpy_mailbox, *kpy_run_mailbox;
extern u64 kpy_debug_stack_top;

int kpy_debug_init(void);
void kpy_debug_exit(void);

/* return.S: calls kpy_debug_eval(). */
void kpy_debug_start(void);
void kpy_debug_eval(void);
/*
 * For a debugger that took the CPU out of kpy_debug_eval() before it returned, because it
 * faulted or ran on in C: gives the GIL back. Does nothing when there is nothing to do.
 */
void kpy_debug_abort(void);
/* Where a debugger's call returns to; a breakpoint is there. */
void kpy_debug_return(void);

/* evaluate.c: the source of a mailbox, in an entry that holds the GIL; fills in the answer. */
void kpy_debug_evaluate(struct kpy_entry *e, struct kpy_mailbox *mb);
/* Raises RuntimeError where the code must not call the kernel: another CPU may hold its locks. */
void kpy_debug_check_call(const struct kpy_entry *e, const char *name);
void kpy_debug_refuse(struct kpy_mailbox *mb, const char *why);
/* Output of code that a debugger runs. */
void kpy_debug_output(struct kpy_mailbox *mb, const char *s, size_t n);

/* results.c: keeps a value until the interpreter's end or kpy_debug_forget(); its number. */
u64 kpy_debug_keep(mp_obj_t value);

/* run.c */
int kpy_debug_run_init(void);
/* Ends what runs, and the thread. -EBUSY: it is in a call that does not return. */
int kpy_debug_run_stop(unsigned long until);
/* Lets it run code again after that. */
void kpy_debug_run_allow(void);
void kpy_debug_run_exit(void);
/* For the debugger, on any CPU in any state: they only kick. */
void kpy_debug_run(void);
void kpy_debug_run_interrupt(void);
/* A debugger's breakpoint is here: the answer is in the mailbox. */
void kpy_debug_run_done(void);
#endif
extern const struct _mp_obj_fun_builtin_var_t kpy_debug_result_obj;
