/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/linkage.h>

	.text
/* An evaluation starts here, on an empty stack: its debugger has no return address to push. */
SYM_FUNC_START(kpy_debug_start)
	call	kpy_debug_eval
/*
 * A debugger's breakpoint stops the CPU here. If that debugger died meanwhile, the CPU waits, with
 * interrupts off, for another one to put it back where it was.
 */
SYM_INNER_LABEL(kpy_debug_return, SYM_L_GLOBAL)
1:	pause
	jmp	1b
SYM_FUNC_END(kpy_debug_start)
