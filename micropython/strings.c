// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory functions for many short operands: words in registers, string instructions from
 * 256 bytes on. Most long loops of upstream's builtins call them, so they count as work.
 */
#include <linux/types.h>
#include <linux/swab.h>
#include <string.h>
#include "py/mpconfig.h"
#include "py/misc.h"
#include "py/qstr.h"
#include "py/unicode.h"

#define LONG_COPY 256
#define PIECE (64UL << 10) /* bytes between polls */

typedef u64 __attribute__((__may_alias__, __aligned__(1))) word;
typedef u32 __attribute__((__may_alias__, __aligned__(1))) half;
typedef u16 __attribute__((__may_alias__, __aligned__(1))) quarter;

/* n < 16: everything is loaded before anything is stored, so that operands may overlap. */
static __always_inline void copy_few(void *to, const void *from, size_t n)
{
	if (n >= 8) {
		word first = *(const word *)from, last = *(const word *)(from + n - 8);

		*(word *)to = first;
		*(word *)(to + n - 8) = last;
	} else if (n >= 4) {
		half first = *(const half *)from, last = *(const half *)(from + n - 4);

		*(half *)to = first;
		*(half *)(to + n - 4) = last;
	} else if (n) {
		u8 first = *(const u8 *)from, last = *(const u8 *)(from + n - 1);
		u8 middle = *(const u8 *)(from + n / 2);

		*(u8 *)to = first;
		*(u8 *)(to + n / 2) = middle;
		*(u8 *)(to + n - 1) = last;
	}
}

void *kpy_memcpy(void *to, const void *from, size_t n)
{
	void *at = to;
	size_t words;

	for (; unlikely(n > PIECE); n -= PIECE) {
		words = PIECE / 8;
		asm volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
		KPY_WORK(PIECE / 128);
	}
	KPY_WORK(1 + n / 128);
	if (n < 16) {
		copy_few(at, from, n);
		return to;
	}
	if (n >= LONG_COPY) {
		words = n / 8;
		asm volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
		copy_few(at, from, n % 8);
		return to;
	}
	for (; n >= 32; n -= 32, at += 32, from += 32) {
		word a = ((const word *)from)[0], b = ((const word *)from)[1];
		word c = ((const word *)from)[2], d = ((const word *)from)[3];

		((word *)at)[0] = a;
		((word *)at)[1] = b;
		((word *)at)[2] = c;
		((word *)at)[3] = d;
	}
	if (n >= 16) {
		word a = ((const word *)from)[0], b = ((const word *)from)[1];

		((word *)at)[0] = a;
		((word *)at)[1] = b;
		n -= 16;
		at += 16;
		from += 16;
	}
	copy_few(at, from, n);
	return to;
}

/* Where operands overlap: 8 bytes at a time, from the end that is overwritten last. */
static void move_up(void *to, const void *from, size_t n)
{
	for (; n >= 8; n -= 8)
		*(word *)(to + n - 8) = *(const word *)(from + n - 8);
	copy_few(to, from, n);
}

static void move_down(void *to, const void *from, size_t n)
{
	for (; n >= 8; n -= 8, to += 8, from += 8)
		*(word *)to = *(const word *)from;
	copy_few(to, from, n);
}

void *kpy_memmove(void *to, const void *from, size_t n)
{
	void *at = to;

	KPY_WORK(1 + n % PIECE / 64);
	if (n < 16) {
		copy_few(to, from, n);
		return to;
	}
	if ((size_t)(to - from) >= n && (size_t)(from - to) >= n)
		return kpy_memcpy(to, from, n);
	if (to < from) {
		for (; n > PIECE; n -= PIECE, at += PIECE, from += PIECE) {
			move_down(at, from, PIECE);
			KPY_WORK(PIECE / 64);
		}
		move_down(at, from, n);
	} else {
		for (; n > PIECE; n -= PIECE) {
			move_up(to + n - PIECE, from + n - PIECE, PIECE);
			KPY_WORK(PIECE / 64);
		}
		move_up(to, from, n);
	}
	return to;
}

