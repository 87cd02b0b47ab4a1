/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stubs. Whether the kernel called one (a callback) or ftrace sent it here in place
 * of a function, the registers and the stack are as at the beginning of a function.
 * All go on in kpy_stub_common with their number on the stack.
 */
#include <linux/linkage.h>
#include <asm/ibt.h>
#include <asm/unwind_hints.h>
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
