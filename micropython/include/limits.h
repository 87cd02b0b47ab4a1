/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/limits.h>
#include <vdso/limits.h>

#define CHAR_BIT 8
#define SCHAR_MAX 127
#define UCHAR_MAX 255
#define CHAR_MAX 127

/* The kernel's own have casts in them, which #if cannot evaluate. */
#undef SHRT_MAX
#undef INT_MAX
#undef UINT_MAX
#undef LONG_MAX
#undef ULONG_MAX
#define SHRT_MAX 32767
#define INT_MAX 2147483647
#define UINT_MAX 4294967295U
#define LONG_MAX 9223372036854775807L
#define ULONG_MAX 18446744073709551615UL
