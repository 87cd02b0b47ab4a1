/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's memcpy() and memset() are string instructions, and its comparisons go byte by
 * byte: dear for the few bytes that an interpreter mostly has. See micropython/strings.c.
 */
#pragma once
#include <linux/types.h>
#include <linux/string.h>

void *kpy_memcpy(void *to, const void *from, size_t n);
void *kpy_memmove(void *to, const void *from, size_t n);
void *kpy_memset(void *to, int byte, size_t n);
int kpy_memcmp(const void *a, const void *b, size_t n);

/* What the compiler knows it writes in line. */
#define KPY_INLINE_MAX 64
#define kpy_known(n) (__builtin_constant_p(n) && (n) <= KPY_INLINE_MAX)

#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#define memcpy(to, from, n) (kpy_known(n) ? __builtin_memcpy(to, from, n) : kpy_memcpy(to, from, n))
#define memset(to, byte, n) (kpy_known(n) ? __builtin_memset(to, byte, n) : kpy_memset(to, byte, n))
#define memmove kpy_memmove
#define memcmp kpy_memcmp

static inline int kpy_strncmp(const char *a, const char *b, size_t n)
{
	for (; n; a++, b++, n--) {
		if (*a != *b)
			return *(unsigned char *)a - *(unsigned char *)b;
		if (!*a)
			break;
	}
	return 0;
}
#undef strncmp
#define strncmp kpy_strncmp
