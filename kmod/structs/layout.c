// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The layout table in place; docs/layout-table.md has the format. A type's number is the
 * table's; declarations have numbers from DECL on. Every number read is compared with the
 * size of what it counts, so that nothing is read outside of the table.
 */
#include <linux/compiler.h>
#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "kpy.h"
#include "structs/layout.h"
#include "structs/table.h"

enum { NAMES, BLOCKS, TYPES, BODIES, DECLS, TEXT_BLOCKS, TEXT, PAIRS, N };

static const u8 entry_bytes[N] = { 3, 8, 1, 1, 8, 4, 1, 2 };

struct header {
	char magic[8];
	u32 version, header_size, total_size, crc, flags, n_sections;
	u8 digest[32];
	u32 release, compiler, pairs, shared;
	struct {
		u32 offset, count;
	} sections[N];
};

#define BLOCK 16 /* types, or names, per entry of their block index */

enum {
	T_VOID,
	T_BASE,
	T_STRUCT,
	T_UNION,
	T_ENUM,
	T_TYPEDEF,
	T_POINTER,
	T_ARRAY,
	T_FUNCTION,
	T_QUALIFIED,
	T_SPACE,
	T_VECTOR,
	T_COMPLEX,
	T_OPAQUE,
	T_VARIABLE,
};

/* Numbers behind the first byte of each kind. */
static const u8 n_numbers[16] = { 0, 3, 5, 5, 5, 2, 1, 2, 2, 1, 2, 2, 2, 2, 1 };
#define NUMBERS_MAX 5

#define R_INCOMPLETE (1 << 7)
#define R_REVERSE (1 << 9)
#define R_OPAQUE (1 << 11)
#define E_SIGNED (1 << 6)
#define E_INCOMPLETE (1 << 7)
#define F_VARIADIC 1
#define F_UNPROTOTYPED 2

#define DECL 0x80000000U
#define D_PERCPU (1U << 28)
#define D_NAME (D_PERCPU - 1)

static const struct header *table(void)
{
	return (const void *)kpy_layout_table;
}

static u32 count(int section)
{
	return table()->sections[section].count;
}

static const u8 *bytes(int section)
{
	return kpy_layout_table + table()->sections[section].offset;
}

/* Numbers of seven bits per byte; one that is cut or too long ends the reading. */
struct reader {
	const u8 *at, *end;
};

static u8 read_byte(struct reader *r)
{
	return r->at < r->end ? *r->at++ : 0;
}

static u64 read_number(struct reader *r)
{
	u64 n = 0;

	for (int shift = 0; r->at < r->end && shift < 64; shift += 7) {
		u8 b = *r->at++;

		n |= (u64)(b & 0x7f) << shift;
		if (b < 0x80)
			return n;
	}
	r->at = r->end;
	return 0;
}

static s64 read_signed(struct reader *r)
{
	u64 n = read_number(r);

	return n >> 1 ^ -(n & 1);
}

/*
 * A name that is being put together: bytes that no identifier has stand for words, which are
 * pairs of bytes, words in turn perhaps.
 */
struct name {
	u32 length;
	char text[KPY_C_NAME_MAX];
};

static void append(struct name *name, char c)
{
	if (name->length < sizeof(name->text) - 1)
		name->text[name->length++] = c;
}

/* The number of the word that a byte stands for, -1 for the byte itself. */
static int word_of(u8 byte)
{
	if (byte < '0')
		return byte;
	if (byte <= '9')
		return -1;
	if (byte < 'A')
		return byte - 10;
	if (byte <= 'Z')
		return -1;
	if (byte < '_')
		return byte - 36;
	if (byte == '_')
		return -1;
	if (byte < 'a')
		return byte - 37;
	return byte <= 'z' ? -1 : byte - 63;
}

#define WORD_ESCAPE 0xff
#define WORD_DEPTH 16

/* `first` is the first pair of the dictionary, n how many it has. */
static void append_code(struct name *name, u8 byte, u32 first, u32 n)
{
	u8 waiting[WORD_DEPTH], depth = 0;

	for (;;) {
		int number = word_of(byte);

		if (number < 0) {
			append(name, byte);
			if (!depth)
				return;
			byte = waiting[--depth];
		} else {
			const u8 *pair = bytes(PAIRS) + (first + number) * 2;

			if (number >= n || depth == WORD_DEPTH)
				return;
			waiting[depth++] = pair[1];
			byte = pair[0];
		}
	}
}

