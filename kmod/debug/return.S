/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/linkage.h>

	.text
/* Never executed: a debugger's breakpoint stops the CPU here. */
SYM_FUNC_START(kpy_debug_return)
	ud2
SYM_FUNC_END(kpy_debug_return)
