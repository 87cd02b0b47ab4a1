/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From names to types: the layout table first, then the kernel's BTF. */
#pragma once
#include "py/obj.h"

extern const mp_obj_type_t kpy_type_LayoutError;
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_lookup_struct_obj);
MP_DECLARE_CONST_FUN_OBJ_0(kpy_layout_report_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_allow_mismatch_obj);

#ifndef NO_QSTR
#include "structs/ctype.h"

/*
 * The struct or union of that name ("net_device", "struct net_device" or a typedef's name); no
 * source: there is none. Raises RuntimeError where the sources are not ready and cannot be made so.
 * Under the GIL, which it gives up when it must read BTF first.
 */
struct kpy_ctype kpy_lookup_record(const char *name, const char *module);

/* The Struct of that name, MP_OBJ_NULL: there is none, or it cannot be found out in this context. */
mp_obj_t kpy_struct_global(const char *name);

/* Makes the sources ready, or raises RuntimeError. */
void kpy_lookup_prepare(const char *module);

/* "plugin", "btf", or "dwarf" for what a debugger pushed. */
const char *kpy_source_name(struct kpy_ctype t);

/*
 * Raises LayoutError when the table's layout of a struct is not the running kernel's.
 * Cheap when it was asked for the same struct before.
 */
void kpy_require_layout(struct kpy_ctype record);
#endif
