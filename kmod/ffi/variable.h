/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Variables of the kernel by their declared types. */
#pragma once
#include "ffi/ffi.h"

#ifndef NO_QSTR
/*
 * The value of a variable, of that CPU or (-1) of ours when each has one. Raise TypeError when its
 * type is not known, OSError(EFAULT).
 */
mp_obj_t kpy_value_load(const kpy_symbol_t *symbol, mp_int_t cpu);
void kpy_value_store(const kpy_symbol_t *symbol, mp_int_t cpu, mp_obj_t value);
#endif

MP_DECLARE_CONST_FUN_OBJ_KW(kpy_var_obj);
