/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/bug.h>

#ifdef NDEBUG
#define assert(e) ((void)0)
#else
#define assert(e) BUG_ON(!(e))
#endif
