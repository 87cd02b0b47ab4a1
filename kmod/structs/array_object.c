// SPDX-License-Identifier: GPL-2.0-or-later
/* ArrayPtr: an array in kernel memory. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "structs/object.h"

#ifndef NO_QSTR
mp_obj_t kpy_array_new(struct kpy_ctype element, u32 count, uintptr_t value)
{
	kpy_array_t *a = mp_obj_malloc(kpy_array_t, &kpy_type_array_ptr);

	a->type = element;
	a->count = count;
	a->size = kpy_ctype_size(element);
	a->value = value;
	a->record = (struct kpy_ctype){};
	a->member = 0;
	return MP_OBJ_FROM_PTR(a);
}

static bool is_text(const kpy_array_t *self)
{
	struct kpy_cinfo info;

	kpy_ctype_strip(self->type, &info);
	return info.kind == KPY_C_INT && info.size == 1 && !strcmp(info.name, "char");
}

static void element_text(const kpy_array_t *self, char *buf, size_t size)
{
	struct kpy_text text = { buf, size };

	*buf = 0;
	kpy_ctype_declare(&text, self->type, "");
}

static struct kpy_place place_of(const kpy_array_t *self, long index)
{
	if (self->record.in)
		return (struct kpy_place){ self->record, qstr_str(self->member), true, index };
	return (struct kpy_place){ self->type, NULL, true, index };
}

/* "net_device.name: ", or nothing. */
static const char *prefix_of(const kpy_array_t *self, char *buf, size_t size)
{
	struct kpy_cinfo info;

	*buf = 0;
	if (self->record.in) {
		kpy_ctype_get(self->record, &info);
		snprintf(buf, size, "%s.%s: ", info.name, qstr_str(self->member));
	}
	return buf;
}

static noinline void no_length(const kpy_array_t *self, const char *more)
{
	char prefix[128];

	mp_raise_msg_varg(&mp_type_TypeError,
			  MP_ERROR_TEXT("%sthe length of this array is not known%s"),
			  prefix_of(self, prefix, sizeof(prefix)), more);
}

static noinline void null_array(const kpy_array_t *self)
{
	char prefix[128];

	mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%sNULL deref! of an array"),
			  prefix_of(self, prefix, sizeof(prefix)));
}

/* The text of an array of char, up to its first NUL. */
static mp_obj_t text_of(const kpy_array_t *self)
{
	struct kpy_place place;
	uintptr_t at = self->value, bad;
	u32 left = self->count;
	vstr_t text;

	vstr_init(&text, 32);
	while (left) {
		char piece[64];
		size_t n = min_t(size_t, left, sizeof(piece)), len;

		/* One that may have no end stops at the end of a page, at least. */
		n = min(n, sizeof(piece) - at % sizeof(piece));
		if (kpy_read_range(piece, at, n, &bad)) {
			place = place_of(self, at - self->value);
			kpy_raise_fault_at(bad, &place);
		}
		len = strnlen(piece, n);
		vstr_add_strn(&text, piece, len);
		if (len < n || text.len > (1 << 20))
			break;
		at += n;
		left -= n;
	}
	/* The kernel's text need not be UTF-8. */
	for (size_t i = 0; i < text.len; i++)
		if ((u8)text.buf[i] >= 0x80)
			text.buf[i] = '?';
	return mp_obj_new_str_from_vstr(&text);
}

static void array_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind)
{
	const kpy_array_t *self = MP_OBJ_TO_PTR(self_in);
	char type[96];

	if (kind == PRINT_STR && is_text(self)) {
		mp_obj_print_helper(print, text_of(self), PRINT_STR);
		return;
	}
	element_text(self, type, sizeof(type));
	if (self->count == KPY_C_FLEXIBLE)
		mp_printf(print, "ArrayPtr(0x%lx, ?, <%s>)", (unsigned long)self->value, type);
	else
		mp_printf(print, "ArrayPtr(0x%lx, %u, <%s>)", (unsigned long)self->value,
			  self->count, type);
}

static mp_obj_t array_unary_op(mp_unary_op_t op, mp_obj_t self_in)
{
	const kpy_array_t *self = MP_OBJ_TO_PTR(self_in);

	if (op == MP_UNARY_OP_LEN) {
		if (self->count == KPY_C_FLEXIBLE)
			no_length(self, "");
		return mp_obj_new_int_from_uint(self->count);
	}
	return kpy_address_unary_op(op, self->value);
}

static mp_obj_t array_binary_op(mp_binary_op_t op, mp_obj_t lhs, mp_obj_t rhs)
{
	const kpy_array_t *self = MP_OBJ_TO_PTR(lhs);

	/* As a text it equals a text. */
	if (op == MP_BINARY_OP_EQUAL && mp_obj_is_str(rhs) && is_text(self))
		return mp_obj_new_bool(mp_obj_equal(text_of(self), rhs));
	return kpy_address_binary_op(op, self->value, rhs);
}

static mp_obj_t item(const kpy_array_t *self, mp_uint_t index)
{
	struct kpy_place place;

	if (!self->value)
		null_array(self);
	place = place_of(self, index);
	return kpy_typed_load(self->type, self->value + index * self->size, 0, 0, &place);
}

