// SPDX-License-Identifier: GPL-2.0-or-later
/* Finds members of structs. */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "py/qstr.h"
#include "entry.h"
#include "structs/field.h"
#include "structs/lookup.h"

#define NESTED_MAX 16 /* anonymous members in each other */

static bool is_const(struct kpy_ctype t)
{
	struct kpy_cinfo info;

	for (int depth = 0; depth < KPY_C_DEPTH; depth++) {
		kpy_ctype_get(t, &info);
		if (info.kind == KPY_C_QUALIFIED && info.qualifiers & KPY_Q_CONST)
			return true;
		if (info.kind != KPY_C_QUALIFIED && info.kind != KPY_C_TYPEDEF)
			return false;
		t.id = info.target;
	}
	return false;
}

static bool walk(struct kpy_ctype record, u32 base, int depth,
		 bool (*f)(const struct kpy_cmember *m, u32 bit_offset, void *data), void *data)
{
	struct kpy_cinfo info;
	struct kpy_cmember m;
	u32 n;

	kpy_ctype_get(record, &info);
	n = info.count;
	if (info.kind != KPY_C_STRUCT && info.kind != KPY_C_UNION)
		return false;
	for (u32 i = 0; i < n && kpy_ctype_member(record, i, &m); i++) {
		struct kpy_ctype inner;

		if (*m.name) {
			if (f(&m, base + m.bit_offset, data))
				return true;
			continue;
		}
		inner = kpy_ctype_strip(m.type, &info);
		if (depth < NESTED_MAX && walk(inner, base + m.bit_offset, depth + 1, f, data))
			return true;
	}
	return false;
}

bool kpy_fields_walk(struct kpy_ctype record,
		     bool (*f)(const struct kpy_cmember *m, u32 bit_offset, void *data), void *data)
{
	return walk(record, 0, 0, f, data);
}

static void found(struct kpy_field *f, const struct kpy_cmember *m, u32 bit_offset)
{
	f->type = m->type;
	f->bit_offset = bit_offset;
	f->bits = m->bits;
	f->size = kpy_ctype_size(m->type);
	f->constant = is_const(m->type);
}

struct search {
	const char *name;
	struct kpy_field *f;
};

static bool is_wanted(const struct kpy_cmember *m, u32 bit_offset, void *data)
{
	struct search *s = data;

	if (strcmp(m->name, s->name))
		return false;
	found(s->f, m, bit_offset);
	return true;
}

/* The same as walk() with is_wanted(), where names have numbers. */
static bool find_number(struct kpy_ctype record, u32 base, int depth, u32 wanted,
			struct kpy_field *f)
{
	struct kpy_cinfo info;
	struct kpy_cmember m;
	u32 n, name;

	kpy_ctype_get(record, &info);
	n = info.count;
	if (info.kind != KPY_C_STRUCT && info.kind != KPY_C_UNION)
		return false;
	for (u32 i = 0; i < n && record.in->member_bare(record.in, record.id, i, &m, &name); i++) {
		if (name == wanted) {
			found(f, &m, base + m.bit_offset);
			return true;
		}
		if (!name && depth < NESTED_MAX &&
		    find_number(kpy_ctype_strip(m.type, &info), base + m.bit_offset, depth + 1,
				wanted, f))
			return true;
	}
	return false;
}

bool kpy_field_find(struct kpy_ctype record, const char *name, struct kpy_field *f)
{
	struct search s = { name, f };
	u32 number;

	f->record = record;
	if (!record.in || !record.in->name_number)
		return kpy_fields_walk(record, is_wanted, &s);
	number = record.in->name_number(name);
	return number && find_number(record, 0, 0, number, f);
}

static struct kpy_ctype pointee_of(const struct kpy_types *in, u32 target)
{
	struct kpy_cinfo info;
	struct kpy_ctype t = kpy_ctype_strip((struct kpy_ctype){ in, target }, &info);

	if (info.kind == KPY_C_STRUCT || info.kind == KPY_C_UNION)
		return t;
	return (struct kpy_ctype){};
}

/* The members that were used last: what is in a slot stays right for as long as names have their numbers. */
#define CACHE_BITS 10
static struct kpy_field cache[1 << CACHE_BITS];

const struct kpy_field *kpy_field_of(struct kpy_ctype record, size_t name)
{
	struct kpy_field *f =
		&cache[hash_64((unsigned long)record.in ^ (u64)record.id << 20 ^ name, CACHE_BITS)];
	struct kpy_field found = {};

	if (likely(f->name == name && f->record.id == record.id && f->record.in == record.in &&
		   f->epoch == kpy_epoch))
		return f;
	if (!kpy_field_find(record, qstr_str(name), &found))
		return NULL;
	kpy_require_layout(record);
	found.name = name;
	found.epoch = kpy_epoch;
	found.plain = kpy_ctype_strip(found.type, &found.info);
	found.info.name = NULL;
	if (found.info.kind == KPY_C_POINTER)
		found.pointee = pointee_of(found.plain.in, found.info.target);
	*f = found;
	return f;
}

static int follow_index(struct kpy_field *f, const char **at)
{
	const char *p = *at + 1;
	struct kpy_cinfo info;
	unsigned long long i;
	struct kpy_ctype t;
	char *end;

	if (!isdigit(*p))
		return -EINVAL;
	i = simple_strtoull(p, &end, 0);
	if (*end != ']')
		return -EINVAL;
	t = kpy_ctype_strip(f->type, &info);
	if (info.kind != KPY_C_ARRAY)
		return -EINVAL;
	if (info.count != KPY_C_FLEXIBLE && i >= info.count)
		return -ERANGE;
	f->type = (struct kpy_ctype){ t.in, info.target };
	f->size = kpy_ctype_size(f->type);
	i = i * f->size * 8 + f->bit_offset;
	if (i > U32_MAX)
		return -ERANGE;
	f->bit_offset = i;
	*at = end + 1;
	return 0;
}

int kpy_path_follow(struct kpy_ctype type, const char *path, struct kpy_field *f, const char **at)
{
	struct kpy_cinfo info;
	bool first = true;
	int err;

	*f = (struct kpy_field){ .type = type, .size = kpy_ctype_size(type) };
	for (*at = path; **at;) {
		char name[KPY_C_NAME_MAX];
		u32 base = f->bit_offset;
		size_t n;

		if (**at == '[') {
			err = follow_index(f, at);
			if (err)
				return err;
			continue;
		}
		if (!first && *(*at)++ != '.')
			return -EINVAL;
		first = false;
		n = strcspn(*at, ".[");
		if (!n || n >= sizeof(name))
			return -EINVAL;
		memcpy(name, *at, n);
		name[n] = 0;
		if (!kpy_field_find(kpy_ctype_strip(f->type, &info), name, f))
			return -ENOENT;
		f->bit_offset += base;
		*at += n;
	}
	return 0;
}
