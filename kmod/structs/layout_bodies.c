// SPDX-License-Identifier: GPL-2.0-or-later
/* Members and constants of the layout table, and the parameters of functions. */
#include <linux/kernel.h>
#include "structs/layout_format.h"

/*
 * Where the reading of a body stands. Members are asked for one after the other: the place
 * behind the one that was read last is kept. Under the GIL.
 */
struct place {
	u32 id, i; /* i: what comes next; 0: nothing is kept */
	struct reader r;
	u64 offset; /* or value */
	u32 type, bits;
	u32 prefix;
};

static struct place members_at, constants_at;

static struct place *go_to(struct place *p, u32 id, u32 i, u64 start)
{
	struct entry e;

	if (p->i && p->id == id && p->i <= i)
		return p;
	p->i = 0;
	if (!kpy_entry_find(id, &e) || !has_body(&e) || i >= e.n[3] || e.body > count(BODIES) ||
	    e.n[4] > count(BODIES) - e.body)
		return NULL;
	*p = (struct place){ .id = id, .offset = start };
	p->r.at = bytes(BODIES) + e.body;
	p->r.end = p->r.at + e.n[4];
	return p;
}

#define M_TYPE 1
#define M_NAME 2
#define M_BITS 4
#define STEP_WIDTH 31

/* Returns the number of its name. */
static u32 next_member(struct place *p, struct kpy_cmember *m)
{
	static const u16 steps[STEP_WIDTH] = { 0,    0,	  8,   16,  32,	 64,  128, 192,
					       256,  320, 384, 448, 512, 24,  48,  96,
					       40,   56,  80,  160, 224, 288, 640, 1024,
					       2048, 768, 1,   2,   4,	 12,  144 };
	u8 head = read_byte(&p->r), step = head >> 3;
	u32 name;

	if (step == STEP_WIDTH)
		p->offset += p->bits;
	else
		p->offset += step ? steps[step] : read_signed(&p->r);
	name = head & M_NAME ? read_number(&p->r) : 0;
	if (head & M_TYPE)
		p->type = read_number(&p->r);
	p->bits = head & M_BITS ? read_number(&p->r) : 0;
	m->type.id = p->type;
	m->bit_offset = p->offset;
	m->bits = p->bits;
	p->i++;
	return name;
}

bool kpy_body_member_bare(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m,
			  u32 *name)
{
	struct place *p;

	m->type.in = in;
	p = go_to(&members_at, id, i, 0);
	if (!p)
		return false;
	do {
		if (p->r.at >= p->r.end) {
			p->i = 0;
			return false;
		}
		*name = next_member(p, m);
	} while (p->i <= i);
	return true;
}

bool kpy_body_member(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m)
{
	struct entry e;
	u32 name;

	m->type.in = in;
	if (id & DECL)
		return false;
	if (!(members_at.i && members_at.id == id) && kpy_entry_find(id, &e) &&
	    e.kind == T_FUNCTION) {
		if (i >= e.n[1])
			return false;
		for (u32 skipped = 0; skipped <= i; skipped++)
			m->type.id = read_number(&e.rest);
		return true;
	}
	if (!kpy_body_member_bare(in, id, i, m, &name))
		return false;
	m->name = kpy_layout_name(name);
	return true;
}

#define C_VALUE 1
#define C_PREFIX 2
#define C_LONG 63
static void next_constant(struct place *p, struct name *name)
{
	u8 head = read_byte(&p->r);
	u32 length = head >> 2;

	p->offset += head & C_VALUE ? read_signed(&p->r) : 1;
	if (head & C_PREFIX)
		p->prefix = read_number(&p->r);
	if (length == C_LONG)
		length = read_number(&p->r);
	name->length = min(name->length, p->prefix);
	kpy_name_read(name, &p->r, length, true);
	p->i++;
}

const char *kpy_body_constant(const struct kpy_types *in, u32 id, u32 i, s64 *value)
{
	static struct name name; /* of the constant that was read last */
	struct place *p;

	if (id & DECL)
		return NULL;
	p = go_to(&constants_at, id, i, -1);
	if (!p)
		return NULL;
	if (!p->i)
		name.length = 0;
	do {
		if (p->r.at >= p->r.end) {
			p->i = 0;
			return NULL;
		}
		next_constant(p, &name);
	} while (p->i <= i);
	*value = p->offset;
	return name.text;
}
