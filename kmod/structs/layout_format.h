/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layout table in place, for those who read it: layout.c and its parts. docs/layout-table.md
 * has the format. Every number read is compared with the size of what it counts, so that nothing
 * is read outside of the table.
 */
#pragma once
#include "structs/ctype.h"
#include "structs/table.h"

enum { NAMES, BLOCKS, TYPES, BODIES, DECLS, TEXT_BLOCKS, TEXT, PAIRS, N };

struct header {
	char magic[8];
	u32 version, header_size, total_size, crc, flags, n_sections;
	u8 digest[32];
	u32 release, compiler, pairs, shared;
	struct {
		u32 offset, count;
	} sections[N];
};

#define BLOCK 16 /* types, or names, per entry of their block index */

enum {
	T_VOID,
	T_BASE,
	T_STRUCT,
	T_UNION,
	T_ENUM,
	T_TYPEDEF,
	T_POINTER,
	T_ARRAY,
	T_FUNCTION,
	T_QUALIFIED,
	T_SPACE,
	T_VECTOR,
	T_COMPLEX,
	T_OPAQUE,
	T_VARIABLE,
};

#define R_INCOMPLETE (1 << 7)
#define R_LOCAL (1 << 8)
#define E_SIGNED (1 << 6)
#define E_INCOMPLETE (1 << 7)
#define F_VARIADIC 1
#define F_UNPROTOTYPED 2

/* A type's number is the table's; declarations have numbers from DECL on. */
#define DECL 0x80000000U
#define D_PERCPU (1U << 28)
#define D_NAME (D_PERCPU - 1)

#define NUMBERS_MAX 5

static inline const struct header *table(void)
{
	return (const void *)kpy_layout_table;
}

static inline u32 count(int section)
{
	return table()->sections[section].count;
}

static inline const u8 *bytes(int section)
{
	return kpy_layout_table + table()->sections[section].offset;
}

/* Numbers of seven bits per byte; one that is cut or too long ends the reading. */
struct reader {
	const u8 *at, *end;
};

static inline u8 read_byte(struct reader *r)
{
	return r->at < r->end ? *r->at++ : 0;
}

static inline u64 read_number(struct reader *r)
{
	u64 n = 0;

	for (int shift = 0; r->at < r->end && shift < 64; shift += 7) {
		u8 b = *r->at++;

		n |= (u64)(b & 0x7f) << shift;
		if (b < 0x80)
			return n;
	}
	r->at = r->end;
	return 0;
}

static inline s64 read_signed(struct reader *r)
{
	u64 n = read_number(r);

	return n >> 1 ^ -(n & 1);
}

/*
 * A name that is being put together: bytes that no identifier has stand for words, which are
 * pairs of bytes, words in turn perhaps.
 */
struct name {
	u32 length;
	char text[KPY_C_NAME_MAX];
};

/* Puts a code of so many bytes behind a name: with the words of constants, or those of names. */
void kpy_name_read(struct name *name, struct reader *r, u32 length, bool constants);
/* The name of a number: it stays until as many others were asked for. Under the GIL. */
const char *kpy_layout_name(u32 number);
/* The number of a name, 0: no type has it. */
u32 kpy_name_number(const char *text);

struct entry {
	u8 kind, flags;
	u32 n[NUMBERS_MAX];
	struct reader rest; /* parameters of a function */
	u32 body; /* where its members or constants begin */
};

/* Reads the type of a number. */
bool kpy_entry_find(u32 id, struct entry *e);

static inline bool has_body(const struct entry *e)
{
	return e->kind >= T_STRUCT && e->kind <= T_ENUM;
}

/* The functions of a source (struct kpy_types). Under the GIL. */
bool kpy_body_member(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m);
bool kpy_body_member_bare(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m,
			  u32 *name);
const char *kpy_body_constant(const struct kpy_types *in, u32 id, u32 i, s64 *value);
