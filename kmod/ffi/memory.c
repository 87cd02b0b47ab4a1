// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and writing memory; a bad address is an exception, never an oops. */
#ifndef NO_QSTR
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"
#include "ffi/sleeps.h"
#include "ffi/user_copy.h"

#define STR_MAX (1UL << 20) /* longest string that str() follows to its end */

#ifndef NO_QSTR
/* Not exported to modules in every kernel: found by name. */
static long (*read_user)(void *dst, const void __user *src, size_t n);
static long (*write_kernel)(void *dst, const void *src, size_t n);
static long (*write_user)(void __user *dst, const void *src, size_t n);

int kpy_memory_init(void)
{
	read_user = (void *)kpy_kallsyms_lookup("copy_from_user_nofault");
	write_user = (void *)kpy_kallsyms_lookup("copy_to_user_nofault");
	write_kernel = (void *)kpy_kallsyms_lookup("copy_to_kernel_nofault");
	kpy_alias_init();
	kpy_user_copy_init();
	kpy_sleeps_init();
	if (read_user && write_user && write_kernel)
		return 0;
	pr_err("this kernel lacks copy_from_user_nofault or its kin (Linux 5.8 has them)\n");
	return -EOPNOTSUPP;
}

/* A kernel thread has no user memory, though another task's may happen to be mapped. */
static bool is_user(unsigned long address, size_t n)
{
	return address < TASK_SIZE_MAX && n <= TASK_SIZE_MAX - address;
}

int kpy_read_memory(void *dst, unsigned long src, size_t n)
{
	if (is_user(src, n))
		return !current->mm || read_user(dst, (const void __user *)src, n) ? -EFAULT : 0;
	return copy_from_kernel_nofault(dst, (const void *)src, n) ? -EFAULT : 0;
}

int kpy_write_memory(unsigned long dst, const void *src, size_t n)
{
	char probe;

	if (is_user(dst, n))
		return !current->mm || write_user((void __user *)dst, src, n) ? -EFAULT : 0;
	/* Reading first refuses what copy_to_kernel_nofault() would oops on: addresses between the halves. */
	if (copy_from_kernel_nofault(&probe, (void *)dst, 1))
		return -EFAULT;
	if (write_kernel((void *)dst, src, n))
		return kpy_write_read_only(dst, src, n);
	return 0;
}
#endif

/* OSError(EFAULT, "bad address 0x..."). */
void kpy_raise_fault(unsigned long address)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "bad address 0x%lx", address);
	mp_obj_t args[] = { MP_OBJ_NEW_SMALL_INT(MP_EFAULT), mp_obj_new_str(text, n) };

	nlr_raise(mp_obj_new_exception_args(&mp_type_OSError, MP_ARRAY_SIZE(args), args));
}

void kpy_store(unsigned long address, const void *value, size_t n)
{
#ifndef NO_QSTR
	int err = kpy_write_memory(address, value, n);

	if (err == -EWOULDBLOCK)
		mp_raise_msg_varg(&mp_type_RuntimeError,
				  MP_ERROR_TEXT(
					  "0x%lx is read-only memory, which can be written in "
					  "process context only"),
				  address);
	if (err)
		kpy_raise_fault(address);
#endif
}

#ifdef NO_QSTR
#define kpy_read_memory(a, b, c) 0
#define PAGE_SIZE 4096
#define min(a, b) (a)
#endif

/* A value for n_bytes: negative ones down to the smallest signed, positive ones up to the largest unsigned. */
unsigned long kpy_narrow(mp_obj_t o, size_t n_bytes)
{
	unsigned long word = 0;
	int unused = 64 - 8 * n_bytes;
	long as_signed;

	if (!kpy_to_word(o, &word))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("cannot store '%s'"),
				  mp_obj_get_type_str(o));
	as_signed = (long)(word << unused) >> unused;
	if ((word << unused >> unused) != word && (unsigned long)as_signed != word)
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("value does not fit in %d bits"), (int)n_bytes * 8);
	return word;
}

/* pN(address[, value]): reads, or writes, n_bytes of memory. Raises OSError(EFAULT). */
static mp_obj_t peek_poke(size_t n_args, const mp_obj_t *args, size_t n_bytes)
{
	unsigned long address = kpy_to_address(args[0]), word = 0;

	if (n_args == 2) {
		word = kpy_narrow(args[1], n_bytes);
		kpy_store(address, &word, n_bytes);
		return mp_const_none;
	}
	if (kpy_read_memory(&word, address, n_bytes))
		kpy_raise_fault(address);
	return mp_obj_new_int_from_uint(word);
}

static mp_obj_t p8(size_t n, const mp_obj_t *args)
{
	return peek_poke(n, args, 1);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p8_obj, 1, 2, p8);

static mp_obj_t p16(size_t n, const mp_obj_t *args)
{
	return peek_poke(n, args, 2);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p16_obj, 1, 2, p16);

static mp_obj_t p32(size_t n, const mp_obj_t *args)
{
	return peek_poke(n, args, 4);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p32_obj, 1, 2, p32);

static mp_obj_t p64(size_t n, const mp_obj_t *args)
{
	return peek_poke(n, args, 8);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_p64_obj, 1, 2, p64);

/* str(address): the NUL-terminated string there. Raises OSError(EFAULT), UnicodeError, ValueError. */
static mp_obj_t str_at(mp_obj_t address_in)
{
	unsigned long address = kpy_to_address(address_in);
	vstr_t text;

	vstr_init(&text, 64);
	while (text.len < STR_MAX) {
		char piece[64];
		/* Up to the next boundary, so that the piece never reaches into another page. */
		size_t n = sizeof(piece) - address % sizeof(piece), len;

		if (kpy_read_memory(piece, address, n))
			kpy_raise_fault(address);
		len = strnlen(piece, n);
		vstr_add_strn(&text, piece, len);
		if (len < n)
			return mp_obj_new_str_from_vstr(&text);
		address += n;
	}
	mp_raise_ValueError(MP_ERROR_TEXT("no end of string within 1 MB"));
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_str_obj, str_at);

/* bytes(address, n): a copy of n bytes. Raises OSError(EFAULT), ValueError. */
static mp_obj_t bytes_at(mp_obj_t address_in, mp_obj_t n_in)
{
	unsigned long address = kpy_to_address(address_in), at = 0;
	mp_int_t n = mp_obj_get_int(n_in);
	vstr_t data;

	if (n < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("negative length"));
	vstr_init_len(&data, n);
	while (at < n) {
		size_t part = min(n - at, PAGE_SIZE - (address + at) % PAGE_SIZE);

		if (kpy_read_memory(data.buf + at, address + at, part))
			kpy_raise_fault(address + at);
		at += part;
	}
	return mp_obj_new_bytes_from_vstr(&data);
}
MP_DEFINE_CONST_FUN_OBJ_2(kpy_bytes_obj, bytes_at);
