// SPDX-License-Identifier: GPL-2.0-or-later
/* Struct, a type; StructPtr, an address of that type whose attributes are the members. */
#ifndef NO_QSTR
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "structs/lookup.h"
#include "structs/object.h"

#ifndef NO_QSTR
mp_obj_t kpy_struct_new(struct kpy_ctype type)
{
	kpy_struct_t *s = mp_obj_malloc(kpy_struct_t, &kpy_type_struct);

	s->type = type;
	return MP_OBJ_FROM_PTR(s);
}

mp_obj_t kpy_struct_ptr_new(struct kpy_ctype type, uintptr_t value)
{
	kpy_ptr_t *p = mp_obj_malloc(kpy_ptr_t, &kpy_type_struct_ptr);

	p->type = type;
	p->value = value;
	return MP_OBJ_FROM_PTR(p);
}

static void print_struct(const mp_print_t *print, struct kpy_ctype type)
{
	struct kpy_cinfo info;

	kpy_ctype_get(type, &info);
	mp_printf(print, "Struct(%u, '%s', ...)", info.size * 8, info.name);
}

static void struct_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	print_struct(print, ((kpy_struct_t *)MP_OBJ_TO_PTR(self_in))->type);
}

static mp_obj_t struct_call(mp_obj_t self_in, size_t n_args, size_t n_kw, const mp_obj_t *args)
{
	const kpy_struct_t *self = MP_OBJ_TO_PTR(self_in);

	mp_arg_check_num(n_args, n_kw, 1, 1, false);
	return kpy_struct_ptr_new(self->type,
				  args[0] == mp_const_none ? 0 : kpy_to_address(args[0]));
}

static bool same_type(struct kpy_ctype a, struct kpy_ctype b)
{
	return a.in == b.in && a.id == b.id;
}

static mp_obj_t struct_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	const kpy_struct_t *a = MP_OBJ_TO_PTR(lhs), *b = MP_OBJ_TO_PTR(rhs);

	if (op != MP_BINARY_OP_EQUAL)
		return MP_OBJ_NULL;
	return mp_obj_new_bool(mp_obj_is_exact_type(rhs, &kpy_type_struct) &&
			       same_type(a->type, b->type));
}

static mp_obj_t struct_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	const kpy_struct_t *self = MP_OBJ_TO_PTR(self_in);

	switch (op) {
	case MP_UNARY_OP_BOOL:
		return mp_const_true;
	case MP_UNARY_OP_HASH:
		return MP_OBJ_NEW_SMALL_INT(self->type.id);
	default:
		return MP_OBJ_NULL;
	}
}

static bool add_name(const struct kpy_cmember *m, u32 bit_offset, void *list)
{
	mp_obj_list_append(MP_OBJ_FROM_PTR(list), mp_obj_new_str(m->name, strlen(m->name)));
	return false;
}

static mp_obj_t field_names(struct kpy_ctype type)
{
	mp_obj_t list = mp_obj_new_list(0, NULL);

	kpy_fields_walk(type, add_name, MP_OBJ_TO_PTR(list));
	return list;
}

static mp_obj_t struct_name(struct kpy_ctype type)
{
	struct kpy_cinfo info;

	kpy_ctype_get(type, &info);
	return mp_obj_new_str(info.name, strlen(info.name));
}

static mp_obj_t struct_kind(struct kpy_ctype type)
{
	struct kpy_cinfo info;

	kpy_ctype_get(type, &info);
	return MP_OBJ_NEW_QSTR(info.kind == KPY_C_UNION ? MP_QSTR_union : MP_QSTR_struct);
}

static mp_obj_t size_object(struct kpy_ctype type)
{
	return mp_obj_new_int_from_uint(kpy_ctype_size(type));
}

static mp_obj_t struct_source(struct kpy_ctype type)
{
	const char *name = kpy_source_name(type);

	return mp_obj_new_str(name, strlen(name));
}

#define TYPE_OF(o) (((kpy_struct_t *)MP_OBJ_TO_PTR(o))->type)
#else
#define TYPE_OF(o) 0
#define struct_print 0
#define struct_call 0
#define struct_unary_op 0
#define struct_binary_op 0
#define field_names(t) MP_OBJ_NULL
#define struct_name(t) MP_OBJ_NULL
#define struct_kind(t) MP_OBJ_NEW_QSTR(MP_QSTR_union), MP_OBJ_NEW_QSTR(MP_QSTR_struct)
#define size_object(t) MP_OBJ_NULL
#define struct_source(t) MP_OBJ_NULL
#endif

/* name, kind ("struct" or "union"), size in bytes, source ("plugin" or "btf"), fields: names. */
static void struct_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
	if (dest[0] != MP_OBJ_NULL)
		return;
	switch (attr) {
	case MP_QSTR_name:
		dest[0] = struct_name(TYPE_OF(self_in));
		break;
	case MP_QSTR_kind:
		dest[0] = struct_kind(TYPE_OF(self_in));
		break;
	case MP_QSTR_size:
		dest[0] = size_object(TYPE_OF(self_in));
		break;
	case MP_QSTR_source:
		dest[0] = struct_source(TYPE_OF(self_in));
		break;
	case MP_QSTR_fields:
		dest[0] = field_names(TYPE_OF(self_in));
		break;
	}
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_struct, MP_QSTR_Struct, MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE, print,
			 struct_print, call, struct_call, unary_op, struct_unary_op, binary_op,
			 struct_binary_op, attr, struct_attr);

