// SPDX-License-Identifier: GPL-2.0-or-later
/* Registers: the struct pt_regs of a probe, for as long as its handler runs. */
#ifndef NO_QSTR
#include <linux/ptrace.h>
#include <linux/stddef.h>
#endif
#include "py/objstr.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

/* Names of the kernel's struct, and of the architecture. */
/* clang-format off */
#define FIELDS(F) \
	F(r15, r15) F(r14, r14) F(r13, r13) F(r12, r12) F(bp, bp) F(rbp, bp) F(bx, bx) F(rbx, bx) \
	F(r11, r11) F(r10, r10) F(r9, r9) F(r8, r8) F(ax, ax) F(rax, ax) F(cx, cx) F(rcx, cx) \
	F(dx, dx) F(rdx, dx) F(si, si) F(rsi, si) F(di, di) F(rdi, di) F(ip, ip) F(rip, ip) \
	F(flags, flags) F(eflags, flags) F(sp, sp) F(rsp, sp)
/* clang-format on */

#ifdef NO_QSTR
#define NAME(name, member) MP_QSTR_##name,
static const qstr names[] = { FIELDS(NAME) MP_QSTR_pt_regs };
#else
#include "entry.h"

typedef struct {
	mp_obj_base_t base;
	struct pt_regs *regs;
	struct kpy_invocation *of; /* the invocation whose they are, */
	unsigned long serial; /* which is another one at the same place if it has another */
} registers_t;

static const struct {
	qstr_short_t name;
	unsigned char offset;
} fields[] = {
#define FIELD(name, member) { MP_QSTR_##name, offsetof(struct pt_regs, member) },
	FIELDS(FIELD)
};

mp_obj_t kpy_registers_new(struct kpy_invocation *inv)
{
	registers_t *o = mp_obj_malloc(registers_t, &kpy_type_registers);

	o->regs = inv->regs;
	o->of = inv;
	o->serial = inv->serial;
	return MP_OBJ_FROM_PTR(o);
}

/* Raises ValueError once the handler has returned: the registers are another's then. */
static struct pt_regs *registers(mp_obj_t self)
{
	registers_t *o = MP_OBJ_TO_PTR(self);
	struct kpy_invocation *inv = kpy_current->invocation;

	if (inv != o->of || inv->serial != o->serial)
		mp_raise_ValueError(
			MP_ERROR_TEXT("these registers are gone: their handler is over"));
	return o->regs;
}

bool kpy_registers_pointer(mp_obj_t o, unsigned long *address)
{
	if (!mp_obj_is_exact_type(o, &kpy_type_registers))
		return false;
	*address = (unsigned long)registers(o);
	return true;
}

static void attr(mp_obj_t self, qstr name, mp_obj_t *dest)
{
	unsigned long *field = NULL, word;
	struct pt_regs *regs;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fields) && !field; i++) {
		if (fields[i].name == name) {
			regs = registers(self);
			field = (void *)regs + fields[i].offset;
		}
	}
	if (!field)
		return;
	if (dest[0] == MP_OBJ_NULL) {
		dest[0] = mp_obj_new_int_from_uint(*field);
		return;
	}
	if (dest[1] == MP_OBJ_NULL)
		return;
	if (kpy_current->invocation->hook->kind->watches)
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("KP_REGS_WATCH does not change registers"));
	if (mp_obj_is_str_or_bytes(dest[1]) || !kpy_to_word(dest[1], &word))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("cannot store '%s'"),
				  mp_obj_get_type_str(dest[1]));
	*field = word;
	dest[0] = MP_OBJ_NULL;
}

static void print(const mp_print_t *p, mp_obj_t self, mp_print_kind_t kind)
{
	mp_printf(p, "<pt_regs at 0x%lx>",
		  (unsigned long)((registers_t *)MP_OBJ_TO_PTR(self))->regs);
}

static mp_obj_t unary_op(mp_unary_op_t op, mp_obj_t self)
{
	if (op == MP_UNARY_OP_INT_MAYBE)
		return mp_obj_new_int_from_uint((unsigned long)registers(self));
	return MP_OBJ_NULL;
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_registers, MP_QSTR_pt_regs, MP_TYPE_FLAG_NONE, print, print, attr,
			 attr, unary_op, unary_op);
#endif