void *kpy_memset(void *to, int byte, size_t n)
{
	u64 value = (u8)byte * 0x0101010101010101ULL;
	void *at = to;

	if (n >= LONG_COPY) {
		size_t words = n / 8;

		*(word *)(to + n - 8) = value;
		asm volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(value) : "memory");
	} else if (n >= 8) {
		*(word *)(to + n - 8) = value;
		for (; n >= 32; n -= 32, at += 32) {
			((word *)at)[0] = value;
			((word *)at)[1] = value;
			((word *)at)[2] = value;
			((word *)at)[3] = value;
		}
		for (; n >= 8; n -= 8, at += 8)
			*(word *)at = value;
	} else if (n >= 4) {
		*(half *)to = value;
		*(half *)(to + n - 4) = value;
	} else if (n >= 2) {
		*(quarter *)to = value;
		*(u8 *)(to + n - 1) = value;
	} else if (n) {
		*(u8 *)to = value;
	}
	return to;
}

static __always_inline int compare(const u8 *x, const u8 *y, size_t n)
{
	for (; n >= 8; n -= 8, x += 8, y += 8) {
		u64 p = *(const word *)x, q = *(const word *)y;

		if (p != q)
			return swab64(p) < swab64(q) ? -1 : 1;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

int kpy_memcmp(const void *a, const void *b, size_t n)
{
	for (; unlikely(n > PIECE); n -= PIECE, a += PIECE, b += PIECE) {
		int found = compare(a, b, PIECE);

		if (found)
			return found;
		KPY_WORK(PIECE / 32);
	}
	KPY_WORK(1 + n / 32);
	return compare(a, b, n);
}

/*
 * Upstream's functions on UTF-8, eight bytes at a time. A continuation byte is 10xxxxxx.
 */
#define HIGH_BITS 0x8080808080808080ULL

static inline unsigned int count_starts(u64 w)
{
	u64 continuation = w & ~(w << 1) & HIGH_BITS;

	return 8 - (((continuation >> 7) * 0x0101010101010101ULL) >> 56);
}

static __always_inline size_t characters(const byte *s, size_t len)
{
	size_t n = 0;

	for (; len >= 8; len -= 8, s += 8)
		n += count_starts(*(const word *)s);
	for (; len; len--, s++)
		n += !UTF8_IS_CONT(*s);
	return n;
}

size_t utf8_charlen(const byte *s, size_t len)
{
	size_t n = 0;

	for (; unlikely(len > PIECE); len -= PIECE, s += PIECE) {
		n += characters(s, PIECE);
		KPY_WORK(PIECE / 16);
	}
	KPY_WORK(1 + len / 16);
	return n + characters(s, len);
}

mp_uint_t utf8_ptr_to_index(const byte *s, const byte *ptr)
{
	return ptr > s ? utf8_charlen(s, ptr - s) : 0;
}

bool upstream_utf8_check(const byte *p, size_t len);

static __always_inline bool check_piece(const byte *p, size_t len)
{
	while (len >= 8 && !(*(const word *)p & HIGH_BITS)) {
		p += 8;
		len -= 8;
	}
	return upstream_utf8_check(p, len);
}

bool utf8_check(const byte *p, size_t len)
{
	while (unlikely(len > PIECE)) {
		size_t n = PIECE;

		/* A piece ends where a character may begin; three continuations are the most there are. */
		while (n > PIECE - 3 && UTF8_IS_CONT(p[n]))
			n--;
		if (!check_piece(p, n))
			return false;
		KPY_WORK(PIECE / 4);
		p += n;
		len -= n;
	}
	KPY_WORK(1 + len / 32);
	return check_piece(p, len);
}

#define HASH_PART 4096 /* bytes between windows */

static __always_inline size_t hash_part(size_t hash, const byte *s, size_t len)
{
	for (const byte *end = s + len; s < end; s++)
		hash = hash * 33 ^ *s;
	return hash;
}

/* As upstream computes it, and its makeqstrdata.py for the names that are compiled in. */
size_t qstr_compute_hash(const byte *s, size_t len)
{
	size_t hash = 5381;

	for (; unlikely(len > HASH_PART); s += HASH_PART, len -= HASH_PART) {
		hash = hash_part(hash, s, HASH_PART);
		kpy_gil_window();
	}
	hash = hash_part(hash, s, len) & ((1 << 8 * MICROPY_QSTR_BYTES_IN_HASH) - 1);
	return hash ?: 1; /* 0 means: not computed */
}
