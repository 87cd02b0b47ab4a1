// SPDX-License-Identifier: GPL-2.0-or-later
/* Ptr objects, and error codes in pointers. */
#ifndef NO_QSTR
#include <linux/err.h>
#include <linux/kernel.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/pointer.h"
#include "ffi/prototype.h"
#include "structs/object.h"

#ifdef NO_QSTR
typedef struct {
	mp_obj_base_t base;
	uintptr_t value;
} kpy_ptr_t;
#define IS_ERR_VALUE(x) 0
#define type_name(self) mp_const_none
#define ptr_print 0
#else

mp_obj_t kpy_ptr_new(struct kpy_ctype type, uintptr_t value)
{
	kpy_ptr_t *p = mp_obj_malloc(kpy_ptr_t, &kpy_type_ptr);

	p->type = type;
	p->value = value;
	return MP_OBJ_FROM_PTR(p);
}

static size_t put_type(const kpy_ptr_t *self, char *buf, size_t size)
{
	struct kpy_text text = { buf, size };

	kpy_ctype_declare(&text, self->type, "");
	return min(text.len, size - 1);
}

static mp_obj_t type_name(const kpy_ptr_t *self)
{
	char buf[128];
	size_t n = put_type(self, buf, sizeof(buf));

	return mp_obj_new_str(buf, n);
}

static void ptr_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);
	char buf[128];

	put_type(self, buf, sizeof(buf));
	mp_printf(print, "Ptr(<%s>, ", buf);
	if (IS_ERR_VALUE(self->value)) {
		char name[24];

		/* "-ENOENT", or the number when it has no name */
		snprintf(name, sizeof(name), "%pe", (void *)self->value);
		mp_printf(print, "ERR_PTR(%s))", name);
	} else {
		mp_printf(print, "0x%lx)", (unsigned long)self->value);
	}
}
#endif

static mp_obj_t ptr_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);

	switch (op) {
	case MP_UNARY_OP_INT_MAYBE:
		return mp_obj_new_int_from_uint(self->value);
	default:
		return kpy_address_unary_op(op, self->value);
	}
}

static mp_obj_t ptr_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(lhs);

	return kpy_address_binary_op(op, self->value, rhs);
}

#ifndef NO_QSTR
/* A function is called through its pointer with the checks of its prototype. */
static mp_obj_t ptr_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);
	struct kpy_proto proto, *known = NULL;
	mp_obj_t name = type_name(self);

	mp_arg_check_num(n_args, n_kw, 0, 12, false);
	if (!self->value)
		mp_raise_ValueError(MP_ERROR_TEXT("NULL deref! call of a null pointer"));
	if (kpy_proto_of_type(&proto, self->type))
		known = &proto;
	if (!known || !kpy_is_text(self->value))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("0x%lx (%s) is no function"),
				  (unsigned long)self->value, mp_obj_str_get_str(name));
	return kpy_call(name, self->value, known, n_args, args);
}

/* p[i], as in C. */
static mp_obj_t ptr_subscr(mp_obj_t self_in, mp_obj_t index_in, mp_obj_t value)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);
	struct kpy_place place = { self->type, "[]" };
	u64 size = kpy_ctype_size(self->type);
	uintptr_t address;

	if (value == MP_OBJ_NULL || !mp_obj_is_int(index_in))
		return MP_OBJ_NULL;
	if (!size)
		mp_raise_TypeError(MP_ERROR_TEXT("what this points to has no size"));
	if (!self->value)
		mp_raise_ValueError(MP_ERROR_TEXT("NULL deref! of a pointer"));
	address = self->value + mp_obj_get_int(index_in) * size;
	if (value == MP_OBJ_SENTINEL)
		return kpy_typed_load(self->type, address, 0, 0, &place);
	kpy_typed_store(self->type, address, value, &place);
	return mp_const_none;
}
#else
#define ptr_call 0
#define ptr_subscr 0
#endif

static void ptr_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
	if (dest[0] == MP_OBJ_NULL && attr == MP_QSTR_type)
		dest[0] = type_name(MP_OBJ_TO_PTR(self_in));
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_ptr, MP_QSTR_Ptr, MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE, print,
			 ptr_print, unary_op, ptr_unary_op, binary_op, ptr_binary_op, attr,
			 ptr_attr, call, ptr_call, subscr, ptr_subscr);

/* is_err(p): is this pointer, or int, an error code of the kernel (ERR_PTR)? */
static mp_obj_t is_err(mp_obj_t o)
{
	unsigned long word = kpy_to_address(o);

	return mp_obj_new_bool(IS_ERR_VALUE(word));
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_is_err_obj, is_err);
