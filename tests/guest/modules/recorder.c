// SPDX-License-Identifier: GPL-2.0-or-later
/* Functions that write down the arguments they get, for tests of calls. */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/string.h>

/* Each is called from Python only, by its name in kallsyms. */
#define ENTRY noinline __visible

enum recorder_color { RECORDER_RED = -3, RECORDER_GREEN = 7 };

struct recorder_pair {
	int a, b;
};

union recorder_word {
	u64 all;
	u8 part[8];
};

u64 recorder_seen[16];
unsigned int recorder_calls;
char recorder_text[64];

static void record(unsigned int n, const u64 *values)
{
	memset(recorder_seen, 0xee, sizeof(recorder_seen));
	memcpy(recorder_seen, values, n * sizeof(*values));
	recorder_calls++;
}
#define RECORD(...)                                                      \
	record(sizeof((u64[]){ __VA_ARGS__ }) / sizeof(u64), (u64[]){ __VA_ARGS__ })

/* All twelve, the last six on the stack. */
ENTRY void recorder_twelve(long a, long b, long c, long d, long e, long f, long g, long h, long i,
			   long j, long k, long l);
ENTRY void recorder_twelve(long a, long b, long c, long d, long e, long f, long g, long h, long i,
			   long j, long k, long l)
{
	RECORD(a, b, c, d, e, f, g, h, i, j, k, l);
}

/* Every width, widened as C does. */
ENTRY u64 recorder_widths(s8 a, u8 b, s16 c, u16 d, s32 e, u32 f, s64 g, u64 h, bool i, char j);
ENTRY u64 recorder_widths(s8 a, u8 b, s16 c, u16 d, s32 e, u32 f, s64 g, u64 h, bool i, char j)
{
	RECORD(a, b, c, d, e, f, g, h, i, j);
	return recorder_calls;
}

/* The same on the stack. */
ENTRY void recorder_stack(long p, long q, long r, long s, long t, long u, s8 a, u8 b, s16 c, u16 d,
			  s32 e, u32 f);
ENTRY void recorder_stack(long p, long q, long r, long s, long t, long u, s8 a, u8 b, s16 c, u16 d,
			  s32 e, u32 f)
{
	RECORD(p, q, r, s, t, u, a, b, c, d, e, f);
}

ENTRY int recorder_kinds(enum recorder_color color, union recorder_word word,
			 struct recorder_pair pair, struct recorder_pair *pointer,
			 void *any, int (*function)(int));
ENTRY int recorder_kinds(enum recorder_color color, union recorder_word word,
			 struct recorder_pair pair, struct recorder_pair *pointer,
			 void *any, int (*function)(int))
{
	RECORD(color, word.all, pair.a, pair.b, (u64)pointer, (u64)any, (u64)function);
	return function ? function(pair.b) : 0;
}

ENTRY int recorder_variadic(int n, ...);
ENTRY int recorder_variadic(int n, ...)
{
	u64 values[12] = { n };
	va_list rest;

	va_start(rest, n);
	for (int i = 1; i <= n; i++)
		values[i] = va_arg(rest, u64);
	va_end(rest);
	record(n + 1, values);
	return -n;
}

ENTRY void recorder_string(const char *text, size_t n);
ENTRY void recorder_string(const char *text, size_t n)
{
	memcpy(recorder_text, text, n);
	RECORD(strlen(text));
}

#define RESULT(name, type)                \
	ENTRY type recorder_##name(u64 v); \
	ENTRY type recorder_##name(u64 v)  \
	{                                 \
		return (type)v;           \
	}
RESULT(s8, s8)
RESULT(u8, u8)
RESULT(s16, s16)
RESULT(u16, u16)
RESULT(s32, s32)
RESULT(u32, u32)
RESULT(s64, s64)
RESULT(u64, u64)
RESULT(bool, bool)
RESULT(char, char)
RESULT(color, enum recorder_color)
RESULT(pointer, struct list_head *)
RESULT(any, void *)
RESULT(name, const char *)

ENTRY void recorder_void(void);
ENTRY void recorder_void(void)
{
	RECORD(0);
}

MODULE_LICENSE("GPL");
