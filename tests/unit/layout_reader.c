// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads a layout table in place, written from docs/layout-table.md alone: shows that the page is
 * enough, and that nothing needs to be allocated. For each name given, prints its members.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint32_t u32;

enum { INDEX, RECORDS, MEMBERS, ENUMS, CONSTANTS, TYPEDEFS, BASES, DECLS, POOL, WIDE, STRINGS };

struct header {
	char magic[8];
	u32 version, header_size, total_size, crc, flags, n_sections;
	uint8_t digest[32];
	u32 release, compiler, reserved[2];
	struct {
		u32 offset, count;
	} sections[11];
};
_Static_assert(sizeof(struct header) == 168, "as documented");

static const struct header *table;

static const u32 *entry(int section, u32 number, u32 words)
{
	if (number >= table->sections[section].count)
		exit(3);
	return (const u32 *)((const char *)table + table->sections[section].offset) +
	       number * words;
}

static const char *string(u32 offset)
{
	if (offset >= table->sections[STRINGS].count)
		exit(3);
	return (const char *)table + table->sections[STRINGS].offset + offset;
}

static u32 crc32(const unsigned char *data, u32 size)
{
	u32 crc = ~0U;

	for (u32 i = 0; i < size; i++) {
		crc ^= i >= 20 && i < 24 ? 0 : data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	return ~crc;
}

static const char *name_of(u32 index_entry)
{
	static const struct {
		int section, words;
	} kinds[] = { { 0, 0 },	       { RECORDS, 4 }, { ENUMS, 3 },
		      { TYPEDEFS, 2 }, { DECLS, 2 },   { CONSTANTS, 2 } };
	u32 kind = index_entry >> 28;

	if (kind < 1 || kind > 5)
		exit(3);
	return string(*entry(kinds[kind].section, index_entry & 0xfffffff, kinds[kind].words) &
		      0xfffffff);
}

/* The size in bytes of a type word's type, 0 for none. */
static unsigned long size_of(u32 word)
{
	u32 kind = word >> 27, payload = word & 0x7ffffff;

	switch (kind) {
	case 1:
		return entry(BASES, payload, 2)[1] & 0xff;
	case 2:
		return entry(RECORDS, payload, 4)[1];
	case 3:
		return entry(ENUMS, payload, 3)[2] & 0xff;
	case 4:
		return size_of(entry(TYPEDEFS, payload, 2)[1]);
	case 5:
		return table->flags >> 8 & 0xff;
	case 6:
		return *entry(POOL, payload + 1, 1) == ~0U
			       ? 0
			       : *entry(POOL, payload + 1, 1) * size_of(*entry(POOL, payload, 1));
	case 8:
		return size_of(*entry(POOL, payload & 0x7fffff, 1));
	case 9:
		return size_of(*entry(POOL, payload, 1));
	case 11:
	case 12:
		return *entry(POOL, payload + 1, 1);
	default:
		return 0;
	}
}

static void print_members(u32 number, u32 base)
{
	u32 end = entry(RECORDS, number + 1, 4)[2];

	for (u32 at = entry(RECORDS, number, 4)[2]; at < end; at++) {
		const u32 *member = entry(MEMBERS, at, 3);
		u32 word = member[2], bits = 0, type = word;

		if (word >> 27 == 10) {
			type = *entry(POOL, word & 0x7ffffff, 1);
			bits = *entry(POOL, (word & 0x7ffffff) + 1, 1);
		}
		/* const struct { … }; is an anonymous member too. */
		while (!member[0] && type >> 27 == 8)
			type = *entry(POOL, type & 0x7fffff, 1);
		if (member[0])
			printf("%s %u %u %lu\n", string(member[0]), base + member[1], bits,
			       size_of(type));
		else if (type >> 27 == 2)
			print_members(type & 0x7ffffff, base + member[1]);
	}
}

static void look_up(const char *name)
{
	u32 low = 0, high = table->sections[INDEX].count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (strcmp(name_of(*entry(INDEX, middle, 1)), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < table->sections[INDEX].count; low++) {
		u32 found = *entry(INDEX, low, 1);

		if (strcmp(name_of(found), name))
			break;
		if (found >> 28 == 1) {
			printf("%s %u\n", name, entry(RECORDS, found & 0xfffffff, 4)[1]);
			print_members(found & 0xfffffff, 0);
		}
	}
}

int main(int argc, char **argv)
{
	FILE *file = fopen(argv[1], "rb");
	long size;
	char *data;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 168)
		return 2;
	rewind(file);
	data = aligned_alloc(8, (size + 7) & ~7L);
	if (fread(data, 1, size, file) != (size_t)size)
		return 2;
	table = (const struct header *)data;
	if (memcmp(table->magic, "KPYLAYT1", 8) || table->version != 1 ||
	    table->total_size != size || table->crc != crc32((unsigned char *)data, size))
		return 2;
	printf("%s\n", string(table->release));
	for (int i = 2; i < argc; i++)
		look_up(argv[i]);
	return 0;
}
