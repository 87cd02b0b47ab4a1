/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#ifndef NO_QSTR
#include <linux/types.h>

/* Is this function known to sleep? Under the GIL. */
bool kpy_would_sleep(unsigned long target);
void kpy_sleeps_init(void);
#endif