static void read_code(struct name *name, struct reader *r, u32 length, bool constants)
{
	u32 pairs = table()->pairs, n = pairs & 0xff, first = 0;

	if (constants) {
		first = n;
		n = pairs >> 8;
	}
	while (length-- && r->at < r->end) {
		u8 byte = read_byte(r);

		if (byte == WORD_ESCAPE && length) {
			length--;
			append(name, read_byte(r));
		} else {
			append_code(name, byte, first, n);
		}
	}
	name->text[name->length] = 0;
}

#define N_LONG 31

static void next_name(struct name *name, struct reader *r)
{
	u8 head = read_byte(r);
	u32 prefix = head & N_LONG, length = (head >> 5) + 1;

	if (prefix == N_LONG) {
		prefix = read_number(r);
		length = read_number(r);
	}
	name->length = min(name->length, prefix);
	read_code(name, r, length, false);
}

static u32 block_text(u32 block, struct reader *r)
{
	u32 at = ((const u32 *)bytes(TEXT_BLOCKS))[block];

	at = min(at, count(TEXT));
	*r = (struct reader){ bytes(TEXT) + at, bytes(TEXT) + count(TEXT) };
	return at;
}

/* The name of a number: it stays until as many others were asked for. Under the GIL. */
static const char *string(u32 number)
{
	static struct name ring[32];
	static u8 next;
	struct name *name = &ring[next++ % ARRAY_SIZE(ring)];
	struct reader r;

	if (!number-- || number / BLOCK >= count(TEXT_BLOCKS))
		return "";
	block_text(number / BLOCK, &r);
	name->length = 0;
	for (u32 i = 0; i <= number % BLOCK; i++)
		next_name(name, &r);
	return name->text;
}

/* The number of a name within [low, high) of the blocks, 0: it is not there. */
static u32 find_in(const char *text, u32 low, u32 high)
{
	struct name name = {};
	struct reader r;

	while (low + 1 < high) {
		u32 middle = low + (high - low) / 2;

		block_text(middle, &r);
		name.length = 0;
		next_name(&name, &r);
		if (strcmp(name.text, text) <= 0)
			low = middle;
		else
			high = middle;
	}
	if (low >= high)
		return 0;
	block_text(low, &r);
	name.length = 0;
	for (u32 i = 0; i < BLOCK && r.at < r.end; i++) {
		next_name(&name, &r);
		if (!strcmp(name.text, text))
			return low * BLOCK + i + 1;
	}
	return 0;
}

static u32 number_of(const char *text)
{
	u32 end = count(TEXT_BLOCKS), shared = min(table()->shared / BLOCK, end);

	if (!*text)
		return 0;
	return find_in(text, 0, shared) ?: find_in(text, shared, end);
}

struct entry {
	u8 kind, flags;
	u32 n[NUMBERS_MAX];
	struct reader rest; /* parameters of a function */
	u32 body; /* where its members or constants begin */
};

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

static bool has_body(const struct entry *e)
{
	return e->kind >= T_STRUCT && e->kind <= T_ENUM;
}

static bool find_entry(u32 id, struct entry *e)
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

static const char *check(void)
{
	const struct header *h = table();
	size_t size = kpy_layout_table_end - kpy_layout_table;
	size_t crc_end = offsetofend(struct header, crc);
	static const u32 zero;
	u32 crc;

	if (size < sizeof(*h) || memcmp(h->magic, "KPYLAYT", 7))
		return "is none";
	if (h->magic[7] != '2' || h->version != 2)
		return "is of another version";
	if (h->header_size != sizeof(*h) || h->n_sections != N || (h->flags & 1))
		return "has a header that is not understood";
	if (h->total_size != size)
		return "is cut or too long";
	for (int i = 0; i < N; i++) {
		u64 n = (u64)h->sections[i].count * entry_bytes[i];

		if (h->sections[i].offset % 8 || h->sections[i].offset > size ||
		    n > size - h->sections[i].offset)
			return "has a section outside of it";
	}
	if ((h->pairs & 0xff) + (h->pairs >> 8) != count(PAIRS))
		return "has a dictionary that is not understood";
	crc = crc32_le(~0U, kpy_layout_table, offsetof(struct header, crc));
	crc = crc32_le(crc, (const u8 *)&zero, sizeof(zero));
	if (~crc32_le(crc, kpy_layout_table + crc_end, size - crc_end) != h->crc)
		return "is damaged";
	return NULL;
}

