// SPDX-License-Identifier: GPL-2.0-or-later
/* KernelFault: the exception that a fault of a called function becomes. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/mperrno.h"
#include "py/objexcept.h"
#include "py/objstr.h"
#include "py/objtuple.h"
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"
#include "ffi/guard.h"

/*
 * Its args are (EFAULT, text, kind, address, ip, backtrace, call): the first two as those of
 * any OSError. Python code may make one with fewer.
 */
enum { ERRNO, TEXT, KIND, ADDRESS, IP, BACKTRACE, CALL, N_ARGS };

static int index_of(qstr attr)
{
	switch (attr) {
	case MP_QSTR_kind:
		return KIND;
	case MP_QSTR_address:
		return ADDRESS;
	case MP_QSTR_ip:
		return IP;
	case MP_QSTR_backtrace:
		return BACKTRACE;
	case MP_QSTR_call:
		return CALL;
	default:
		return -1;
	}
}

static void fault_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
	mp_obj_exception_t *self = MP_OBJ_TO_PTR(self_in);
	int i = index_of(attr);

	if (i < 0)
		mp_obj_exception_attr(self_in, attr, dest);
	else if (dest[0] == MP_OBJ_NULL && self->args && i < self->args->len)
		dest[0] = self->args->items[i];
}

static void fault_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	mp_obj_exception_t *self = MP_OBJ_TO_PTR(self_in);

	if (!self->args || self->args->len < N_ARGS) {
		mp_obj_exception_print(print, self_in, kind);
		return;
	}
	if (kind & PRINT_EXC_SUBCLASS)
		mp_printf(print, "%q: ", self->base.type->name);
	else if (kind == PRINT_REPR || kind == PRINT_EXC)
		mp_printf(print, kind == PRINT_EXC ? "%q: " : "%q(", MP_QSTR_KernelFault);
	mp_obj_print_helper(print, self->args->items[TEXT],
			    kind == PRINT_REPR ? PRINT_REPR : PRINT_STR);
	if (kind == PRINT_REPR)
		mp_print_str(print, ")");
}

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(kpy_type_KernelFault, MP_QSTR_KernelFault, MP_TYPE_FLAG_NONE,
	make_new, mp_obj_exception_make_new, print, fault_print, attr, fault_attr,
	parent, &mp_type_OSError);
/* clang-format on */

#ifndef NO_QSTR
#define ARG_TEXT_MAX 40 /* characters of a string argument that are shown */

static const char *const kinds[] = {
	[KPY_FAULT_NULL] = "NULL dereference",
	[KPY_FAULT_PAGE] = "page fault",
	[KPY_FAULT_USER] = "user access",
	[KPY_FAULT_EXEC] = "jump",
	[KPY_FAULT_GP] = "general protection fault",
	[KPY_FAULT_BUG] = "BUG",
	[KPY_FAULT_OPCODE] = "invalid opcode",
	[KPY_FAULT_DIVIDE] = "divide error",
	[KPY_FAULT_STACK] = "stack overflow",
	[KPY_FAULT_OTHER] = "fault",
};

static mp_obj_t text(const char *s)
{
	return mp_obj_new_str(s, strlen(s));
}

/* An argument as one would write it; what is no number or text by its address. */
static void print_arg(const mp_print_t *print, mp_obj_t o)
{
	unsigned long word = 0;
	size_t len;

	if (mp_obj_is_str_or_bytes(o)) {
		mp_obj_str_get_data(o, &len);
		if (len > ARG_TEXT_MAX) {
			mp_obj_t part = mp_obj_new_bytes((const byte *)mp_obj_str_get_data(o, &len),
							 ARG_TEXT_MAX);

			mp_obj_print_helper(print, part, PRINT_REPR);
			mp_print_str(print, "...");
			return;
		}
	} else if (mp_obj_is_exact_type(o, &kpy_type_symbol)) {
		mp_obj_print_helper(print, ((kpy_symbol_t *)MP_OBJ_TO_PTR(o))->name, PRINT_STR);
		return;
	} else if (o != mp_const_none && !mp_obj_is_bool(o) && kpy_to_word(o, &word)) {
		mp_printf(print, (long)word < 10 && (long)word > -4096 ? "%ld" : "0x%lx", word);
		return;
	}
	mp_obj_print_helper(print, o, PRINT_REPR);
}

