/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layout table that was linked into the module: docs/layout-table.md has the format. */
#pragma once
#include "structs/ctype.h"

extern const struct kpy_types kpy_layout_types;

/* What is wrong with it, NULL: nothing. */
const char *kpy_layout_trouble(void);
/* Reads all of the table and checks it; until then, and when it is damaged, it describes nothing. */
void kpy_layout_check(void);

/*
 * Types of that name and kind (KPY_C_DECL: a function or variable). Start with *at = 0 and
 * go on until the result has no source: a name may have several. Any context.
 */
struct kpy_ctype kpy_layout_find(enum kpy_ckind kind, const char *name, u32 *at);

/* The CRC in its header. */
u32 kpy_layout_crc(void);

/* The numbers of its types are below that. */
u32 kpy_layout_ids(void);

/* All structs, unions, enums and typedefs of a name, by number. */
u32 kpy_layout_count(void);
struct kpy_ctype kpy_layout_named(u32 i);

bool kpy_is_layout(struct kpy_ctype t);
