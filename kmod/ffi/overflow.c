// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stack overflow. The fault on the guard page cannot be delivered on the stack that has
 * just overflowed: the CPU makes a double fault of it, on a stack of that one's own. The
 * kernel announces it to the die notifiers and then panics, whatever they answer. So the
 * notifier does not return: it leaves the handler as the handler itself would, and jumps.
 *
 * That leaves out only what the assembly around the handler would undo, and undo nothing: it
 * came from the kernel, with the kernel's GS base and page table.
 */
#include <linux/entry-common.h>
#include <linux/hardirq.h>
#include <linux/kernel.h>
#include <asm/ptrace.h>
#include <asm/special_insns.h>
#include "kpy.h"
#include "ffi/guard.h"
#include "ffi/guard_impl.h"

/* commit b6be002bcd1d (v5.11) */
static void (*leave_nmi)(struct pt_regs *regs, irqentry_state_t state);

void kpy_overflow_init(void)
{
	leave_nmi = (void *)kpy_kallsyms_lookup("irqentry_nmi_exit");
}

void kpy_catch_overflow(struct pt_regs *regs,
			bool (*divert)(struct pt_regs *regs, struct kpy_fault_signs *signs))
{
	struct kpy_fault_signs signs = {
		.kind = KPY_FAULT_OTHER,
		.has_address = true,
		.address = read_cr2(),
		.double_fault = true,
	};
	struct pt_regs to = *regs;
	struct kpy_regs jump;

	if (!leave_nmi || (preempt_count() & NMI_MASK) != NMI_OFFSET || !divert(&to, &signs))
		return;
	jump = (struct kpy_regs){
		.ip = to.ip,
		.sp = to.sp,
		.bx = to.bx,
		.bp = to.bp,
		.r12 = to.r12,
		.r13 = to.r13,
		.r14 = to.r14,
		.r15 = to.r15,
	};
	/* To lockdep interrupts are off, as they are: whoever we jump to turns them on. */
	leave_nmi(regs, (irqentry_state_t){ .lockdep = false });
	kpy_guard_jump(&jump, (void *)to.di);
}
