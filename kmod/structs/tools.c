// SPDX-License-Identifier: GPL-2.0-or-later
/* sizeof, offsetof, container_of. */
#ifndef NO_QSTR
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/stringhash.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "structs/lookup.h"
#include "structs/object.h"
#include "structs/tools.h"

#ifndef NO_QSTR
struct kpy_ctype kpy_record_of(mp_obj_t o)
{
	if (mp_obj_is_exact_type(o, &kpy_type_struct))
		return ((kpy_struct_t *)MP_OBJ_TO_PTR(o))->type;
	if (mp_obj_is_exact_type(o, &kpy_type_struct_ptr))
		return ((kpy_ptr_t *)MP_OBJ_TO_PTR(o))->type;
	if (!mp_obj_is_str(o))
		mp_raise_msg_varg(&mp_type_TypeError,
				  MP_ERROR_TEXT("'%s' is no struct, nor its name"),
				  mp_obj_get_type_str(o));
	/* raises KeyError with near matches */
	return ((kpy_struct_t *)MP_OBJ_TO_PTR(
			mp_call_function_1(MP_OBJ_FROM_PTR(&kpy_lookup_struct_obj), o)))
		->type;
}

/* Paths that were followed last: what is in a slot stays right for as long as the module is there. */
#define CACHE_BITS 7
#define CACHED_PATH 48
static struct cached {
	char path[CACHED_PATH];
	struct kpy_ctype record;
	struct kpy_field field;
} cache[1 << CACHE_BITS];

static struct cached *slot_of(struct kpy_ctype record, const char *path)
{
	return &cache[(full_name_hash(record.in, path, strlen(path)) ^ record.id) &
		      (ARRAY_SIZE(cache) - 1)];
}

static void follow(struct kpy_ctype record, mp_obj_t path_in, struct kpy_field *f)
{
	const char *path = mp_obj_str_get_str(path_in), *at;
	struct cached *slot = slot_of(record, path);
	struct kpy_cinfo info;
	int err;

	kpy_require_layout(record);
	if (slot->record.in == record.in && slot->record.id == record.id &&
	    !strcmp(slot->path, path)) {
		*f = slot->field;
		return;
	}
	err = kpy_path_follow(record, path, f, &at);
	kpy_ctype_get(record, &info);
	if (err == -ENOENT)
		mp_raise_msg_varg(&mp_type_AttributeError,
				  MP_ERROR_TEXT("%s has no member '%s' (at '%s')"), info.name, path,
				  at);
	if (err == -ERANGE)
		mp_raise_msg_varg(&mp_type_IndexError, MP_ERROR_TEXT("%s.%s: '%s' is out of range"),
				  info.name, path, at);
	if (err)
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("'%s' is not a member path"),
				  path);
	if (strlen(path) < CACHED_PATH) {
		strcpy(slot->path, path);
		slot->record = record;
		slot->field = *f;
	}
}

static unsigned long byte_offset(const struct kpy_field *f, mp_obj_t path)
{
	if (f->bits)
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is a bitfield"),
				  mp_obj_str_get_str(path));
	return f->bit_offset / 8;
}
#endif

/*
 * sizeof(s[, path]): bytes of a struct or of one of its members; s is a Struct, StructPtr, ArrayPtr
 * or a name. Raises KeyError, AttributeError, TypeError.
 */
static mp_obj_t size_of(size_t n, const mp_obj_t *args)
{
#ifndef NO_QSTR
	struct kpy_ctype record;
	struct kpy_field f;

	if (n == 1 && mp_obj_is_exact_type(args[0], &kpy_type_array_ptr)) {
		const kpy_array_t *a = MP_OBJ_TO_PTR(args[0]);

		return mp_obj_new_int_from_ull(
			a->count == KPY_C_FLEXIBLE ? 0 : (u64)a->count * a->size);
	}
	record = kpy_record_of(args[0]);
	if (n == 1)
		return mp_obj_new_int_from_uint(kpy_ctype_size(record));
	follow(record, args[1], &f);
	byte_offset(&f, args[1]);
	return mp_obj_new_int_from_uint(f.size);
#endif
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_sizeof_obj, 1, 2, size_of);

/* offsetof(s, "a.b[2].c"): bytes. Raises KeyError, AttributeError, IndexError, TypeError, ValueError. */
static mp_obj_t offset_of(mp_obj_t s, mp_obj_t path)
{
#ifndef NO_QSTR
	struct kpy_field f;

	follow(kpy_record_of(s), path, &f);
	return mp_obj_new_int_from_uint(byte_offset(&f, path));
#endif
}
MP_DEFINE_CONST_FUN_OBJ_2(kpy_offsetof_obj, offset_of);

/* container_of(p, s, path): the StructPtr whose member of that path is at p. */
static mp_obj_t container(mp_obj_t p, mp_obj_t s, mp_obj_t path)
{
#ifndef NO_QSTR
	struct kpy_ctype record = kpy_record_of(s);
	struct kpy_field f;

	follow(record, path, &f);
	return kpy_struct_ptr_new(record, kpy_to_address(p) - byte_offset(&f, path));
#endif
}
MP_DEFINE_CONST_FUN_OBJ_3(kpy_container_of_obj, container);
