// SPDX-License-Identifier: GPL-2.0-or-later
/* Is a struct of the layout table laid out as the running kernel's BTF says? */
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/compare.h"
#include "structs/sources.h"

#define NESTED_MAX 8

static bool same_members(struct kpy_ctype a, struct kpy_ctype b, int depth, const char **where)
{
	struct kpy_cinfo x, y, inner_x, inner_y;
	struct kpy_cmember m, n;
	u32 j = 0;

	kpy_ctype_get(a, &x);
	kpy_ctype_get(b, &y);
	*where = "";
	if (x.size != y.size)
		return false;
	for (u32 i = 0; i < x.count; i++, j++) {
		if (!kpy_ctype_member(a, i, &m))
			return false;
		*where = m.name;
		/* pahole leaves unnamed bitfields out, and so does the table. */
		if (j >= y.count || !kpy_ctype_member(b, j, &n))
			return false;
		if (strcmp(m.name, n.name) || m.bit_offset != n.bit_offset || m.bits != n.bits)
			return false;
		if (!m.bits && kpy_ctype_size(m.type) != kpy_ctype_size(n.type))
			return false;
		if (!*m.name && depth < NESTED_MAX) {
			m.type = kpy_ctype_strip(m.type, &inner_x);
			n.type = kpy_ctype_strip(n.type, &inner_y);
			if (inner_x.kind != inner_y.kind ||
			    !same_members(m.type, n.type, depth + 1, where))
				return false;
		}
	}
	*where = "";
	return j == y.count;
}

bool kpy_layout_matches(struct kpy_ctype record, const char **where)
{
	const struct kpy_btf *btf = kpy_sources_vmlinux();
	struct kpy_cinfo info;
	bool known = false;
	u32 id = 0;

	kpy_ctype_get(record, &info);
	*where = "";
	if (!btf || !*info.name || info.incomplete)
		return true;
	/* Of several of that name one must be it. */
	while ((id = kpy_btf_find(btf, info.kind, info.name, id))) {
		if (same_members(record, kpy_btf_type(btf, id), 0, where))
			return true;
		known = true;
	}
	return !known;
}
