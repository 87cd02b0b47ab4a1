// SPDX-License-Identifier: GPL-2.0-or-later
/* Fingerprints; docs/layout-prints.md has their format. */
#include <linux/bsearch.h>
#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/layout.h"
#include "structs/prints.h"
#include "structs/table.h"

#define NAME_BITS 17
#define NESTED_MAX 8 /* anonymous members in each other */

struct prints {
	char magic[4];
	u32 table; /* CRC of the table they are of */
	u32 count;
	u8 names[1 << (NAME_BITS - 3)]; /* a bit for each value of a name's CRC */
	u32 sorted[];
};

static const struct prints *prints(void)
{
	return (const void *)kpy_layout_prints;
}

/* Were they made of the table that is linked in? */
static bool usable(void)
{
	size_t size = kpy_layout_prints_end - kpy_layout_prints;

	return size >= sizeof(struct prints) && !memcmp(prints()->magic, "KPYF", 4) &&
	       prints()->table == kpy_layout_crc() &&
	       prints()->count == (size - sizeof(struct prints)) / sizeof(u32);
}

static u32 add(u32 crc, const void *data, size_t n)
{
	return crc32_le(crc, data, n);
}

static u32 add_body(u32 crc, struct kpy_ctype record, const struct kpy_cinfo *info, int depth)
{
	u32 head[] = { info->kind == KPY_C_UNION, info->size, info->count };
	struct kpy_cmember m;
	struct kpy_cinfo inner;

	crc = add(crc, head, sizeof(head));
	for (u32 i = 0; i < info->count && kpy_ctype_member(record, i, &m); i++) {
		u32 place[] = { m.bit_offset, m.bits, m.bits ? 0 : kpy_ctype_size(m.type) };

		crc = add(crc, m.name, strlen(m.name) + 1);
		crc = add(crc, place, sizeof(place));
		if (*m.name || depth == NESTED_MAX)
			continue;
		m.type = kpy_ctype_strip(m.type, &inner);
		if (inner.kind == KPY_C_STRUCT || inner.kind == KPY_C_UNION)
			crc = add_body(crc, m.type, &inner, depth + 1);
	}
	return crc;
}

static bool has_name(u32 crc)
{
	u32 bit = ~crc & ((1 << NAME_BITS) - 1);

	return prints()->names[bit >> 3] >> (bit & 7) & 1;
}

static int compare(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

enum kpy_print kpy_print_check(const struct kpy_btf *btf, u32 id)
{
	struct kpy_ctype t = kpy_btf_type(btf, id);
	struct kpy_cinfo info;
	u32 crc;

	kpy_ctype_get(t, &info);
	if ((info.kind != KPY_C_STRUCT && info.kind != KPY_C_UNION) || info.incomplete ||
	    !*info.name)
		return KPY_PRINT_NONE;
	if (!usable())
		return KPY_PRINT_UNKNOWN;
	crc = add(~0U, info.name, strlen(info.name) + 1);
	if (!has_name(crc))
		return KPY_PRINT_NONE;
	crc = ~add_body(crc, t, &info, 0);
	return bsearch(&crc, prints()->sorted, prints()->count, sizeof(u32), compare)
		       ? KPY_PRINT_EQUAL
		       : KPY_PRINT_UNKNOWN;
}
