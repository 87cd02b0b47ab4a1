/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/linkage.h>

	.text
/*
 * A debugger's breakpoint stops the CPU here. If that debugger died meanwhile, the CPU waits, with
 * interrupts off, for another one to put it back where it was.
 */
SYM_FUNC_START(kpy_debug_return)
1:	pause
	jmp	1b
SYM_FUNC_END(kpy_debug_return)
