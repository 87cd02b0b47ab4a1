/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ways out of the GIL that Python code takes. Both are assembly because a
 * parked entry must hold the callee-saved registers of the function that called
 * them (they may hold the only pointer to an object): a C function would already
 * have reused some.
 */
#include <linux/linkage.h>
#include "entry_asm.inc"

	.text

/* struct kpy_entry *kpy_gil_release(void): returns the entry, for kpy_gil_acquire(). */
SYM_FUNC_START(kpy_gil_release)
	movq	kpy_current(%rip), %rdi
	KPY_SPILL_REGS %rdi
	jmp	kpy_gil_release_spilled
SYM_FUNC_END(kpy_gil_release)

/* struct kpy_entry *kpy_gil_bounce(void): the same, but the sleeping token is kept. */
SYM_FUNC_START(kpy_gil_bounce)
	movq	kpy_current(%rip), %rdi
	KPY_SPILL_REGS %rdi
	jmp	kpy_gil_bounce_spilled
SYM_FUNC_END(kpy_gil_bounce)