static mp_obj_t call_text(mp_obj_t name, size_t n, const mp_obj_t *args)
{
	mp_print_t print;
	vstr_t s;

	vstr_init_print(&s, 64, &print);
	mp_obj_print_helper(&print, name, PRINT_STR);
	for (size_t i = 0; i < n; i++) {
		mp_print_str(&print, i ? ", " : "(");
		print_arg(&print, args[i]);
	}
	mp_print_str(&print, n ? ")" : "()");
	return mp_obj_new_str_from_vstr(&s);
}

static mp_obj_t backtrace_of(const struct kpy_fault *f, const char *at)
{
	mp_obj_t list = mp_obj_new_list(0, NULL);

	for (unsigned int i = 0; i < f->n_trace; i++) {
		mp_obj_list_append(list, text(at));
		at += strlen(at) + 1;
	}
	if (f->cut)
		mp_obj_list_append(list, text("..."));
	return list;
}

static mp_obj_t message(const struct kpy_fault *f, const char *what, mp_obj_t backtrace,
			mp_obj_t call)
{
	mp_print_t print;
	vstr_t s;
	mp_obj_t *items;
	size_t n;

	vstr_init_print(&s, 256, &print);
	mp_printf(&print, "%s\n  in the call %s\n", what, mp_obj_str_get_str(call));
	mp_obj_list_get(backtrace, &n, &items);
	for (size_t i = 0; i < n; i++)
		mp_printf(&print, "    %s\n", mp_obj_str_get_str(items[i]));
	if (*f->text)
		mp_printf(&print, "  still locked: %s", f->text);
	else if (IS_ENABLED(CONFIG_LOCKDEP))
		mp_print_str(&print, "  it held no lock");
	else
		mp_print_str(&print, "  what the callee locked stays locked");
	return mp_obj_new_str_from_vstr(&s);
}

static mp_obj_t new_fault(const struct kpy_fault *f, mp_obj_t name, size_t n, const mp_obj_t *args)
{
	const char *what = f->text + strlen(f->text) + 1;
	mp_obj_t items[N_ARGS];

	items[ERRNO] = MP_OBJ_NEW_SMALL_INT(MP_EFAULT);
	items[KIND] = text(kinds[f->kind]);
	items[ADDRESS] = f->has_address ? mp_obj_new_int_from_uint(f->address) : mp_const_none;
	items[IP] = mp_obj_new_int_from_uint(f->ip);
	items[CALL] = call_text(name, n, args);
	items[BACKTRACE] = backtrace_of(f, what + strlen(what) + 1);
	items[TEXT] = message(f, what, items[BACKTRACE], items[CALL]);
	return mp_obj_new_exception_args(&kpy_type_KernelFault, N_ARGS, items);
}

void kpy_raise_kernel_fault(struct kpy_entry *e, mp_obj_t name, size_t n, const mp_obj_t *args)
{
	struct kpy_fault *f = e->fault;
	mp_obj_t exception;
	nlr_buf_t nlr;

	e->fault = NULL;
	if (nlr_push(&nlr) == 0) {
		exception = new_fault(f, name, n, args);
		nlr_pop();
	} else { /* no memory */
		exception = MP_OBJ_FROM_PTR(nlr.ret_val);
	}
	kpy_fault_put(f);
	nlr_raise(exception);
}
#else
#define kpy_guard_on 0
#endif

/* guard([on]): whether faults of called functions become exceptions; sets it first. */
static mp_obj_t switch_guard(size_t n_args, const mp_obj_t *args)
{
#ifndef NO_QSTR
	if (n_args)
		kpy_guard_on = mp_obj_is_true(args[0]);
#endif
	return mp_obj_new_bool(kpy_guard_on);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_guard_obj, 0, 1, switch_guard);
