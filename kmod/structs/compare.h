/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares structs of the layout table with the running kernel's BTF. */
#pragma once
#include "structs/ctype.h"

/*
 * Is it the same as the kernel's, as far as that describes it? *where: the member that is not.
 * Under the GIL.
 */
bool kpy_layout_matches(struct kpy_ctype record, const char **where);
