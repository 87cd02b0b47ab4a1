/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Struct, StructPtr and ArrayPtr: types of the kernel, and typed addresses. */
#pragma once
#include "py/obj.h"

extern const mp_obj_type_t kpy_type_struct, kpy_type_struct_ptr, kpy_type_array_ptr;
extern const mp_obj_type_t kpy_type_enum_value;

#ifndef NO_QSTR
#include "ffi/pointer.h"
#include "structs/field.h"

typedef struct {
	mp_obj_base_t base;
	struct kpy_ctype type; /* a struct or union */
} kpy_struct_t;

/* StructPtr is a kpy_ptr_t whose type is a struct or union. */

typedef struct {
	mp_obj_base_t base;
	uintptr_t value;
	struct kpy_ctype type; /* of an element */
	u32 count; /* KPY_C_FLEXIBLE: not known */
	u32 size; /* of an element */
	/* The member that it is, for messages; no record: none, or an array in an array. */
	struct kpy_ctype record;
	size_t member; /* qstr */
} kpy_array_t;

mp_obj_t kpy_struct_new(struct kpy_ctype type);
mp_obj_t kpy_struct_ptr_new(struct kpy_ctype type, uintptr_t value);
mp_obj_t kpy_array_new(struct kpy_ctype element, u32 count, uintptr_t value);
mp_obj_t kpy_enum_value_new(struct kpy_ctype type, long value);

/* For messages: "net_device.mtu", "net_device.name[3]"; or, without a member, "char[3]". */
struct kpy_place {
	struct kpy_ctype record; /* or the type of the element, or a variable (member "") */
	const char *member;
	bool is_element;
	long index; /* of an element */
};

/* What is at an address, as the type says. Raises OSError(EFAULT) with the place. */
mp_obj_t kpy_typed_load(struct kpy_ctype type, uintptr_t address, u32 bits, u32 shift,
			const struct kpy_place *place);
/* The same of a member that was found through the cache. */
mp_obj_t kpy_field_load(const struct kpy_field *f, uintptr_t base, const struct kpy_place *place);
/* The other way. Raises TypeError, ValueError, OSError(EFAULT). */
void kpy_typed_store(struct kpy_ctype type, uintptr_t address, mp_obj_t value,
		     const struct kpy_place *place);
void kpy_field_store(const struct kpy_field *f, uintptr_t base, mp_obj_t value,
		     const struct kpy_place *place);

/* A struct that its unit only declared may be defined in another source: that, else the same. */
struct kpy_ctype kpy_struct_complete(struct kpy_ctype type);

/* The type that an object (Struct, StructPtr, name) stands for. Raises TypeError, KeyError. */
struct kpy_ctype kpy_record_of(mp_obj_t o);

/* OSError(EFAULT, "bad address 0x8 (net_device.mtu)"). */
void kpy_raise_fault_at(uintptr_t address, const struct kpy_place *place);

/* Reads n bytes piece by page. 0 or -EFAULT, *bad then where. */
int kpy_read_range(void *dst, uintptr_t src, size_t n, uintptr_t *bad);
#endif
