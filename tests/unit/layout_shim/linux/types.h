/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the module's reader of the layout table uses of the kernel, for a program. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define offsetofend(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define READ_ONCE(x) (x)
#define likely(x) (x)
#define WRITE_ONCE(x, value) ((x) = (value))
#define check_mul_overflow(a, b, out) __builtin_mul_overflow(a, b, out)
#define min(a, b)                              \
	({                                     \
		__typeof__(a) min_a = (a);     \
		__typeof__(b) min_b = (b);     \
		min_a < min_b ? min_a : min_b; \
	})
#define pr_err(...) fprintf(stderr, __VA_ARGS__)

static inline u32 crc32_le(u32 crc, const u8 *data, size_t size)
{
	while (size--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	return crc;
}
