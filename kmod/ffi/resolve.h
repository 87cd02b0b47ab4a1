/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a name that Python code uses to the symbol it means. */
#pragma once
#include "py/obj.h"

/*
 * The symbol that a str means; false: there is none. Sets *name to the kernel's name for it when
 * that is another. module: NULL, or where to look ("vmlinux"); n: which of several, or -1: then
 * it must be the only one, or the only one that is global. Raises ValueError. Under the GIL,
 * which it may give up.
 */
bool kpy_resolve_symbol(mp_obj_t *name, const char *module, mp_int_t n, unsigned long *address);

/* Raises an error for a name that the kernel, or its module, does not have, with those that are like it. */
void kpy_raise_no_symbol(const mp_obj_type_t *error, mp_obj_t name, const char *module);
/* The same for a global name; returns when there is none like it or nobody would read it. */
void kpy_raise_near(mp_obj_t name);

/* Tab was pressed: attributes that cost something need not have their value. */
bool kpy_is_completing(void);

MP_DECLARE_CONST_FUN_OBJ_KW(kpy_symbols_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_lookup_obj);
