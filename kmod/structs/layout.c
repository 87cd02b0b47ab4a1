// SPDX-License-Identifier: GPL-2.0-or-later
/* The layout table as a source of types: its entries, and the indexes by name. */
#include <linux/compiler.h>
#include <linux/kernel.h>
#include "kpy.h"
#include "structs/layout.h"
#include "structs/layout_format.h"

/* Numbers behind the first byte of each kind. */
static const u8 n_numbers[16] = { 0, 3, 5, 5, 5, 2, 1, 2, 2, 1, 2, 2, 2, 2, 1 };

static void read_entry(struct reader *r, struct entry *e)
{
	u8 head = read_byte(r);

	e->kind = head & 15;
	e->flags = head >> 4;
	for (int i = 0; i < n_numbers[e->kind]; i++)
		e->n[i] = read_number(r);
	e->rest = *r;
	if (e->kind == T_FUNCTION)
		for (u32 i = 0; i < e->n[1] && r->at < r->end; i++)
			read_number(r);
}

bool kpy_entry_find(u32 id, struct entry *e)
{
	u32 block = id / BLOCK, body;
	struct reader r;
	const u32 *b;

	if (block >= count(BLOCKS))
		return false;
	b = (const u32 *)bytes(BLOCKS) + block * 2;
	body = b[1];
	if (b[0] >= count(TYPES))
		return false;
	r = (struct reader){ bytes(TYPES) + b[0], bytes(TYPES) + count(TYPES) };
	for (u32 i = id % BLOCK;; i--) {
		if (r.at >= r.end)
			return false;
		read_entry(&r, e);
		e->body = body;
		if (!i)
			return true;
		if (has_body(e))
			body += e->n[4];
	}
}

static bool is_good;

void kpy_layout_check(void)
{
	const char *trouble = kpy_layout_trouble();

	if (trouble)
		pr_err("the layout table %s: structs come from BTF alone\n", trouble);
	WRITE_ONCE(is_good, !trouble);
}

static void get_decl(u32 number, struct kpy_cinfo *info)
{
	const u32 *d = (const u32 *)bytes(DECLS) + number * 2;

	if (number >= count(DECLS))
		return;
	info->kind = KPY_C_DECL;
	info->name = kpy_layout_name(d[0] & D_NAME);
	info->percpu = d[0] & D_PERCPU;
	info->target = d[1];
}

static void get(const struct kpy_types *in, u32 id, struct kpy_cinfo *info)
{
	static const enum kpy_ckind bases[] = { KPY_C_INT, KPY_C_INT, KPY_C_BOOL, KPY_C_FLOAT };
	struct entry e;

	if (id & DECL) {
		get_decl(id & ~DECL, info);
		return;
	}
	if (!kpy_entry_find(id, &e))
		return;
	switch (e.kind) {
	case T_VOID:
		info->kind = KPY_C_VOID;
		return;
	case T_BASE:
		info->kind = bases[e.flags & 3];
		info->is_signed = (e.flags & 3) == 1;
		info->name = kpy_layout_name(e.n[0]);
		info->size = e.n[1];
		return;
	case T_STRUCT:
	case T_UNION:
		info->kind = e.kind == T_STRUCT ? KPY_C_STRUCT : KPY_C_UNION;
		info->name = kpy_layout_name(e.n[0]);
		info->incomplete = e.n[1] & R_INCOMPLETE;
		info->local = e.n[1] & R_LOCAL;
		info->size = e.n[2];
		info->count = e.n[3];
		return;
	case T_ENUM:
		info->kind = KPY_C_ENUM;
		info->name = kpy_layout_name(e.n[0]);
		info->is_signed = e.n[1] & E_SIGNED;
		info->incomplete = e.n[1] & E_INCOMPLETE;
		info->size = e.n[2];
		info->count = e.n[3];
		return;
	case T_TYPEDEF:
		info->kind = KPY_C_TYPEDEF;
		info->name = kpy_layout_name(e.n[0]);
		info->target = e.n[1];
		return;
	case T_POINTER:
		info->kind = KPY_C_POINTER;
		info->target = e.n[0];
		return;
	case T_ARRAY:
	case T_VARIABLE:
		info->kind = KPY_C_ARRAY;
		info->target = e.n[0];
		info->count = e.kind == T_ARRAY && e.n[1] ? e.n[1] - 1 : KPY_C_FLEXIBLE;
		return;
	case T_FUNCTION:
		/* Without a prototype nothing is known of its parameters. */
		if (e.flags & F_UNPROTOTYPED)
			return;
		info->kind = KPY_C_FUNCTION;
		info->target = e.n[0];
		info->variadic = e.flags & F_VARIADIC;
		info->count = e.n[1];
		return;
	/* Not understood any further, but their size is. */
	case T_VECTOR:
	case T_COMPLEX:
		info->size = e.n[1];
		return;
	case T_OPAQUE:
		info->size = e.n[1] ? e.n[1] - 1 : 0;
		return;
	case T_QUALIFIED:
	case T_SPACE:
		info->kind = KPY_C_QUALIFIED;
		info->qualifiers = e.kind == T_QUALIFIED ? e.flags & 7 : 0;
		info->target = e.n[0];
		return;
	}
}

