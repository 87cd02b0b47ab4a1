/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Stores return address, stack pointer and callee-saved registers of the caller into struct kpy_regs. */
.macro KPY_SPILL_REGS buf:req
	movq	(%rsp), %rax
	movq	%rax, 0(\buf)
	movq	%rsp, 8(\buf)
	movq	%rbx, 16(\buf)
	movq	%rbp, 24(\buf)
	movq	%r12, 32(\buf)
	movq	%r13, 40(\buf)
	movq	%r14, 48(\buf)
	movq	%r15, 56(\buf)
.endm
