// SPDX-License-Identifier: GPL-2.0-or-later
/* Is what was linked into the module a layout table, and whole? */
#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/layout.h"
#include "structs/layout_format.h"

static const u8 entry_bytes[N] = { 3, 8, 1, 1, 8, 4, 1, 2 };

const char *kpy_layout_trouble(void)
{
	const struct header *h = table();
	size_t size = kpy_layout_table_end - kpy_layout_table;
	size_t crc_end = offsetofend(struct header, crc);
	static const u32 zero;
	u32 crc;

	if (size < sizeof(*h) || memcmp(h->magic, "KPYLAYT", 7))
		return "is none";
	if (h->magic[7] != '2' || h->version != 2)
		return "is of another version";
	if (h->header_size != sizeof(*h) || h->n_sections != N || (h->flags & 1))
		return "has a header that is not understood";
	if (h->total_size != size)
		return "is cut or too long";
	for (int i = 0; i < N; i++) {
		u64 n = (u64)h->sections[i].count * entry_bytes[i];

		if (h->sections[i].offset % 8 || h->sections[i].offset > size ||
		    n > size - h->sections[i].offset)
			return "has a section outside of it";
	}
	if ((h->pairs & 0xff) + (h->pairs >> 8) != count(PAIRS))
		return "has a dictionary that is not understood";
	crc = crc32_le(~0U, kpy_layout_table, offsetof(struct header, crc));
	crc = crc32_le(crc, (const u8 *)&zero, sizeof(zero));
	if (~crc32_le(crc, kpy_layout_table + crc_end, size - crc_end) != h->crc)
		return "is damaged";
	return NULL;
}
