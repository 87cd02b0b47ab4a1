/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * setjmp and longjmp over the callee-saved registers of x86-64, for MicroPython's
 * non-local returns. The buffer has the layout of struct kpy_regs (kmod/entry.h):
 * ip, sp, rbx, rbp, r12..r15.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include "entry_asm.inc"

	.text

/* int kpy_setjmp(jmp_buf env): 0, or the value given to kpy_longjmp(). */
SYM_FUNC_START(kpy_setjmp)
	KPY_SPILL_REGS %rdi
	xorl	%eax, %eax
	RET
SYM_FUNC_END(kpy_setjmp)

/* void kpy_longjmp(jmp_buf env, int value) */
SYM_FUNC_START(kpy_longjmp)
	movl	%esi, %eax
	movq	0(%rdi), %rdx
	movq	16(%rdi), %rbx
	movq	24(%rdi), %rbp
	movq	32(%rdi), %r12
	movq	40(%rdi), %r13
	movq	48(%rdi), %r14
	movq	56(%rdi), %r15
	movq	8(%rdi), %rsp
	movq	%rdx, (%rsp)
	RET
SYM_FUNC_END(kpy_longjmp)
STACK_FRAME_NON_STANDARD kpy_longjmp
