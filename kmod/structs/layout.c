// SPDX-License-Identifier: GPL-2.0-or-later
/* The layout table in place. Type numbers are its type words; entries with a name have one, too. */
#include <linux/compiler.h>
#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/layout.h"
#include "structs/table.h"

enum { INDEX, RECORDS, MEMBERS, ENUMS, CONSTANTS, TYPEDEFS, BASES, DECLS, POOL, WIDE, STRINGS, N };

static const u8 entry_words[N] = { 1, 4, 3, 3, 2, 2, 2, 2, 1, 2, 0 };

struct header {
	char magic[8];
	u32 version, header_size, total_size, crc, flags, n_sections;
	u8 digest[32];
	u32 release, compiler, reserved[2];
	struct {
		u32 offset, count;
	} sections[N];
};

/* Kinds of type words; a declaration gets one that the format leaves free. */
enum {
	W_VOID,
	W_BASE,
	W_RECORD,
	W_ENUM,
	W_TYPEDEF,
	W_POINTER,
	W_ARRAY,
	W_FUNCTION,
	W_QUALIFIED,
	W_SPACE,
	W_BITFIELD,
	W_VECTOR,
	W_COMPLEX,
	W_OPAQUE,
	W_VLA,
	W_DECL = 31,
};

/* Kinds of index entries. */
enum { I_RECORD = 1, I_ENUM, I_TYPEDEF, I_DECL, I_CONSTANT };

#define WORD(kind, payload) ((u32)(kind) << 27 | (payload))
#define PAYLOAD 0x7ffffff

static const struct header *table(void)
{
	return (const void *)kpy_layout_table;
}

static const u32 *entry(int section, u32 number)
{
	const struct header *h = table();

	if (number >= h->sections[section].count)
		return NULL;
	return (const u32 *)(kpy_layout_table + h->sections[section].offset) +
	       number * entry_words[section];
}

static u32 pool(u32 number)
{
	const u32 *word = entry(POOL, number);

	return word ? *word : WORD(W_OPAQUE, 0);
}

static const char *string(u32 offset)
{
	const struct header *h = table();

	if (offset >= h->sections[STRINGS].count)
		return "";
	return (const char *)kpy_layout_table + h->sections[STRINGS].offset + offset;
}

static bool check(void)
{
	const struct header *h = table();
	size_t size = kpy_layout_table_end - kpy_layout_table;
	static const u32 zero;
	size_t crc_end = offsetofend(struct header, crc);
	u32 crc;

	if (size < sizeof(*h) || memcmp(h->magic, "KPYLAYT1", 8) || h->version != 1 ||
	    h->header_size != sizeof(*h) || h->total_size != size || h->n_sections != N ||
	    (h->flags & 1))
		return false;
	for (int i = 0; i < N; i++) {
		u64 bytes = (u64)h->sections[i].count *
			    (i == STRINGS ? 1 : entry_words[i] * sizeof(u32));

		if (h->sections[i].offset % 8 || h->sections[i].offset > size ||
		    bytes > size - h->sections[i].offset)
			return false;
	}
	if (!h->sections[STRINGS].count || *string(h->sections[STRINGS].count - 1) ||
	    !h->sections[RECORDS].count || !h->sections[ENUMS].count)
		return false;
	crc = crc32_le(~0U, kpy_layout_table, offsetof(struct header, crc));
	crc = crc32_le(crc, (const u8 *)&zero, sizeof(zero));
	return ~crc32_le(crc, kpy_layout_table + crc_end, size - crc_end) == h->crc;
}

static bool is_good;

void kpy_layout_check(void)
{
	WRITE_ONCE(is_good, check());
}

static void get_record(u32 number, struct kpy_cinfo *info)
{
	const u32 *e = entry(RECORDS, number), *end = entry(RECORDS, number + 1);

	if (!e || !end || end[2] < e[2])
		return;
	info->kind = e[3] & 1 ? KPY_C_UNION : KPY_C_STRUCT;
	info->name = string(e[0]);
	info->incomplete = e[3] & (1 << 9) || e[1] == ~0U;
	info->size = info->incomplete ? 0 : e[1];
	info->count = end[2] - e[2];
}

static void get_enum(u32 number, struct kpy_cinfo *info)
{
	const u32 *e = entry(ENUMS, number), *end = entry(ENUMS, number + 1);

	if (!e || !end || end[1] < e[1])
		return;
	info->kind = KPY_C_ENUM;
	info->name = string(e[0]);
	info->size = e[2] & 0xff;
	info->is_signed = e[2] & (1 << 8);
	info->incomplete = e[2] & (1 << 10);
	info->count = end[1] - e[1];
}

static void get_base(u32 number, struct kpy_cinfo *info)
{
	static const enum kpy_ckind kinds[] = { KPY_C_INT, KPY_C_INT, KPY_C_BOOL, KPY_C_FLOAT };
	const u32 *e = entry(BASES, number);

	if (!e || (e[1] >> 8 & 0xff) >= ARRAY_SIZE(kinds))
		return;
	info->kind = kinds[e[1] >> 8 & 0xff];
	info->is_signed = (e[1] >> 8 & 0xff) == 1;
	info->name = string(e[0]);
	info->size = e[1] & 0xff;
}

