// SPDX-License-Identifier: GPL-2.0-or-later
/* kernel_ffi.buffer: kernel memory that an object owns. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/gc.h"
#include "py/objarray.h"
#include "py/runtime.h"
#include "ffi/alloc.h"
#include "ffi/ffi.h"

#define COLLECT_EVERY (4UL << 20) /* bytes of buffers */

#ifndef NO_QSTR
#include "kpy.h"
#include "ffi/buffer_memory.h"

typedef struct {
	mp_obj_base_t base;
	struct kpy_buffer *memory; /* NULL once the finaliser ran */
} buffer_t;

static struct kpy_buffer *usable(mp_obj_t self)
{
	struct kpy_buffer *b = ((buffer_t *)MP_OBJ_TO_PTR(self))->memory;

	if (!b || b->freed)
		mp_raise_ValueError(MP_ERROR_TEXT("the buffer was freed"));
	return b;
}

static mp_obj_t make(const mp_obj_type_t *type, size_t n, const void *from)
{
	static size_t since_collection;
	buffer_t *o;

	/* To the collector's own reckoning they are small. */
	since_collection += n;
	if (since_collection > COLLECT_EVERY) {
		since_collection = 0;
		gc_collect();
	}
	o = mp_obj_malloc_with_finaliser(buffer_t, type);
	o->memory = NULL;
	o->memory = kpy_buffer_new(n);
	if (!o->memory)
		mp_raise_msg_varg(&mp_type_MemoryError, MP_ERROR_TEXT("buffer of %lu bytes"),
				  (unsigned long)n);
	if (from)
		memcpy(o->memory->data, from, n);
	return MP_OBJ_FROM_PTR(o);
}

/* Raises ValueError with what was overwritten. */
static void check(const struct kpy_buffer *b)
{
	char text[KPY_BUFFER_TEXT];

	if (b && !kpy_buffer_intact(b, text))
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s"), text);
}

static void release(mp_obj_t self)
{
	struct kpy_buffer *b = ((buffer_t *)MP_OBJ_TO_PTR(self))->memory;
	char text[KPY_BUFFER_TEXT];
	bool intact;

	if (!b || b->freed)
		return;
	intact = kpy_buffer_intact(b, text);
	kpy_buffer_free(b);
	if (!intact)
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s"), text);
}

static void finalise(mp_obj_t self)
{
	buffer_t *o = MP_OBJ_TO_PTR(self);
	struct kpy_buffer *b = o->memory;
	char text[KPY_BUFFER_TEXT];

	o->memory = NULL;
	if (!b)
		return;
	if (!kpy_buffer_intact(b, text))
		mp_printf(&mp_plat_print, "kpy: %s\n", text);
	if (!b->freed)
		kpy_buffer_free(b);
	kpy_buffer_put(b);
}

#define LENGTH(self) usable(self)->n
#define DATA(self) usable(self)->data
#define CHECK(self) check(((buffer_t *)MP_OBJ_TO_PTR(self))->memory)
#else
#define make(type, n, from) mp_const_none
#define usable(self)
#define release(self)
#define finalise(self)
#define LENGTH(self) 0
#define DATA(self) ((byte *)0)
#define CHECK(self) (void)0
#endif

/* buffer(n): n zero bytes; buffer(bytes): a copy. Raises MemoryError, ValueError. */
static mp_obj_t buffer_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
				const mp_obj_t *args)
{
	mp_buffer_info_t from;
	mp_int_t n;

	mp_arg_check_num(n_args, n_kw, 1, 1, false);
	if (!mp_obj_is_int(args[0]) && mp_get_buffer(args[0], &from, MP_BUFFER_READ))
		return make(type, from.len, from.buf);
	n = mp_obj_get_int(args[0]);
	if (n < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("negative size"));
	return make(type, n, NULL);
}

static void buffer_print(const mp_print_t *print, mp_obj_t self, mp_print_kind_t kind)
{
#ifndef NO_QSTR
	struct kpy_buffer *b = ((buffer_t *)MP_OBJ_TO_PTR(self))->memory;

	if (!b || b->freed)
		mp_print_str(print, "<buffer, freed>");
	else
		mp_printf(print, "<buffer of %lu bytes at 0x%lx>", (unsigned long)b->n,
			  (unsigned long)b->data);
#endif
}

