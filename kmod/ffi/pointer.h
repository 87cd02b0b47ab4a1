/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ptr: the address of a struct or union whose type is known. */
#pragma once
#include "py/obj.h"

extern const mp_obj_type_t kpy_type_ptr;
MP_DECLARE_CONST_FUN_OBJ_1(kpy_is_err_obj);

#ifndef NO_QSTR
#include "structs/ctype.h"

typedef struct {
	mp_obj_base_t base;
	uintptr_t value;
	struct kpy_ctype type; /* what it points to */
} kpy_ptr_t;

mp_obj_t kpy_ptr_new(struct kpy_ctype type, uintptr_t value);
#endif