static void get(const struct kpy_types *in, u32 word, struct kpy_cinfo *info)
{
	u32 payload = word & PAYLOAD, bits;
	const u32 *e;

	switch (word >> 27) {
	case W_VOID:
		info->kind = KPY_C_VOID;
		return;
	case W_BASE:
		get_base(payload, info);
		return;
	case W_RECORD:
		get_record(payload, info);
		return;
	case W_ENUM:
		get_enum(payload, info);
		return;
	case W_TYPEDEF:
	case W_DECL:
		e = entry(word >> 27 == W_TYPEDEF ? TYPEDEFS : DECLS, payload);
		if (!e)
			return;
		info->kind = word >> 27 == W_TYPEDEF ? KPY_C_TYPEDEF : KPY_C_DECL;
		info->name = string(e[0] & 0xfffffff);
		info->percpu = word >> 27 == W_DECL && e[0] & (1 << 28);
		info->target = e[1];
		return;
	case W_POINTER:
		info->kind = KPY_C_POINTER;
		info->target = pool(payload);
		return;
	case W_ARRAY:
		info->kind = KPY_C_ARRAY;
		info->target = pool(payload);
		info->count = pool(payload + 1);
		return;
	case W_VLA:
		info->kind = KPY_C_ARRAY;
		info->target = pool(payload);
		info->count = KPY_C_FLEXIBLE;
		return;
	case W_FUNCTION:
		bits = pool(payload + 1);
		/* Without a prototype nothing is known of its parameters. */
		if (bits & (1 << 30))
			return;
		info->kind = KPY_C_FUNCTION;
		info->target = pool(payload);
		info->variadic = bits >> 31;
		info->count = bits & 0xffff;
		return;
	case W_QUALIFIED:
		info->kind = KPY_C_QUALIFIED;
		info->qualifiers = payload >> 23 & 7;
		info->target = pool(payload & 0x7fffff);
		return;
	case W_SPACE:
	case W_BITFIELD:
		info->kind = KPY_C_QUALIFIED;
		info->target = pool(payload);
		return;
	}
}

static bool record_member(u32 number, u32 i, struct kpy_cmember *m)
{
	struct kpy_cinfo info = {};
	const u32 *e;

	get_record(number, &info);
	if (info.kind == KPY_C_BAD || i >= info.count)
		return false;
	e = entry(MEMBERS, entry(RECORDS, number)[2] + i);
	if (!e)
		return false;
	m->name = string(e[0]);
	m->bit_offset = e[1];
	m->type.id = e[2];
	if (e[2] >> 27 == W_BITFIELD) {
		m->type.id = pool(e[2] & PAYLOAD);
		m->bits = pool((e[2] & PAYLOAD) + 1);
	}
	return true;
}

static bool member(const struct kpy_types *in, u32 word, u32 i, struct kpy_cmember *m)
{
	u32 payload = word & PAYLOAD;

	m->type.in = in;
	if (word >> 27 == W_RECORD)
		return record_member(payload, i, m);
	if (word >> 27 != W_FUNCTION || i >= (pool(payload + 1) & 0xffff))
		return false;
	m->type.id = pool(payload + 2 + i);
	return true;
}

static const struct kpy_types layout_types = { get, member };

/* The type word of an index entry; names of constants are no types. */
static u32 word_of(u32 index_entry)
{
	static const u8 kinds[] = { W_OPAQUE, W_RECORD, W_ENUM, W_TYPEDEF, W_DECL };
	u32 kind = index_entry >> 28;

	return WORD(kind < ARRAY_SIZE(kinds) ? kinds[kind] : W_OPAQUE, index_entry & PAYLOAD);
}

static const char *name_of(u32 index_entry)
{
	static const u8 sections[] = { N, RECORDS, ENUMS, TYPEDEFS, DECLS, CONSTANTS };
	u32 kind = index_entry >> 28;
	const u32 *e = NULL;

	if (kind && kind < ARRAY_SIZE(sections))
		e = entry(sections[kind], index_entry & 0xfffffff);
	return e ? string(e[0] & 0xfffffff) : "";
}

static u32 first_of(const char *name)
{
	u32 low = 0, high = table()->sections[INDEX].count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (strcmp(name_of(*entry(INDEX, middle)), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct kpy_ctype kpy_layout_find(enum kpy_ckind kind, const char *name, u32 *at)
{
	u32 i;

	if (!READ_ONCE(is_good))
		return (struct kpy_ctype){};
	for (i = *at ?: first_of(name); i < table()->sections[INDEX].count; i++) {
		u32 found = *entry(INDEX, i);
		struct kpy_ctype t = { &layout_types, word_of(found) };
		struct kpy_cinfo info;

		if (strcmp(name_of(found), name))
			break;
		kpy_ctype_get(t, &info);
		if (info.kind == kind) {
			*at = i + 1;
			return t;
		}
	}
	return (struct kpy_ctype){};
}
