// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/compiler.h>
#include "ffi/ftrace.h"

/*
 * The one function of this module that can be traced; nobody calls it. An ftrace_ops without a
 * function to trace would trace all, so that this one is always in the set.
 */
noinline void kpy_ftrace_anchor(void)
{
	barrier();
}
