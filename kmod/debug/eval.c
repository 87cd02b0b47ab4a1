// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>
#include <asm/tsc.h>
#include "py/compile.h"
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"

#define STACK_SIZE (16UL << 10)
#define PYSTACK_SIZE (64UL << 10)

struct kpy_mailbox *kpy_mailbox;
u64 kpy_debug_stack_top;

static void *stack, *pystack;
static struct kpy_entry entry;

/* Guard pages: each vmalloc area is followed by an unmapped page, and preceded by that of another. */
int kpy_debug_init(void)
{
	kpy_mailbox = vzalloc(sizeof(*kpy_mailbox));
	stack = vmalloc(STACK_SIZE);
	pystack = vmalloc(PYSTACK_SIZE);
	if (!kpy_mailbox || !stack || !pystack) {
		kpy_debug_exit();
		return -ENOMEM;
	}
	/* Touched here, so that no evaluation takes the fault that maps it into the current page table. */
	memset(stack, 0, STACK_SIZE);
	memset(pystack, 0, PYSTACK_SIZE);
	kpy_debug_stack_top = (u64)stack + STACK_SIZE;
	return 0;
}

void kpy_debug_exit(void)
{
	kpy_debug_stack_top = 0;
	vfree(stack);
	vfree(pystack);
	vfree(kpy_mailbox);
	kpy_mailbox = NULL;
}

static void put_text(struct kpy_mailbox_text *text, char *buf, size_t size, const char *s, size_t n)
{
	size_t part = min_t(size_t, n, size - text->len);

	memcpy(buf + text->len, s, part);
	text->len += part;
	text->total += n;
}

void kpy_debug_output(const char *s, size_t n)
{
	put_text(&kpy_mailbox->output_text, kpy_mailbox->output, KPY_MAILBOX_OUTPUT, s, n);
}

static void put_result(void *unused, const char *s, size_t n)
{
	put_text(&kpy_mailbox->result_text, kpy_mailbox->result, KPY_MAILBOX_RESULT, s, n);
}

static const mp_print_t result_print = { NULL, put_result };

static void refuse(const char *why)
{
	put_result(NULL, why, strlen(why));
	kpy_mailbox->status = KPY_EVAL_REFUSED;
}

static void evaluate(struct kpy_mailbox *mb)
{
	bool expression = mb->kind == KPY_EVAL_EXPRESSION;
	mp_lexer_t *lex =
		mp_lexer_new_from_str_len(MP_QSTR__lt_stdin_gt_, mb->source, mb->source_len, 0);
	qstr name = lex->source_name;
	mp_parse_tree_t tree =
		mp_parse(lex, expression ? MP_PARSE_EVAL_INPUT : MP_PARSE_FILE_INPUT);
	mp_obj_t value = mp_call_function_0(mp_compile(&tree, name, false));

	if (expression)
		mp_obj_print_helper(&result_print, value, PRINT_REPR);
	mb->status = KPY_EVAL_OK;
}

/* Printing an exception may run Python (its __str__), and that may raise in its turn. */
static noinline void print_exception(struct kpy_entry *e, void *exception)
{
	static const char gone[] = "TimeoutError: ran too long";
	nlr_buf_t nlr;

	if (!exception) { /* aborted: it caught the TimeoutError and went on */
		put_result(NULL, gone, sizeof(gone) - 1);
		return;
	}
	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		mp_obj_print_exception(&result_print, MP_OBJ_FROM_PTR(exception));
		nlr_pop();
	} else {
		put_result(NULL, "<exception cannot be printed>", 29);
	}
}

static noinline void run(struct kpy_mailbox *mb)
{
	struct kpy_entry *e = &entry;
	nlr_buf_t nlr;

	kpy_entry_init(e, KPY_DEBUG, NULL);
	kpy_entry_set_stack(e, (unsigned long)stack, __builtin_frame_address(0));
	kpy_entry_set_pystack(e, pystack, PYSTACK_SIZE);
	if (!kpy_gil_try_enter(e)) {
		refuse("the GIL is held");
		return;
	}
	if (mb->timeout_ms)
		e->deadline = rdtsc() + (u64)tsc_khz * mb->timeout_ms;
	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		evaluate(mb);
		nlr_pop();
	} else {
		mb->result_text.len = mb->result_text.total = 0;
		mb->status = KPY_EVAL_EXCEPTION;
		print_exception(e, nlr.ret_val);
	}
	kpy_gil_leave(e);
}

void kpy_debug_eval(void)
{
	struct kpy_mailbox *mb = kpy_mailbox;

	mb->state = KPY_MAILBOX_BUSY;
	memset(&mb->result_text, 0, sizeof(mb->result_text));
	memset(&mb->output_text, 0, sizeof(mb->output_text));
	if (!READ_ONCE(kpy_ready))
		refuse("the interpreter is not running");
	else if (mb->source_len > KPY_MAILBOX_SOURCE)
		refuse("the source is too long");
	else
		run(mb);
	mb->state = KPY_MAILBOX_DONE;
}

void kpy_debug_abort(void)
{
	if (entry.pprev)
		kpy_gil_leave(&entry);
	if (kpy_mailbox)
		kpy_mailbox->state = KPY_MAILBOX_IDLE;
}
