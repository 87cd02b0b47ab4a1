// SPDX-License-Identifier: GPL-2.0-or-later
/* Running the source in a mailbox, and putting the answer there. */
#include <linux/kernel.h>
#include <linux/string.h>
#include "py/compile.h"
#include "py/objint.h"
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"
#include "ffi/ffi.h"
#include "structs/object.h"

static void put_text(struct kpy_mailbox_text *text, char *buf, size_t size, const char *s, size_t n)
{
	size_t part = min_t(size_t, n, size - text->len);

	memcpy(buf + text->len, s, part);
	text->len += part;
	text->total += n;
}

void kpy_debug_output(struct kpy_mailbox *mb, const char *s, size_t n)
{
	put_text(&mb->output_text, mb->output, KPY_MAILBOX_OUTPUT, s, n);
}

static void put_result(void *mailbox, const char *s, size_t n)
{
	struct kpy_mailbox *mb = mailbox;

	put_text(&mb->result_text, mb->result, KPY_MAILBOX_RESULT, s, n);
}

void kpy_debug_refuse(struct kpy_mailbox *mb, const char *why)
{
	put_result(mb, why, strlen(why));
	mb->status = KPY_EVAL_REFUSED;
}

void kpy_debug_check_call(const struct kpy_entry *e, const char *name)
{
	if (e->mailbox->flags & KPY_EVAL_UNSAFE)
		return;
	mp_raise_msg_varg(&mp_type_RuntimeError,
			  MP_ERROR_TEXT(
				  "call of %s refused: the guest is frozen; `kpy eval -run` lets "
				  "it run meanwhile, -unsafe calls all the same"),
			  name);
}

/* Is it what a shift leaves of an integer that needs no more bits? */
static bool fits(mp_obj_t number, mp_int_t bits, mp_int_t rest)
{
	mp_obj_t left = mp_binary_op(MP_BINARY_OP_RSHIFT, number, MP_OBJ_NEW_SMALL_INT(bits));

	return left == MP_OBJ_NEW_SMALL_INT(rest);
}

/* The value as a number, for C's expressions; and what struct it is a pointer to. */
static void describe(struct kpy_mailbox *mb, mp_obj_t value)
{
	mp_obj_t number;

	mb->value_kind = KPY_VALUE_OTHER;
	if (value == mp_const_none) {
		mb->value_kind = KPY_VALUE_NONE;
		return;
	}
	if (mp_obj_get_type(value)->flags & MP_TYPE_FLAG_INSTANCE_TYPE)
		return;
	number = mp_unary_op(MP_UNARY_OP_INT_MAYBE, value);
	if (number == MP_OBJ_NULL)
		return;
	if (mp_obj_is_small_int(number)) {
		mb->value = MP_OBJ_SMALL_INT_VALUE(number);
		mb->value_kind = KPY_VALUE_SIGNED;
	} else if (fits(number, 64, 0) || fits(number, 63, -1)) {
		mb->value = kpy_int_to_word(number);
		mb->value_kind = fits(number, 64, 0) ? KPY_VALUE_UNSIGNED : KPY_VALUE_SIGNED;
	}
	if (mp_obj_is_exact_type(value, &kpy_type_struct_ptr)) {
		const char *name = mp_obj_str_get_str(
			mp_load_attr(mp_load_attr(value, MP_QSTR___struct__), MP_QSTR_name));

		strscpy(mb->value_type, name, sizeof(mb->value_type));
	}
}

static void evaluate(struct kpy_mailbox *mb)
{
	const mp_print_t print = { mb, put_result };
	bool expression = mb->kind == KPY_EVAL_EXPRESSION;
	mp_lexer_t *lex =
		mp_lexer_new_from_str_len(MP_QSTR__lt_stdin_gt_, mb->source, mb->source_len, 0);
	qstr name = lex->source_name;
	mp_parse_tree_t tree =
		mp_parse(lex, expression ? MP_PARSE_EVAL_INPUT : MP_PARSE_FILE_INPUT);
	mp_obj_t value = mp_call_function_0(mp_compile(&tree, name, false));

	if (expression) {
		mp_obj_print_helper(&print, value, PRINT_REPR);
		describe(mb, value);
		if (mb->flags & KPY_EVAL_KEEP && value != mp_const_none)
			mb->kept = kpy_debug_keep(value);
	}
	mb->status = KPY_EVAL_OK;
}

/* Printing an exception may run Python (its __str__), and that may raise in its turn. */
static noinline void print_exception(struct kpy_entry *e, struct kpy_mailbox *mb, void *exception)
{
	static const char gone[] = "TimeoutError: ran too long";
	const mp_print_t print = { mb, put_result };
	nlr_buf_t nlr;

	if (!exception) { /* aborted: it caught the TimeoutError and went on */
		put_result(mb, gone, sizeof(gone) - 1);
		return;
	}
	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		mp_obj_print_exception(&print, MP_OBJ_FROM_PTR(exception));
		nlr_pop();
	} else {
		put_result(mb, "<exception cannot be printed>", 29);
	}
}

void kpy_debug_evaluate(struct kpy_entry *e, struct kpy_mailbox *mb)
{
	nlr_buf_t nlr;

	nlr.ret_val = NULL;
	if (nlr_push(&nlr) == 0) {
		e->base = &nlr;
		evaluate(mb);
		nlr_pop();
	} else if (e->epoch == kpy_epoch) {
		mb->result_text.len = mb->result_text.total = 0;
		mb->status = KPY_EVAL_EXCEPTION;
		print_exception(e, mb, nlr.ret_val);
	} else {
		mb->result_text.len = mb->result_text.total = 0;
		kpy_debug_refuse(mb, "the interpreter was started anew meanwhile");
	}
	e->base = NULL;
}
