/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>
#include "entry_asm.inc"
#include "ffi/call_asm.inc"

	.text
/*
 * unsigned long kpy_guard_call(struct kpy_guard *g, unsigned long target, size_t n, const unsigned long *words)
 *
 * Calls target. When that faults, the call still returns to our caller, with the
 * registers that are stored here, by way of kpy_guard_recover().
 */
SYM_FUNC_START(kpy_guard_call)
	KPY_SPILL_REGS %rdi
	pushq	%rbp
	movq	%rsp, %rbp
	movq	%rsi, %r11
	movq	%rcx, %r10
	cmpq	$6, %rdx
	ja	2f
1:	movq	0(%r10), %rdi
	movq	8(%r10), %rsi
	movq	16(%r10), %rdx
	movq	24(%r10), %rcx
	movq	32(%r10), %r8
	movq	40(%r10), %r9
	xorl	%eax, %eax	/* variadic functions: no vector registers hold arguments */
	KPY_CALL_R11
SYM_INNER_LABEL(kpy_guard_returns, SYM_L_GLOBAL)
	movq	%rbp, %rsp
	popq	%rbp
	RET
2:	pushq	88(%r10)
	pushq	80(%r10)
	pushq	72(%r10)
	pushq	64(%r10)
	pushq	56(%r10)
	pushq	48(%r10)
	jmp	1b
SYM_FUNC_END(kpy_guard_call)

/* void kpy_guard_jump(const struct kpy_regs *to, void *argument): to a function, with its argument. */
SYM_FUNC_START(kpy_guard_jump)
	movq	0(%rdi), %rax
	movq	16(%rdi), %rbx
	movq	24(%rdi), %rbp
	movq	32(%rdi), %r12
	movq	40(%rdi), %r13
	movq	48(%rdi), %r14
	movq	56(%rdi), %r15
	movq	8(%rdi), %rsp
	movq	%rsi, %rdi
	pushq	%rax
	RET
SYM_FUNC_END(kpy_guard_jump)
STACK_FRAME_NON_STANDARD kpy_guard_jump

/* Stands in for the rest of a function of the kernel that we make return at once. */
SYM_FUNC_START(kpy_guard_return)
	RET
SYM_FUNC_END(kpy_guard_return)

/* Goes to the address in r11, with the stack of whoever called or jumped here. */
SYM_CODE_START(kpy_by_return)
	UNWIND_HINT_FUNC
	pushq	%r11
	UNWIND_HINT_FUNC
	RET
SYM_CODE_END(kpy_by_return)