#ifndef NO_QSTR
static void ptr_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);
	char name[24];

	if (IS_ERR_VALUE(self->value)) {
		/* "-ENOENT", or the number when it has no name */
		snprintf(name, sizeof(name), "%pe", (void *)self->value);
		mp_printf(print, "StructPtr(ERR_PTR(%s), ", name);
	} else {
		mp_printf(print, "StructPtr(0x%lx, ", (unsigned long)self->value);
	}
	print_struct(print, self->type);
	mp_print_str(print, ")");
}

static mp_obj_t ptr_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	return kpy_address_unary_op(op, ((kpy_ptr_t *)MP_OBJ_TO_PTR(self_in))->value);
}

static mp_obj_t ptr_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	return kpy_address_binary_op(op, ((kpy_ptr_t *)MP_OBJ_TO_PTR(lhs))->value, rhs);
}

static noinline void null_deref(struct kpy_ctype type, qstr attr)
{
	struct kpy_cinfo info;

	kpy_ctype_get(type, &info);
	mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("NULL deref! %s.%s"), info.name,
			  qstr_str(attr));
}

static noinline void is_const(struct kpy_ctype type, qstr attr)
{
	struct kpy_cinfo info;

	kpy_ctype_get(type, &info);
	mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("%s.%s is const"), info.name,
			  qstr_str(attr));
}

static noinline void no_member(struct kpy_ctype type, qstr attr)
{
	struct kpy_cinfo info;

	kpy_ctype_get(type, &info);
	if (info.incomplete || !info.count)
		mp_raise_msg_varg(&mp_type_AttributeError,
				  MP_ERROR_TEXT("the members of %s %s are not known"),
				  info.kind == KPY_C_UNION ? "union" : "struct", info.name);
	mp_raise_msg_varg(&mp_type_AttributeError, MP_ERROR_TEXT("%s %s has no member '%s'"),
			  info.kind == KPY_C_UNION ? "union" : "struct", info.name, qstr_str(attr));
}

static mp_obj_t type_text(struct kpy_ctype type)
{
	char buf[128];
	struct kpy_text text = { buf, sizeof(buf) };

	kpy_ctype_declare(&text, type, "");
	return mp_obj_new_str(buf, min(text.len, sizeof(buf) - 1));
}

struct kpy_ctype kpy_struct_complete(struct kpy_ctype type)
{
	struct kpy_cinfo info;
	struct kpy_ctype found;
	char name[KPY_C_NAME_MAX + 8];

	kpy_ctype_get(type, &info);
	if (!info.incomplete || !*info.name)
		return type;
	snprintf(name, sizeof(name), "%s %s", info.kind == KPY_C_UNION ? "union" : "struct",
		 info.name);
	found = kpy_lookup_record(name, NULL);
	return found.in ? found : type;
}
#else
#define ptr_print 0
#define ptr_unary_op 0
#define ptr_binary_op 0
#endif

static void ptr_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest)
{
#ifdef NO_QSTR
	MP_QSTR_type, MP_QSTR___struct__;
#else
	kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);
	const struct kpy_field *f = kpy_field_of(self->type, attr);
	struct kpy_place place = { self->type, qstr_str(attr) };

	if (unlikely(!f)) {
		self->type = kpy_struct_complete(self->type);
		f = kpy_field_of(self->type, attr);
		place.record = self->type;
	}
	if (unlikely(!f)) {
		if (dest[0] == MP_OBJ_NULL && attr == MP_QSTR_type)
			dest[0] = type_text(self->type);
		else if (dest[0] == MP_OBJ_NULL && attr == MP_QSTR___struct__)
			dest[0] = kpy_struct_new(self->type);
		else if (strncmp(place.member, "__", 2))
			no_member(self->type, attr);
		return;
	}
	if (dest[0] != MP_OBJ_NULL && dest[1] == MP_OBJ_NULL)
		return; /* members cannot be deleted */
	if (unlikely(!self->value))
		null_deref(self->type, attr);
	if (dest[0] == MP_OBJ_NULL) {
		dest[0] = kpy_field_load(f, self->value, &place);
		return;
	}
	if (f->constant)
		is_const(self->type, attr);
	kpy_field_store(f, self->value, dest[1], &place);
	dest[0] = MP_OBJ_NULL;
#endif
}

/* p[i]: the i-th struct behind this one, as in C. */
static mp_obj_t ptr_subscr(mp_obj_t self_in, mp_obj_t index, mp_obj_t value)
{
#ifndef NO_QSTR
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(self_in);

	if (value != MP_OBJ_SENTINEL || !mp_obj_is_int(index))
		return MP_OBJ_NULL;
	return kpy_struct_ptr_new(self->type,
				  self->value + mp_obj_get_int(index) * kpy_ctype_size(self->type));
#endif
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_struct_ptr, MP_QSTR_StructPtr, MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE,
			 print, ptr_print, unary_op, ptr_unary_op, binary_op, ptr_binary_op, attr,
			 ptr_attr, subscr, ptr_subscr);
