// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/pushed.h"
#include "structs/sources.h"

struct kpy_pushed kpy_pushed;

/* How far each push was opened; where its types are is kept in one array for all. */
static struct {
	bool tried;
	struct kpy_btf btf; /* without types: it was not understood */
} opened[KPY_PUSHES];

static u32 offsets[KPY_PUSHED_BYTES / 12]; /* a type takes 12 bytes and more */
static u32 offsets_used;

static void open(u32 i)
{
	const struct kpy_push *push = &kpy_pushed.pushes[i];
	const struct kpy_btf *base = kpy_sources_vmlinux();
	struct kpy_btf *btf = &opened[i].btf;

	opened[i].tried = true;
	if (push->at % 8 || push->at > KPY_PUSHED_BYTES || push->size > KPY_PUSHED_MOST ||
	    push->size > KPY_PUSHED_BYTES - push->at)
		return;
	if (push->first_id == 1)
		base = NULL;
	else if (!base || base->first_id + base->n_types != push->first_id)
		return;
	if (!kpy_btf_open_small(btf, kpy_pushed.data + push->at, push->size, base,
				offsets + offsets_used, ARRAY_SIZE(offsets) - offsets_used))
		offsets_used += btf->n_types;
}

static u32 find_in(const struct kpy_btf *btf, enum kpy_ckind kind, const char *name)
{
	struct kpy_cinfo info;

	for (u32 id = btf->first_id; id < btf->first_id + btf->n_types; id++) {
		kpy_ctype_get(kpy_btf_type(btf, id), &info);
		if (info.kind == kind && !info.incomplete && !strcmp(info.name, name))
			return id;
	}
	return 0;
}

struct kpy_ctype kpy_pushed_find(enum kpy_ckind kind, const char *name)
{
	u32 n = min_t(u32, READ_ONCE(kpy_pushed.n), KPY_PUSHES), id;

	while (n--) {
		if (!kpy_pushed.pushes[n].shown)
			continue;
		if (!opened[n].tried)
			open(n);
		id = find_in(&opened[n].btf, kind, name);
		if (id)
			return kpy_btf_type(&opened[n].btf, id);
	}
	return (struct kpy_ctype){};
}

bool kpy_is_pushed(struct kpy_ctype t)
{
	const void *in = t.in;

	return in >= (void *)opened && in < (void *)(opened + ARRAY_SIZE(opened));
}
