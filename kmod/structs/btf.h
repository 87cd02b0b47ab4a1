/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BTF, the kernel's own description of its types: one for vmlinux, and one for each
 * module that adds to it. Documentation/bpf/btf.rst has the format.
 */
#pragma once
#include "structs/ctype.h"

struct kpy_btf {
	struct kpy_types types; /* first: its address is the source */
	const struct kpy_btf *base; /* vmlinux's, of which a module's goes on counting */
	const u8 *type_data;
	u32 type_len;
	const char *strings;
	u32 strings_len;
	u32 first_id, first_string; /* numbers below are the base's */
	u32 n_types;
	/* The index: where each type is, and chains of those whose names have the same hash. */
	u32 *offsets, *heads, *next;
	u32 n_heads; /* a power of two */
	size_t index_bytes;
};

/*
 * Checks the size bytes at data and makes the index. data stays the caller's, and must
 * stay. 0, -EINVAL or -ENOMEM. May sleep.
 */
int kpy_btf_open(struct kpy_btf *btf, const void *data, size_t size, const struct kpy_btf *base);

/* Types take 12 bytes and more: so many bytes are read in one go. */
#define KPY_BTF_SMALL (4095 * 12)

/*
 * The same for a few types, in any context: without an index, with room for so many types
 * that is the caller's. kpy_btf_find and kpy_btf_close are not for it.
 */
int kpy_btf_open_small(struct kpy_btf *btf, const void *data, size_t size,
		       const struct kpy_btf *base, u32 *offsets, u32 room);
void kpy_btf_close(struct kpy_btf *btf);

/*
 * The next type of that name and kind (KPY_C_DECL: a function or variable), in this BTF
 * alone; `after` is 0 or the id found last. 0: there is none. Any context.
 */
u32 kpy_btf_find(const struct kpy_btf *btf, enum kpy_ckind kind, const char *name, u32 after);

/* Is BTF the source of that type? */
bool kpy_is_btf(struct kpy_ctype t);

static inline struct kpy_ctype kpy_btf_type(const struct kpy_btf *btf, u32 id)
{
	return (struct kpy_ctype){ &btf->types, id };
}
