// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BTF in place. Every number read from it is compared with the size of what it counts, at
 * each use: data that was damaged later yields nonsense, but no access outside.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/stringhash.h>
#include <uapi/linux/btf.h>
#include "structs/btf.h"

/* Kinds newer than the headers may know: commits 8c42d2fa4eea (v5.17) and 6089fb325cf7 (v6.0). */
#define KIND_TYPE_TAG 18
#define KIND_ENUM64 19

#define HEAD_BYTES sizeof(struct btf_type)

static u32 vlen_of(const struct btf_type *t)
{
	return t->info & 0xffff;
}

static u32 kind_of(const struct btf_type *t)
{
	return t->info >> 24 & 0x1f;
}

static bool kind_flag(const struct btf_type *t)
{
	return t->info >> 31;
}

/* Bytes behind the head of a type; -1 for a kind nobody knows. */
static long tail_bytes(const struct btf_type *t)
{
	u32 n = vlen_of(t);

	switch (kind_of(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(u32);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return n * sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO:
		return n * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return n * sizeof(struct btf_var_secinfo);
	case KIND_ENUM64:
		return n * 3 * sizeof(u32);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case KIND_TYPE_TAG:
		return 0;
	default:
		return -1;
	}
}

/* The type and, when `tail` bytes behind its head are inside, that; else NULL. Sets the owner. */
static const struct btf_type *at(const struct kpy_btf **btf, u32 id, size_t tail)
{
	const struct kpy_btf *b = *btf;
	u32 offset;

	if (b->base && id < b->first_id)
		b = b->base;
	*btf = b;
	if (id < b->first_id || id - b->first_id >= b->n_types)
		return NULL;
	offset = b->offsets[id - b->first_id];
	if (offset > b->type_len || b->type_len - offset < HEAD_BYTES ||
	    b->type_len - offset - HEAD_BYTES < tail)
		return NULL;
	return (const void *)(b->type_data + offset);
}

static const char *name_at(const struct kpy_btf *btf, u32 offset)
{
	if (btf->base && offset < btf->first_string)
		btf = btf->base;
	offset -= btf->first_string;
	return offset < btf->strings_len ? btf->strings + offset : "";
}

static bool has_negative(const struct kpy_btf *btf, u32 id, const struct btf_type *t)
{
	const struct btf_enum *e = (const void *)(t + 1);

	/* The flag tells since commit 6089fb325cf7 (v6.0); before, only the values do. */
	if (kind_flag(t))
		return true;
	if (kind_of(t) != BTF_KIND_ENUM || !at(&btf, id, tail_bytes(t)))
		return false;
	for (u32 i = 0; i < vlen_of(t); i++)
		if (e[i].val < 0)
			return true;
	return false;
}

static void get(const struct kpy_types *in, u32 id, struct kpy_cinfo *info)
{
	const struct kpy_btf *btf = container_of(in, struct kpy_btf, types), *owner = btf;
	const struct btf_type *t;
	const struct btf_array *array;
	u32 word;

	if (!id) {
		info->kind = KPY_C_VOID;
		return;
	}
	t = at(&owner, id, 0);
	if (!t)
		return;
	/* A module's strings may be used by nobody but the module. */
	info->name = name_at(owner, t->name_off);
	info->target = t->type;
	switch (kind_of(t)) {
	case BTF_KIND_INT:
		if (!at(&owner, id, sizeof(u32)))
			return;
		word = *(const u32 *)(t + 1);
		info->kind = BTF_INT_ENCODING(word) & BTF_INT_BOOL ? KPY_C_BOOL : KPY_C_INT;
		info->is_signed = BTF_INT_ENCODING(word) & BTF_INT_SIGNED;
		info->size = t->size;
		return;
	case BTF_KIND_FLOAT:
		info->kind = KPY_C_FLOAT;
		info->size = t->size;
		return;
	case BTF_KIND_PTR:
		info->kind = KPY_C_POINTER;
		return;
	case BTF_KIND_ARRAY:
		if (!at(&owner, id, sizeof(*array)))
			return;
		array = (const void *)(t + 1);
		info->kind = KPY_C_ARRAY;
		info->target = array->type;
		info->count = array->nelems;
		return;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		info->kind = kind_of(t) == BTF_KIND_STRUCT ? KPY_C_STRUCT : KPY_C_UNION;
		info->size = t->size;
		info->count = vlen_of(t);
		return;
	case BTF_KIND_FWD:
		info->kind = kind_flag(t) ? KPY_C_UNION : KPY_C_STRUCT;
		info->incomplete = true;
		return;
	case BTF_KIND_ENUM:
	case KIND_ENUM64:
		info->kind = KPY_C_ENUM;
		info->size = t->size;
		info->count = vlen_of(t);
		info->is_signed = has_negative(owner, id, t);
		return;
	case BTF_KIND_TYPEDEF:
		info->kind = KPY_C_TYPEDEF;
		return;
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case KIND_TYPE_TAG:
		info->kind = KPY_C_QUALIFIED;
		info->name = "";
		info->qualifiers = kind_of(t) == BTF_KIND_CONST	     ? KPY_Q_CONST
				   : kind_of(t) == BTF_KIND_VOLATILE ? KPY_Q_VOLATILE
				   : kind_of(t) == BTF_KIND_RESTRICT ? KPY_Q_RESTRICT
								     : 0;
		return;
	case BTF_KIND_FUNC_PROTO: {
		const struct btf_param *p = (const void *)(t + 1);
		u32 n = vlen_of(t);

		if (!at(&owner, id, n * sizeof(*p)))
			return;
		info->kind = KPY_C_FUNCTION;
		info->variadic = n && !p[n - 1].type && !p[n - 1].name_off;
		info->count = n - info->variadic;
		return;
	}
	case BTF_KIND_FUNC:
		info->kind = KPY_C_DECL;
		return;
	case BTF_KIND_VAR:
		info->kind = KPY_C_DECL;
		/* The only variables in it, up to v6.17 at least, are those of the section .data..percpu. */
		info->percpu = true;
		return;
	}
}

static bool member(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m)
{
	const struct kpy_btf *btf = container_of(in, struct kpy_btf, types), *owner = btf;
	const struct btf_type *t = at(&owner, id, 0);
	const struct btf_member *field;
	const struct btf_param *param;

	m->type.in = in;
	if (!t || i >= vlen_of(t))
		return false;
	switch (kind_of(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		if (!at(&owner, id, (i + 1) * sizeof(*field)))
			return false;
		field = (const struct btf_member *)(t + 1) + i;
		m->name = name_at(owner, field->name_off);
		m->type.id = field->type;
		m->bit_offset = kind_flag(t) ? BTF_MEMBER_BIT_OFFSET(field->offset) : field->offset;
		m->bits = kind_flag(t) ? BTF_MEMBER_BITFIELD_SIZE(field->offset) : 0;
		return true;
	case BTF_KIND_FUNC_PROTO:
		if (!at(&owner, id, (i + 1) * sizeof(*param)))
			return false;
		param = (const struct btf_param *)(t + 1) + i;
		m->name = name_at(owner, param->name_off);
		m->type.id = param->type;
		return true;
	default:
		return false;
	}
}

bool kpy_is_btf(struct kpy_ctype t)
{
	return t.in && t.in->get == get;
}

static const char *constant(const struct kpy_types *in, u32 id, u32 i, s64 *value)
{
	const struct kpy_btf *btf = container_of(in, struct kpy_btf, types), *owner = btf;
	const struct btf_type *t = at(&owner, id, 0);
	const u32 *words;

	if (!t || i >= vlen_of(t) || (kind_of(t) != BTF_KIND_ENUM && kind_of(t) != KIND_ENUM64) ||
	    !at(&owner, id, tail_bytes(t)))
		return NULL;
	if (kind_of(t) == BTF_KIND_ENUM) {
		words = (const u32 *)(t + 1) + i * 2;
		*value = has_negative(owner, id, t) ? (s32)words[1] : words[1];
	} else {
		words = (const u32 *)(t + 1) + i * 3;
		*value = words[1] | (u64)words[2] << 32;
	}
	return name_at(owner, words[0]);
}

static u32 slot(const struct kpy_btf *btf, const char *name)
{
	return full_name_hash(NULL, name, strlen(name)) & (btf->n_heads - 1);
}

static bool is_kind(const struct btf_type *t, enum kpy_ckind kind)
{
	switch (kind_of(t)) {
	case BTF_KIND_FUNC:
	case BTF_KIND_VAR:
		return kind == KPY_C_DECL;
	case BTF_KIND_STRUCT:
		return kind == KPY_C_STRUCT;
	case BTF_KIND_UNION:
		return kind == KPY_C_UNION;
	case BTF_KIND_ENUM:
	case KIND_ENUM64:
		return kind == KPY_C_ENUM;
	case BTF_KIND_TYPEDEF:
		return kind == KPY_C_TYPEDEF;
	case BTF_KIND_INT:
		return kind == KPY_C_INT || kind == KPY_C_BOOL;
	default:
		return false;
	}
}

u32 kpy_btf_find(const struct kpy_btf *btf, enum kpy_ckind kind, const char *name, u32 after)
{
	const struct kpy_btf *owner = btf;
	u32 i = after ? btf->next[after - btf->first_id] : btf->heads[slot(btf, name)];

	/* Chains hold numbers from 1, and each goes down: they end. */
	for (; i; i = btf->next[i - 1]) {
		const struct btf_type *t = at(&owner, btf->first_id + i - 1, 0);

		if (t && is_kind(t, kind) && !strcmp(name_at(btf, t->name_off), name))
			return btf->first_id + i - 1;
	}
	return 0;
}

/* Counts the types, and notes where they are when there is room for that. */
static int walk(struct kpy_btf *btf)
{
	u32 offset = 0, n = 0;

	while (offset < btf->type_len) {
		const struct btf_type *t = (const void *)(btf->type_data + offset);
		long tail;

		if (btf->type_len - offset < HEAD_BYTES)
			return -EINVAL;
		tail = tail_bytes(t);
		if (tail < 0 || tail > btf->type_len - offset - HEAD_BYTES)
			return -EINVAL;
		if (btf->offsets) {
			if (n == btf->n_types)
				return -EINVAL;
			btf->offsets[n] = offset;
		}
		n++;
		offset += HEAD_BYTES + tail;
		if (!(n & 0xfff))
			cond_resched();
	}
	if (!btf->offsets)
		btf->n_types = n;
	return 0;
}

static void make_chains(struct kpy_btf *btf)
{
	for (u32 i = 0; i < btf->n_types; i++) {
		const struct kpy_btf *owner = btf;
		const struct btf_type *t = at(&owner, btf->first_id + i, 0);
		const char *name;
		u32 *head;

		if (!(i & 0xfff))
			cond_resched();
		if (!t || !t->name_off)
			continue;
		name = name_at(btf, t->name_off);
		head = &btf->heads[slot(btf, name)];
		btf->next[i] = *head;
		*head = i + 1;
	}
}

/* A section of the data, NULL when it is not inside. */
static const void *section(const void *data, size_t size, const struct btf_header *h, u32 offset,
			   u32 len)
{
	if (h->hdr_len > size || offset > size - h->hdr_len || len > size - h->hdr_len - offset)
		return NULL;
	return data + h->hdr_len + offset;
}

/* Checks all but the types themselves, and counts those. */
static int start(struct kpy_btf *btf, const void *data, size_t size, const struct kpy_btf *base)
{
	const struct btf_header *h = data;

	memset(btf, 0, sizeof(*btf));
	if (size < sizeof(*h) || h->magic != BTF_MAGIC || h->version != BTF_VERSION ||
	    h->hdr_len < sizeof(*h))
		return -EINVAL;
	btf->type_data = section(data, size, h, h->type_off, h->type_len);
	btf->strings = section(data, size, h, h->str_off, h->str_len);
	btf->type_len = h->type_len;
	btf->strings_len = h->str_len;
	if (!btf->type_data || !btf->strings || !IS_ALIGNED((uintptr_t)btf->type_data, 4) ||
	    !h->str_len || btf->strings[h->str_len - 1])
		return -EINVAL;
	btf->types = (struct kpy_types){ get, member, constant };
	btf->base = base;
	btf->first_id = base ? base->first_id + base->n_types : 1;
	btf->first_string = base ? base->strings_len : 0;
	return walk(btf);
}

int kpy_btf_open(struct kpy_btf *btf, const void *data, size_t size, const struct kpy_btf *base)
{
	int err = start(btf, data, size, base);

	if (err)
		return err;
	btf->n_heads = roundup_pow_of_two(max(btf->n_types / 2, 16U));
	btf->index_bytes = (2 * (size_t)btf->n_types + btf->n_heads) * sizeof(u32);
	btf->offsets = kvzalloc(btf->index_bytes, GFP_KERNEL);
	if (!btf->offsets)
		return -ENOMEM;
	btf->next = btf->offsets + btf->n_types;
	btf->heads = btf->next + btf->n_types;
	err = walk(btf);
	if (err) {
		kpy_btf_close(btf);
		return err;
	}
	make_chains(btf);
	return 0;
}

int kpy_btf_open_small(struct kpy_btf *btf, const void *data, size_t size,
		       const struct kpy_btf *base, u32 *offsets, u32 room)
{
	int err = size > KPY_BTF_SMALL ? -EINVAL : start(btf, data, size, base);

	if (!err && btf->n_types > room)
		err = -ENOMEM;
	if (!err) {
		btf->offsets = offsets;
		err = walk(btf);
	}
	if (err)
		btf->n_types = 0;
	return err;
}

void kpy_btf_close(struct kpy_btf *btf)
{
	kvfree(btf->offsets);
	btf->offsets = NULL;
	btf->n_types = 0;
}