static mp_obj_t buffer_unary_op(mp_unary_op_t op, mp_obj_t self)
{
	switch (op) {
	case MP_UNARY_OP_BOOL:
		return mp_obj_new_bool(LENGTH(self) != 0);
	case MP_UNARY_OP_LEN:
		return MP_OBJ_NEW_SMALL_INT(LENGTH(self));
	case MP_UNARY_OP_INT_MAYBE:
		return mp_obj_new_int_from_uint((uintptr_t)DATA(self));
	default:
		return MP_OBJ_NULL;
	}
}

static mp_obj_t slice(mp_obj_t self, mp_obj_t index, mp_obj_t value)
{
	mp_bound_slice_t part;
	mp_buffer_info_t from;

	if (!mp_seq_get_fast_slice_indexes(LENGTH(self), index, &part))
		mp_raise_NotImplementedError(
			MP_ERROR_TEXT("only slices with step=1 are supported"));
	if (value == MP_OBJ_SENTINEL)
		return mp_obj_new_bytes(DATA(self) + part.start, part.stop - part.start);
	mp_get_buffer_raise(value, &from, MP_BUFFER_READ);
	if (from.len != part.stop - part.start)
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("%d bytes do not fit a slice of %d"), (int)from.len,
				  (int)(part.stop - part.start));
	memmove(DATA(self) + part.start, from.buf, from.len);
	return mp_const_none;
}

static mp_obj_t buffer_subscr(mp_obj_t self, mp_obj_t index, mp_obj_t value)
{
	size_t i;

	if (value == MP_OBJ_NULL)
		return MP_OBJ_NULL; /* del is not supported */
	if (mp_obj_is_exact_type(index, &mp_type_slice))
		return slice(self, index, value);
	i = mp_get_index(mp_obj_get_type(self), LENGTH(self), index, false);
	if (value == MP_OBJ_SENTINEL)
		return MP_OBJ_NEW_SMALL_INT(DATA(self)[i]);
	DATA(self)[i] = kpy_narrow(value, 1);
	return mp_const_none;
}

static mp_int_t buffer_buffer(mp_obj_t self, mp_buffer_info_t *info, mp_uint_t flags)
{
	info->buf = DATA(self);
	info->len = LENGTH(self);
	info->typecode = 'B';
	return 0;
}

static mp_obj_t buffer_iter(mp_obj_t self, mp_obj_iter_buf_t *room)
{
	return mp_getiter(mp_obj_new_memoryview('B', LENGTH(self), DATA(self)), room);
}

/* check(): raises ValueError when bytes around it, or of a freed one, were overwritten. */
static mp_obj_t buffer_check(mp_obj_t self)
{
	CHECK(self);
	return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(buffer_check_obj, buffer_check);

/* free(): gives the memory back, and raises as check() does. Again: nothing. */
static mp_obj_t buffer_free(mp_obj_t self)
{
	release(self);
	return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(buffer_free_obj, buffer_free);

static mp_obj_t buffer_exit(size_t n_args, const mp_obj_t *args)
{
	return buffer_free(args[0]);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(buffer_exit_obj, 4, 4, buffer_exit);

static mp_obj_t buffer_del(mp_obj_t self)
{
	finalise(self);
	return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(buffer_del_obj, buffer_del);

static const mp_rom_map_elem_t locals_table[] = {
	{ MP_ROM_QSTR(MP_QSTR_check), MP_ROM_PTR(&buffer_check_obj) },
	{ MP_ROM_QSTR(MP_QSTR_free), MP_ROM_PTR(&buffer_free_obj) },
	{ MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&buffer_del_obj) },
	{ MP_ROM_QSTR(MP_QSTR___enter__), MP_ROM_PTR(&mp_identity_obj) },
	{ MP_ROM_QSTR(MP_QSTR___exit__), MP_ROM_PTR(&buffer_exit_obj) },
};
static MP_DEFINE_CONST_DICT(locals, locals_table);

static void buffer_attr(mp_obj_t self, qstr attr, mp_obj_t *dest)
{
	if (dest[0] != MP_OBJ_NULL)
		return;
	if (attr == MP_QSTR_addr)
		dest[0] = mp_obj_new_int_from_uint((uintptr_t)DATA(self));
	else
		dest[1] = MP_OBJ_SENTINEL; /* go on with the methods */
}

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(kpy_type_buffer, MP_QSTR_buffer, MP_TYPE_FLAG_ITER_IS_GETITER,
	make_new, buffer_make_new, print, buffer_print, unary_op, buffer_unary_op,
	subscr, buffer_subscr, iter, buffer_iter, buffer, buffer_buffer, attr, buffer_attr,
	locals_dict, &locals);
/* clang-format on */