const struct kpy_types kpy_layout_types = { get, kpy_body_member, kpy_body_constant,
					    kpy_name_number, kpy_body_member_bare };

bool kpy_is_layout(struct kpy_ctype t)
{
	return t.in == &kpy_layout_types;
}

static u32 named(u32 i)
{
	const u8 *e = bytes(NAMES) + i * 3;

	return e[0] | e[1] << 8 | e[2] << 16;
}

/* The number of the name of an entry of an index. */
static u32 name_at(enum kpy_ckind kind, u32 i)
{
	struct entry e;

	if (kind == KPY_C_DECL)
		return ((const u32 *)bytes(DECLS))[i * 2] & D_NAME;
	return kpy_entry_find(named(i), &e) && e.kind >= T_STRUCT && e.kind <= T_TYPEDEF ? e.n[0]
											 : 0;
}

static u32 first_of(enum kpy_ckind kind, u32 name)
{
	u32 low = 0, high = count(kind == KPY_C_DECL ? DECLS : NAMES);

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (name_at(kind, middle) < name)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_kind(u32 id, enum kpy_ckind kind)
{
	static const u8 kinds[] = { [KPY_C_STRUCT] = T_STRUCT,
				    [KPY_C_UNION] = T_UNION,
				    [KPY_C_ENUM] = T_ENUM,
				    [KPY_C_TYPEDEF] = T_TYPEDEF };
	struct entry e;

	if (kind == KPY_C_DECL)
		return true;
	return kind < ARRAY_SIZE(kinds) && kinds[kind] && kpy_entry_find(id, &e) &&
	       e.kind == kinds[kind];
}

struct kpy_ctype kpy_layout_find(enum kpy_ckind kind, const char *name, u32 *at)
{
	u32 number;

	if (!READ_ONCE(is_good))
		return (struct kpy_ctype){};
	number = kpy_name_number(name);
	if (!number)
		return (struct kpy_ctype){};
	for (u32 i = *at ?: first_of(kind, number); i < count(kind == KPY_C_DECL ? DECLS : NAMES);
	     i++) {
		u32 id = kind == KPY_C_DECL ? DECL | i : named(i);

		if (name_at(kind, i) != number)
			break;
		if (is_kind(id, kind)) {
			*at = i + 1;
			return (struct kpy_ctype){ &kpy_layout_types, id };
		}
	}
	return (struct kpy_ctype){};
}

u32 kpy_layout_count(void)
{
	return READ_ONCE(is_good) ? count(NAMES) : 0;
}

struct kpy_ctype kpy_layout_named(u32 i)
{
	return (struct kpy_ctype){ &kpy_layout_types, named(i) };
}

u32 kpy_layout_ids(void)
{
	return READ_ONCE(is_good) ? count(BLOCKS) * BLOCK : 0;
}

u32 kpy_layout_crc(void)
{
	return table()->crc;
}
