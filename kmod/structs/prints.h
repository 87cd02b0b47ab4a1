/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fingerprints of the layout table's structs: one number for a name, its size and the names, places
 * and sizes of all members. struct_layout/prints.py makes them. Two that are equal are of equal
 * layouts, but for one chance in four billion. Any context.
 */
#pragma once
#include "structs/btf.h"

/*
 * What a type of BTF is: no struct or union with a name that the table has, too; one that is equal.
 * Unknown are all when the fingerprints are not of the table that is linked in.
 */
enum kpy_print { KPY_PRINT_NONE, KPY_PRINT_EQUAL, KPY_PRINT_UNKNOWN };
enum kpy_print kpy_print_check(const struct kpy_btf *btf, u32 id);