static bool is_good;

void kpy_layout_check(void)
{
	const char *trouble = check();

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
	info->name = string(d[0] & D_NAME);
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
	if (!find_entry(id, &e))
		return;
	switch (e.kind) {
	case T_VOID:
		info->kind = KPY_C_VOID;
		return;
	case T_BASE:
		info->kind = bases[e.flags & 3];
		info->is_signed = (e.flags & 3) == 1;
		info->name = string(e.n[0]);
		info->size = e.n[1];
		return;
	case T_STRUCT:
	case T_UNION:
		info->kind = e.kind == T_STRUCT ? KPY_C_STRUCT : KPY_C_UNION;
		info->name = string(e.n[0]);
		info->incomplete = e.n[1] & R_INCOMPLETE;
		info->size = e.n[2];
		info->count = e.n[3];
		return;
	case T_ENUM:
		info->kind = KPY_C_ENUM;
		info->name = string(e.n[0]);
		info->is_signed = e.n[1] & E_SIGNED;
		info->incomplete = e.n[1] & E_INCOMPLETE;
		info->size = e.n[2];
		info->count = e.n[3];
		return;
	case T_TYPEDEF:
		info->kind = KPY_C_TYPEDEF;
		info->name = string(e.n[0]);
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
	if (!find_entry(id, &e) || !has_body(&e) || i >= e.n[3] || e.body > count(BODIES) ||
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

static void next_member(struct place *p, struct kpy_cmember *m)
{
	static const u16 steps[STEP_WIDTH] = { 0,    0,	  8,   16,  32,	 64,  128, 192,
					       256,  320, 384, 448, 512, 24,  48,  96,
					       40,   56,  80,  160, 224, 288, 640, 1024,
					       2048, 768, 1,   2,   4,	 12,  144 };
	u8 head = read_byte(&p->r), step = head >> 3;

	if (step == STEP_WIDTH)
		p->offset += p->bits;
	else
		p->offset += step ? steps[step] : read_signed(&p->r);
	m->name = head & M_NAME ? string(read_number(&p->r)) : "";
	if (head & M_TYPE)
		p->type = read_number(&p->r);
	p->bits = head & M_BITS ? read_number(&p->r) : 0;
	m->type.id = p->type;
	m->bit_offset = p->offset;
	m->bits = p->bits;
	p->i++;
}

static bool member(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m)
{
	struct place *p;
	struct entry e;

	m->type.in = in;
	if (id & DECL)
		return false;
	p = members_at.i && members_at.id == id && members_at.i <= i ? &members_at : NULL;
	if (!p && find_entry(id, &e) && e.kind == T_FUNCTION) {
		if (i >= e.n[1])
			return false;
		for (u32 skipped = 0; skipped <= i; skipped++)
			m->type.id = read_number(&e.rest);
		return true;
	}
	if (!p)
		p = go_to(&members_at, id, i, 0);
	if (!p)
		return false;
	do {
		if (p->r.at >= p->r.end) {
			p->i = 0;
			return false;
		}
		next_member(p, m);
	} while (p->i <= i);
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
	read_code(name, &p->r, length, true);
	p->i++;
}

static const char *constant(const struct kpy_types *in, u32 id, u32 i, s64 *value)
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

static const struct kpy_types layout_types = { get, member, constant };

bool kpy_is_layout(struct kpy_ctype t)
{
	return t.in == &layout_types;
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
	return find_entry(named(i), &e) && e.kind >= T_STRUCT && e.kind <= T_TYPEDEF ? e.n[0] : 0;
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

struct kpy_ctype kpy_layout_find(enum kpy_ckind kind, const char *name, u32 *at)
{
	u32 number;

	if (!READ_ONCE(is_good))
		return (struct kpy_ctype){};
	number = number_of(name);
	if (!number)
		return (struct kpy_ctype){};
	for (u32 i = *at ?: first_of(kind, number); i < count(kind == KPY_C_DECL ? DECLS : NAMES);
	     i++) {
		struct kpy_ctype t = { &layout_types, kind == KPY_C_DECL ? DECL | i : named(i) };
		struct kpy_cinfo info;

		if (name_at(kind, i) != number)
			break;
		kpy_ctype_get(t, &info);
		if (info.kind == kind) {
			*at = i + 1;
			return t;
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
	return (struct kpy_ctype){ &layout_types, named(i) };
}
