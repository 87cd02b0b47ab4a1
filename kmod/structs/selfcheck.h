/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check of the whole layout table against the running kernel's BTF, in the background, from
 * when the module is loaded.
 */
#pragma once
#include "structs/ctype.h"

void kpy_selfcheck_start(void);
/* Ends it, done or not. Without the GIL; sleeps. */
void kpy_selfcheck_stop(void);
/* Until it is done. Without the GIL; sleeps. */
void kpy_selfcheck_wait(void);

/* checked: structs of BTF whose name is in the table. */
struct kpy_selfcheck {
	bool done;
	u32 checked, differ, microseconds;
};
struct kpy_selfcheck kpy_selfcheck_result(void);

/* Has this struct of the table been found different? Any context. */
bool kpy_selfcheck_differs(struct kpy_ctype record);
