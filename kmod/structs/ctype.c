// SPDX-License-Identifier: GPL-2.0-or-later
/* C types of any source. */
#include <linux/kernel.h>
#include <linux/overflow.h>
#include "structs/ctype.h"

void kpy_ctype_get(struct kpy_ctype t, struct kpy_cinfo *info)
{
	*info = (struct kpy_cinfo){ .kind = KPY_C_BAD, .name = "" };
	if (t.in)
		t.in->get(t.in, t.id, info);
}

bool kpy_ctype_member(struct kpy_ctype t, u32 i, struct kpy_cmember *m)
{
	*m = (struct kpy_cmember){ .name = "" };
	return t.in && t.in->member(t.in, t.id, i, m);
}

struct kpy_ctype kpy_ctype_strip(struct kpy_ctype t, struct kpy_cinfo *info)
{
	for (int depth = 0; depth < KPY_C_DEPTH; depth++) {
		kpy_ctype_get(t, info);
		if (info->kind != KPY_C_TYPEDEF && info->kind != KPY_C_QUALIFIED)
			return t;
		t.id = info->target;
	}
	*info = (struct kpy_cinfo){ .kind = KPY_C_BAD, .name = "" };
	return t;
}

u64 kpy_ctype_size(struct kpy_ctype t)
{
	struct kpy_cinfo info;
	u64 n = 1;

	for (int depth = 0; depth < KPY_C_DEPTH; depth++) {
		t = kpy_ctype_strip(t, &info);
		if (info.kind == KPY_C_POINTER)
			return n * sizeof(void *);
		if (info.kind != KPY_C_ARRAY)
			return n * info.size;
		if (info.count == KPY_C_FLEXIBLE || check_mul_overflow(n, (u64)info.count, &n))
			return 0;
		t.id = info.target;
	}
	return 0;
}
