/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stubs. Whether the kernel called one (a callback) or ftrace sent it here in place
 * of a function, the registers and the stack are as at the beginning of a function.
 * All go on in kpy_stub_common with their number on the stack.
 */
#include <linux/linkage.h>
#include <asm/ibt.h>
#include <asm/ptrace-abi.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>
#include "ffi/call_asm.inc"
#include "ffi/stub.h"

	.text
	.balign KPY_STUB_SIZE
SYM_CODE_START(kpy_stubs)
	slot = 0
	.rept KPY_STUBS
	UNWIND_HINT_FUNC
	ENDBR
	pushq	$slot
	jmp	kpy_stub_common
	.balign KPY_STUB_SIZE, 0xcc
	slot = slot + 1
	.endr

/*
 * unsigned long kpy_stub_run(struct kpy_stub_frame *) says where to go on: at an address,
 * with registers and stack as they were, or (0) at the caller, with the result it left.
 */
kpy_stub_common:
	pushq	%rax
	pushq	%r9
	pushq	%r8
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	movq	%rsp, %rdi
	call	kpy_stub_run
	testq	%rax, %rax
	jz	1f
	movq	%rax, 56(%rsp)
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%r8
	popq	%r9
	popq	%rax
	/* A return, as an indirect jump would want ENDBR there, and a thunk. */
	RET
1:	movq	48(%rsp), %rax
	addq	$64, %rsp
	RET
SYM_CODE_END(kpy_stubs)

/*
 * The same for what may happen at any instruction: the stub builds a struct pt_regs, with its
 * number as orig_ax, and goes on as that says. There is no red zone in the kernel.
 */
	.balign KPY_STUB_SIZE
SYM_CODE_START(kpy_reg_stubs)
	slot = 0
	.rept KPY_STUBS
	UNWIND_HINT_FUNC
	ENDBR
	pushq	$slot
	jmp	kpy_reg_stub_common
	.balign KPY_STUB_SIZE, 0xcc
	slot = slot + 1
	.endr

kpy_reg_stub_common:
	pushfq
	subq	$(SS - 8), %rsp
	movq	%r15, R15(%rsp)
	movq	%r14, R14(%rsp)
	movq	%r13, R13(%rsp)
	movq	%r12, R12(%rsp)
	movq	%rbp, RBP(%rsp)
	movq	%rbx, RBX(%rsp)
	movq	%r11, R11(%rsp)
	movq	%r10, R10(%rsp)
	movq	%r9, R9(%rsp)
	movq	%r8, R8(%rsp)
	movq	%rax, RAX(%rsp)
	movq	%rcx, RCX(%rsp)
	movq	%rdx, RDX(%rsp)
	movq	%rsi, RSI(%rsp)
	movq	%rdi, RDI(%rsp)
	movq	SS(%rsp), %rax		/* the number */
	movq	%rax, ORIG_RAX(%rsp)
	movq	RSP(%rsp), %rax		/* the flags */
	movq	%rax, EFLAGS(%rsp)
	leaq	(SS + 8)(%rsp), %rax
	movq	%rax, RSP(%rsp)
	movq	$__KERNEL_CS, CS(%rsp)
	movq	$__KERNEL_DS, SS(%rsp)
	movq	$0, RIP(%rsp)
	UNWIND_HINT_REGS
	cld
	movq	%rsp, %rdi
	call	kpy_reg_stub_run
	movq	R15(%rsp), %r15
	movq	R14(%rsp), %r14
	movq	R13(%rsp), %r13
	movq	R12(%rsp), %r12
	movq	RBP(%rsp), %rbp
	movq	RBX(%rsp), %rbx
	movq	R11(%rsp), %r11
	movq	R10(%rsp), %r10
	movq	R9(%rsp), %r9
	movq	R8(%rsp), %r8
	movq	RAX(%rsp), %rax
	movq	RCX(%rsp), %rcx
	movq	RDX(%rsp), %rdx
	movq	RSI(%rsp), %rsi
	movq	RDI(%rsp), %rdi
	addq	$RIP, %rsp
	UNWIND_HINT_IRET_REGS
	iretq
SYM_CODE_END(kpy_reg_stubs)

/*
 * unsigned long kpy_call_words(unsigned long target, const unsigned long words[12])
 */
SYM_FUNC_START(kpy_call_words)
	pushq	%rbp
	movq	%rsp, %rbp
	movq	%rdi, %r11
	movq	%rsi, %r10
	pushq	88(%r10)
	pushq	80(%r10)
	pushq	72(%r10)
	pushq	64(%r10)
	pushq	56(%r10)
	pushq	48(%r10)
	movq	0(%r10), %rdi
	movq	8(%r10), %rsi
	movq	16(%r10), %rdx
	movq	24(%r10), %rcx
	movq	32(%r10), %r8
	movq	40(%r10), %r9
	xorl	%eax, %eax
	KPY_CALL_R11
SYM_INNER_LABEL(kpy_call_returns, SYM_L_GLOBAL)
	movq	%rbp, %rsp
	popq	%rbp
	RET
SYM_FUNC_END(kpy_call_words)
