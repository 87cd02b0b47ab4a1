// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's reader of the layout table as a program: prints what it finds under each name
 * given, one a line on standard input.
 */
#include <stdlib.h>
#include "structs/layout.h"
#include "structs/table.h"

const u8 *kpy_layout_table, *kpy_layout_table_end;

static void print_members(struct kpy_ctype t, u32 base, int depth)
{
	struct kpy_cinfo info, inner;
	struct kpy_cmember m;

	kpy_ctype_get(t, &info);
	for (u32 i = 0; i < info.count && depth < 60; i++) {
		if (!kpy_ctype_member(t, i, &m))
			return;
		if (*m.name) {
			printf("%s %u %u %lu\n", m.name, base + m.bit_offset, m.bits,
			       (unsigned long)kpy_ctype_size(m.type));
			continue;
		}
		/* const struct { ... }; is an anonymous member too. */
		m.type = kpy_ctype_strip(m.type, &inner);
		if (inner.kind == KPY_C_STRUCT || inner.kind == KPY_C_UNION)
			print_members(m.type, base + m.bit_offset, depth + 1);
	}
}

static void print_constants(struct kpy_ctype t, const struct kpy_cinfo *info)
{
	for (u32 i = 0; i < info->count; i++) {
		s64 value;
		const char *name = t.in->constant(t.in, t.id, i, &value);

		if (!name)
			return;
		if (info->is_signed)
			printf("%s = %lld\n", name, (long long)value);
		else
			printf("%s = %llu\n", name, (unsigned long long)value);
	}
}

static void look_up(const char *name)
{
	static const enum kpy_ckind kinds[] = { KPY_C_STRUCT, KPY_C_UNION, KPY_C_ENUM,
						KPY_C_TYPEDEF, KPY_C_DECL };
	struct kpy_cinfo info;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct kpy_ctype t;
		u32 at = 0;

		while ((t = kpy_layout_find(kinds[k], name, &at)).in) {
			kpy_ctype_get(t, &info);
			if (info.kind == KPY_C_TYPEDEF || info.kind == KPY_C_DECL) {
				t.id = info.target;
				printf("%s: %lu\n", name, (unsigned long)kpy_ctype_size(t));
				continue;
			}
			printf("%s %u\n", name, info.size);
			if (info.kind == KPY_C_ENUM)
				print_constants(t, &info);
			else
				print_members(t, 0, 0);
		}
	}
}

int main(int argc, char **argv)
{
	FILE *file = fopen(argv[argc - 1], "rb");
	char line[4096];
	long size;
	u8 *data;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0)
		return 3;
	rewind(file);
	/* To the byte, so that a sanitizer sees what lies behind. */
	data = malloc(size ?: 1);
	if (fread(data, 1, size, file) != (size_t)size)
		return 3;
	kpy_layout_table = data;
	kpy_layout_table_end = data + size;
	kpy_layout_check();
	if (!kpy_layout_count())
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		look_up(line);
	}
	free(data);
	return 0;
}
