/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel symbols, calls and memory as Python objects. */
#pragma once
#include "py/obj.h"
#include "py/objint.h"
#include "py/smallint.h"

struct kpy_proto;

typedef struct {
	mp_obj_base_t base;
	mp_obj_t name; /* str: the kernel's, or the one that the user gave */
	uintptr_t value;
	struct kpy_proto *proto; /* NULL: none, or not looked for */
	unsigned int generation; /* of modules, for which the rest holds */
	uint8_t flags;
} kpy_symbol_t;

extern const mp_obj_type_t kpy_type_symbol;
MP_DECLARE_CONST_FUN_OBJ_KW(kpy_symbol_obj);
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

/* words.c: the int of a word that is no small int. */
mp_obj_t kpy_large_int(unsigned long word);
/* The collector is about to free objects, or the heap is new. Under the GIL. */
void kpy_large_ints_forget(void);

/* The int of a word, unsigned. */
static inline mp_obj_t kpy_word_to_int(unsigned long word)
{
	if (word <= MP_SMALL_INT_MAX)
		return MP_OBJ_NEW_SMALL_INT(word);
	return kpy_large_int(word);
}

/* Is o an int of as many digits as its word, and not negative? As those of kpy_large_int(). */
static inline bool kpy_is_large_int(mp_obj_t o)
{
	const mpz_t *z = &((mp_obj_int_t *)MP_OBJ_TO_PTR(o))->mpz;

	return mp_obj_is_exact_type(o, &mp_type_int) && z->len == MPZ_NUM_DIG_FOR_INT && !z->neg;
}

static inline unsigned long kpy_large_int_word(mp_obj_t o)
{
	const mpz_dig_t *digits = ((mp_obj_int_t *)MP_OBJ_TO_PTR(o))->mpz.dig;
	unsigned long word = 0;

	for (size_t i = MPZ_NUM_DIG_FOR_INT; i--;)
		word = word << MPZ_DIG_SIZE | digits[i];
	return word;
}

#define KPY_REGISTER_ARGS 6
/*
 * The words of n <= KPY_REGISTER_ARGS arguments, when all are ints that are easily converted,
 * and 0 for those that are not given. False: one is not; what converts others may run Python code.
 */
static inline bool kpy_int_args(size_t n, const mp_obj_t *args, unsigned long *words)
{
	words[0] = words[1] = words[2] = words[3] = words[4] = words[5] = 0;
	for (size_t i = 0; i < n; i++) {
		if (mp_obj_is_small_int(args[i]))
			words[i] = MP_OBJ_SMALL_INT_VALUE(args[i]);
		else if (kpy_is_large_int(args[i]))
			words[i] = kpy_large_int_word(args[i]);
		else
			return false;
	}
	return true;
}

/* The Symbol of a name of the kernel's at its address. */
mp_obj_t kpy_symbol_new(mp_obj_t name, unsigned long address);

/* May the address be called? Any context. */
bool kpy_is_text(unsigned long address);
/* The same for the kernel's own text, which does not change. */
bool kpy_is_core_text(unsigned long address);

/*
 * Calls the function at target with n <= 12 arguments, checked against its prototype unless
 * that is NULL. Raises TypeError, ValueError and RuntimeError.
 */
mp_obj_t kpy_call(mp_obj_t name, unsigned long target, const struct kpy_proto *proto, size_t n,
		  const mp_obj_t *args);
/* An argument of no declared type. Raises TypeError. */
void kpy_untyped_arg(const mp_obj_t *args, size_t i, unsigned long *word);

/* What objects that are addresses have in common: they compute as the int. */
mp_obj_t kpy_address_unary_op(mp_unary_op_t op, unsigned long address);
mp_obj_t kpy_address_binary_op(mp_binary_op_t op, unsigned long address, mp_obj_t rhs);

/*
 * Fault-proof copies, 0 or -EFAULT; kernel addresses and those of the current task. Under the GIL;
 * a write to read-only memory gives it up, or is -EWOULDBLOCK where the entry may not sleep.
 */
int kpy_read_memory(void *dst, unsigned long src, size_t n);
int kpy_write_memory(unsigned long dst, const void *src, size_t n);
/* The same as exceptions: OSError(EFAULT), RuntimeError. */
void kpy_store(unsigned long address, const void *value, size_t n);

/* alias.c: a write that the page tables refuse, if that is because the memory is read-only. */
int kpy_write_read_only(unsigned long dst, const void *src, size_t n);
void kpy_alias_init(void);

/* A value for n_bytes of memory, signed or unsigned. Raises TypeError, ValueError. */
unsigned long kpy_narrow(mp_obj_t o, size_t n_bytes);

void kpy_raise_fault(unsigned long address);
