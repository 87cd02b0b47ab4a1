// SPDX-License-Identifier: GPL-2.0-or-later
/* Values of enums: ints that know the name of their constant. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "structs/object.h"

#ifndef NO_QSTR
typedef struct {
	mp_obj_base_t base;
	struct kpy_ctype type;
	long value;
} enum_value_t;

mp_obj_t kpy_enum_value_new(struct kpy_ctype type, long value)
{
	enum_value_t *o = mp_obj_malloc(enum_value_t, &kpy_type_enum_value);

	o->type = type;
	o->value = value;
	return MP_OBJ_FROM_PTR(o);
}

static mp_obj_t as_int(const enum_value_t *self)
{
	struct kpy_cinfo info;

	kpy_ctype_get(self->type, &info);
	return info.is_signed ? mp_obj_new_int(self->value) : mp_obj_new_int_from_uint(self->value);
}

/* The first constant of that value; NULL: there is none. */
static const char *constant_name(const enum_value_t *self)
{
	struct kpy_ctype t = self->type;
	struct kpy_cinfo info;
	s64 value;

	kpy_ctype_get(t, &info);
	for (u32 i = 0; t.in->constant && i < info.count; i++) {
		const char *name = t.in->constant(t.in, t.id, i, &value);

		if (!name)
			return NULL;
		if (value == self->value)
			return name;
	}
	return NULL;
}

static void enum_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	const enum_value_t *self = MP_OBJ_TO_PTR(self_in);
	const char *name = kind == PRINT_REPR ? constant_name(self) : NULL;

	mp_obj_print_helper(print, as_int(self), PRINT_REPR);
	if (name)
		mp_printf(print, " (%s)", name);
}

static mp_obj_t enum_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	mp_obj_t value = as_int(MP_OBJ_TO_PTR(self_in));

	return op == MP_UNARY_OP_INT_MAYBE ? value : mp_unary_op(op, value);
}

static mp_obj_t enum_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	mp_obj_t value = as_int(MP_OBJ_TO_PTR(lhs));

	if (mp_obj_is_exact_type(rhs, &kpy_type_enum_value))
		rhs = as_int(MP_OBJ_TO_PTR(rhs));
	if (op >= MP_BINARY_OP_REVERSE_OR && op <= MP_BINARY_OP_REVERSE_POWER)
		return mp_binary_op(op - (MP_BINARY_OP_REVERSE_OR - MP_BINARY_OP_OR), rhs, value);
	return mp_obj_is_int(rhs) ? mp_binary_op(op, value, rhs) : MP_OBJ_NULL;
}

static mp_obj_t name_object(mp_obj_t self_in)
{
	const char *name = constant_name(MP_OBJ_TO_PTR(self_in));

	return name ? mp_obj_new_str(name, strlen(name)) : mp_const_none;
}
#else
#define enum_print 0
#define enum_unary_op 0
#define enum_binary_op 0
#define name_object(o) o
#endif

/* .name: the constant's, None when no constant has that value; .value: a plain int. */
static void enum_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
	if (dest[0] != MP_OBJ_NULL)
		return;
	if (attr == MP_QSTR_name)
		dest[0] = name_object(self_in);
	else if (attr == MP_QSTR_value)
		dest[0] = mp_unary_op(MP_UNARY_OP_INT_MAYBE, self_in);
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_enum_value, MP_QSTR_EnumValue, MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE,
			 print, enum_print, unary_op, enum_unary_op, binary_op, enum_binary_op,
			 attr, enum_attr);
