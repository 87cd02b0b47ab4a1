// SPDX-License-Identifier: GPL-2.0-or-later
/* Names that are like one that there is not: for the message about it. */
#include <linux/bitops.h>
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "ffi/ksyms.h"
#include "ffi/near.h"

#define EDITS_MAX 2

/* One bit for each letter that occurs. */
static u64 letters_of(const char *name, size_t *len)
{
	u64 set = 0;
	size_t n;

	for (n = 0; name[n]; n++)
		set |= 1ULL << (name[n] & 63);
	*len = n;
	return set;
}

/*
 * Insertions, deletions, changes and exchanges of neighbours that make a into b, as far as they
 * are fewer than limit + 1. Only the diagonals that can be reached are computed.
 */
static unsigned int distance(const char *a, size_t na, const char *b, size_t nb, unsigned int limit)
{
	u8 rows[3][KPY_NEAR_NAME + 1];
	u8 *before = rows[0], *last = rows[1], *row = rows[2];
	size_t i, j;

	for (j = 0; j <= nb; j++)
		last[j] = min_t(size_t, j, limit + 1);
	for (i = 1; i <= na; i++) {
		size_t from = i > limit ? i - limit : 1, to = min(nb, i + limit);
		unsigned int best = limit + 1;
		u8 *spare = before;

		memset(row, limit + 1, nb + 1);
		if (i <= limit)
			row[0] = best = i;
		for (j = from; j <= to; j++) {
			unsigned int d = last[j - 1] + (a[i - 1] != b[j - 1]);

			d = min3(d, last[j] + 1U, row[j - 1] + 1U);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = min(d, before[j - 2] + 1U);
			row[j] = min(d, limit + 1);
			best = min(best, d);
		}
		if (best > limit)
			return limit + 1;
		before = last;
		last = row;
		row = spare;
	}
	return last[nb];
}

/* Puts a name at its place in the list of the best. */
static void keep(struct kpy_near *near, const char *name, unsigned int d)
{
	int at = KPY_NEAR_MAX;

	for (int i = 0; i < KPY_NEAR_MAX; i++)
		if (!strcmp(near->names[i], name))
			return;
	while (at && (!*near->names[at - 1] || near->distance[at - 1] > d))
		at--;
	for (int i = KPY_NEAR_MAX - 1; i > at; i--) {
		memcpy(near->names[i], near->names[i - 1], KPY_NEAR_NAME);
		near->distance[i] = near->distance[i - 1];
	}
	if (at < KPY_NEAR_MAX) {
		strscpy(near->names[at], name, KPY_NEAR_NAME);
		near->distance[at] = d;
	}
}

bool kpy_near_start(struct kpy_wanted *w, const char *name, struct kpy_near *near)
{
	memset(near, 0, sizeof(*near));
	*w = (struct kpy_wanted){ .name = name, .near = near };
	w->letters = letters_of(name, &w->len);
	/* A third of a name may be wrong, not more. */
	w->limit = min_t(unsigned int, w->len / 3, EDITS_MAX);
	return w->len >= 3 && w->len < KPY_NEAR_NAME;
}

void kpy_near_offer(struct kpy_wanted *w, const char *name)
{
	size_t len;
	u64 letters = letters_of(name, &len);
	unsigned int d;

	if (len + w->limit < w->len || len > w->len + w->limit || len >= KPY_NEAR_NAME ||
	    hweight64(letters ^ w->letters) > 2 * w->limit || strchr(name, '.'))
		return;
	d = distance(w->name, w->len, name, len, w->limit);
	if (d <= w->limit)
		keep(w->near, name, d);
}

static bool offer(void *arg, const char *name, unsigned long address)
{
	kpy_near_offer(arg, name);
	return false;
}

void kpy_ksyms_near(const char *name, struct kpy_near *near)
{
	struct kpy_wanted w;
	const char *alias;

	if (!kpy_near_start(&w, name, near))
		return;
	for (size_t i = 0; (alias = kpy_ksym_alias_name(i)); i++)
		kpy_near_offer(&w, alias);
	kpy_ksyms_each(offer, &w);
}
