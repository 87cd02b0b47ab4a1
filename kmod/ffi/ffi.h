/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel symbols, calls and memory as Python objects. */
#pragma once
#include "py/obj.h"

typedef struct {
	mp_obj_base_t base;
	mp_obj_t name;
	uintptr_t value;
} kpy_symbol_t;

extern const mp_obj_type_t kpy_type_symbol;
MP_DECLARE_CONST_FUN_OBJ_1(kpy_symbol_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_auto_globals_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_str_obj);
MP_DECLARE_CONST_FUN_OBJ_2(kpy_bytes_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p8_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p16_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p32_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p64_obj);

/*
 * The 64-bit word that stands for o in the kernel. False when o is no kernel value.
 * str, bytes and buffers stand for their address: the caller keeps o alive.
 */
bool kpy_to_word(mp_obj_t o, unsigned long *word);

/* The same for places that take an address: int, Symbol, pointer objects. Raises TypeError. */
unsigned long kpy_to_address(mp_obj_t o);

/* Value of an int within -2^63 .. 2^64-1. Raises OverflowError. */
unsigned long kpy_int_to_word(mp_obj_t o);

/* Address of a kernel symbol, or 0; knows names that became macros. */
unsigned long kpy_resolve(const char *name);

/* Is there executable code? */
bool kpy_is_text(unsigned long address);

/* Calls the function at target with n <= 12 arguments. Raises TypeError and RuntimeError. */
mp_obj_t kpy_call(mp_obj_t name, unsigned long target, size_t n, const mp_obj_t *args);

/* Fault-proof copies, 0 or -EFAULT; kernel addresses and those of the current task. Under the GIL. */
int kpy_read_memory(void *dst, unsigned long src, size_t n);
int kpy_write_memory(unsigned long dst, const void *src, size_t n);

void kpy_raise_fault(unsigned long address);
