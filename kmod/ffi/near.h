/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names that are like one that there is not. Any context. */
#pragma once
#include <linux/types.h>

#define KPY_NEAR_MAX 3
#define KPY_NEAR_NAME 64
struct kpy_near {
	char names[KPY_NEAR_MAX][KPY_NEAR_NAME]; /* "": no more */
	unsigned int distance[KPY_NEAR_MAX];
};

struct kpy_wanted {
	const char *name;
	size_t len;
	u64 letters;
	unsigned int limit;
	struct kpy_near *near;
};

/* Makes both ready; false: nothing can be said about such a name. */
bool kpy_near_start(struct kpy_wanted *w, const char *name, struct kpy_near *near);
/* A name that there is: kept when it is among the most alike. */
void kpy_near_offer(struct kpy_wanted *w, const char *name);
