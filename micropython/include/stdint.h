/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/types.h>
#include <limits.h>

typedef long intptr_t;

#undef INT8_MAX
#undef INT16_MAX
#undef INT32_MAX
#undef INT32_MIN
#undef INT64_MAX
#undef INT64_MIN
#undef UINT8_MAX
#undef UINT16_MAX
#undef UINT32_MAX
#undef UINT64_MAX
#define INT8_MAX 127
#define INT16_MAX 32767
#define INT32_MAX 2147483647
#define INT32_MIN (-2147483647 - 1)
#define INT64_MAX 9223372036854775807L
#define INT64_MIN (-9223372036854775807L - 1)
#define UINT8_MAX 255
#define UINT16_MAX 65535
#define UINT32_MAX 4294967295U
#define UINT64_MAX 18446744073709551615UL
#define UINTPTR_MAX ULONG_MAX
#define INTPTR_MAX LONG_MAX
#define INTPTR_MIN (-LONG_MAX - 1)

/* Whose MIN and MAX upstream then leaves alone. */
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/errno.h>
#include <stdarg.h>