static mp_uint_t checked_index(const kpy_array_t *self, mp_obj_t index_in)
{
	mp_int_t index = mp_obj_get_int(index_in);
	char prefix[128];

	if (index < 0)
		mp_raise_msg_varg(&mp_type_IndexError, MP_ERROR_TEXT("%snegative index %ld"),
				  prefix_of(self, prefix, sizeof(prefix)), (long)index);
	if (self->count != KPY_C_FLEXIBLE && index >= self->count)
		mp_raise_msg_varg(&mp_type_IndexError,
				  MP_ERROR_TEXT("%sindex %ld of an array of %d"),
				  prefix_of(self, prefix, sizeof(prefix)), (long)index,
				  (int)self->count);
	return index;
}

static mp_obj_t slice(const kpy_array_t *self, mp_obj_t index)
{
	mp_bound_slice_t bounds;
	mp_obj_t list;

	if (self->count == KPY_C_FLEXIBLE)
		no_length(self, "");
	mp_obj_slice_indices(index, self->count, &bounds);
	list = mp_obj_new_list(0, NULL);
	for (mp_int_t i = bounds.start; bounds.step > 0 ? i < bounds.stop : i > bounds.stop;
	     i += bounds.step)
		mp_obj_list_append(list, item(self, i));
	return list;
}

static mp_obj_t array_subscr(mp_obj_t self_in, mp_obj_t index, mp_obj_t value)
{
	const kpy_array_t *self = MP_OBJ_TO_PTR(self_in);
	struct kpy_place place;
	mp_uint_t i;

	if (value == MP_OBJ_NULL)
		return MP_OBJ_NULL;
	if (mp_obj_is_exact_type(index, &mp_type_slice))
		return value == MP_OBJ_SENTINEL ? slice(self, index) : MP_OBJ_NULL;
	i = checked_index(self, index);
	if (value == MP_OBJ_SENTINEL)
		return item(self, i);
	if (!self->value)
		null_array(self);
	place = place_of(self, i);
	kpy_typed_store(self->type, self->value + i * self->size, value, &place);
	return mp_const_none;
}

/* read([n]): the bytes of the first n elements; without n, of all. */
static mp_obj_t array_read(size_t n_args, const mp_obj_t *args)
{
	const kpy_array_t *self = MP_OBJ_TO_PTR(args[0]);
	mp_int_t n = n_args > 1 ? mp_obj_get_int(args[1]) : self->count;
	struct kpy_place place;
	uintptr_t bad;
	char prefix[128];
	vstr_t data;

	if (n_args == 1 && self->count == KPY_C_FLEXIBLE)
		no_length(self, ": read(n)");
	if (n < 0 || (self->count != KPY_C_FLEXIBLE && n > self->count))
		mp_raise_msg_varg(&mp_type_IndexError, MP_ERROR_TEXT("%s%ld elements of %d"),
				  prefix_of(self, prefix, sizeof(prefix)), (long)n,
				  (int)self->count);
	if (n > (64 << 20) / (self->size ?: 1))
		mp_raise_ValueError(MP_ERROR_TEXT("more than 64 MB"));
	vstr_init_len(&data, n * self->size);
	if (kpy_read_range(data.buf, self->value, data.len, &bad)) {
		place = place_of(self, 0);
		kpy_raise_fault_at(bad, &place);
	}
	return mp_obj_new_bytes_from_vstr(&data);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(array_read_obj, 1, 2, array_read);

typedef struct {
	mp_obj_base_t base;
	mp_fun_1_t iternext;
	mp_obj_t array;
	u32 at;
} array_it_t;

static mp_obj_t array_it_next(mp_obj_t self_in)
{
	array_it_t *self = MP_OBJ_TO_PTR(self_in);
	const kpy_array_t *array = MP_OBJ_TO_PTR(self->array);

	if (self->at >= array->count)
		return MP_OBJ_STOP_ITERATION;
	return item(array, self->at++);
}

static mp_obj_t array_getiter(mp_obj_t self_in, mp_obj_iter_buf_t *buf)
{
	const kpy_array_t *self = MP_OBJ_TO_PTR(self_in);
	array_it_t *it = (array_it_t *)buf;

	if (self->count == KPY_C_FLEXIBLE)
		no_length(self, "");
	it->base.type = &mp_type_polymorph_iter;
	it->iternext = array_it_next;
	it->array = self_in;
	it->at = 0;
	return MP_OBJ_FROM_PTR(it);
}
#else
#define array_print 0
#define array_unary_op 0
#define array_binary_op 0
#define array_subscr 0
#define array_getiter 0
static const int array_read_obj;
#endif

static const mp_rom_map_elem_t array_locals_table[] = {
	{ MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&array_read_obj) },
};
static MP_DEFINE_CONST_DICT(array_locals, array_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_array_ptr, MP_QSTR_ArrayPtr,
			 MP_TYPE_FLAG_EQ_CHECKS_OTHER_TYPE | MP_TYPE_FLAG_ITER_IS_GETITER, print,
			 array_print, unary_op, array_unary_op, binary_op, array_binary_op, subscr,
			 array_subscr, iter, array_getiter, locals_dict, &array_locals);
