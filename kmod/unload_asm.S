/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/linkage.h>
#include <asm/nospec-branch.h>

	.text
/*
 * In place of the system call delete_module: asks first, then jumps to it, so that
 * nothing returns into this module once it is gone.
 */
SYM_FUNC_START(kpy_delete_module_stub)
	pushq	%rdi
	call	kpy_before_delete_module
	popq	%rdi
	testl	%eax, %eax
	jnz	1f
	movq	kpy_delete_module_address(%rip), %r11
	jmp	kpy_by_return
1:	cltq
	RET
SYM_FUNC_END(kpy_delete_module_stub)
