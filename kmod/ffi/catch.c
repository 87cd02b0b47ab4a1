// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where faults of the kernel are caught. General protection, invalid opcodes and divisions
 * come to a die notifier before the kernel says a word. A page fault would only do so once
 * its oops is printed and the kernel tainted: a probe catches it at the door,
 * page_fault_oops(), and where that is not there or the probe is missed, the notifier at
 * the end of the oops does.
 */
#include <linux/kdebug.h>
#include <linux/kernel.h>
#include <linux/kfence.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <asm/insn.h>
#include <asm/ptrace.h>
#include <asm/special_insns.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include "kpy.h"
#include "ffi/guard.h"
#include "ffi/guard_impl.h"

static int (*decode)(struct insn *insn, const void *address, int len, enum insn_mode mode);
static void __user *(*operand)(struct insn *insn, struct pt_regs *regs);

static DEFINE_PER_CPU(bool, catching);

/* A fault of our own handling of a fault is none that we can handle. */
static bool (*is_text)(unsigned long address);

static bool caught_by_guard(struct pt_regs *regs, struct kpy_fault_signs *signs)
{
	unsigned long flags;
	bool caught = false;

	local_irq_save(flags);
	if (!this_cpu_read(catching)) {
		this_cpu_write(catching, true);
		caught = kpy_interpreter_divert(regs, signs) || kpy_guard_divert(regs, signs);
		this_cpu_write(catching, false);
	}
	local_irq_restore(flags);
	return caught;
}

static void page_fault_signs(struct kpy_fault_signs *s, unsigned long code, unsigned long address)
{
	s->has_address = true;
	s->address = address;
	s->write = code & X86_PF_WRITE;
	if (code & X86_PF_INSTR)
		s->kind = KPY_FAULT_EXEC;
	else if (address < PAGE_SIZE)
		s->kind = KPY_FAULT_NULL;
	else
		s->kind = address < TASK_SIZE_MAX ? KPY_FAULT_USER : KPY_FAULT_PAGE;
}

/* What the instruction accesses, as far as its registers tell. */
static bool operand_address(struct pt_regs *regs, unsigned long *address)
{
	u8 code[MAX_INSN_SIZE];
	struct insn insn;

	if (!decode || !operand || copy_from_kernel_nofault(code, (void *)regs->ip, sizeof(code)) ||
	    decode(&insn, code, sizeof(code), INSN_MODE_KERN) < 0)
		return false;
	*address = (unsigned long)operand(&insn, regs);
	return *address != -1UL;
}

static void gp_signs(struct kpy_fault_signs *s, struct pt_regs *regs)
{
	/* An address that is none may fault only once it was jumped to. */
	s->kind = is_text && !is_text(regs->ip) ? KPY_FAULT_EXEC : KPY_FAULT_GP;
	s->has_address = operand_address(regs, &s->address);
}

/* Behind the oops, which may have faulted itself and so changed CR2. */
static void oops_signs(struct kpy_fault_signs *s, struct pt_regs *regs, unsigned long code)
{
	unsigned long address = regs->ip;

	if (code & X86_PF_INSTR || operand_address(regs, &address))
		page_fault_signs(s, code, address);
	else
		s->kind = KPY_FAULT_PAGE;
}

static bool signs_of(struct kpy_fault_signs *s, unsigned long event, const struct die_args *a)
{
	*s = (struct kpy_fault_signs){ .kind = KPY_FAULT_OTHER };
	switch (event) {
	case DIE_GPF:
		gp_signs(s, a->regs);
		return true;
	case DIE_TRAP:
		if (a->trapnr == X86_TRAP_UD)
			s->kind = kpy_fault_is_bug(a->regs->ip) ? KPY_FAULT_BUG : KPY_FAULT_OPCODE;
		else if (a->trapnr == X86_TRAP_DE)
			s->kind = KPY_FAULT_DIVIDE;
		return true;
	case DIE_OOPS:
		/* What was missed before. Only page faults say "Oops". */
		if (!strcmp(a->str, "Oops"))
			oops_signs(s, a->regs, a->err);
		return true;
	default:
		return false;
	}
}

static int on_die(struct notifier_block *nb, unsigned long event, void *data)
{
	struct die_args *a = data;
	struct kpy_fault_signs signs;

	if (!a->regs || user_mode(a->regs))
		return NOTIFY_DONE;
	if (event == DIE_TRAP && a->trapnr == X86_TRAP_DF) {
		kpy_catch_overflow(a->regs, caught_by_guard);
		return NOTIFY_DONE;
	}
	if (!signs_of(&signs, event, a))
		return NOTIFY_DONE;
	return caught_by_guard(a->regs, &signs) ? NOTIFY_STOP : NOTIFY_DONE;
}

static struct notifier_block die_notifier = { .notifier_call = on_die, .priority = 100 };

/* page_fault_oops(regs, error_code, address): returns at once when the fault is ours. */
static int on_page_fault(struct kprobe *p, struct pt_regs *kregs)
{
	struct pt_regs *regs = (struct pt_regs *)kregs->di;
	struct kpy_fault_signs signs = {};

	if (user_mode(regs) || is_kfence_address((void *)kregs->dx))
		return 0;
	page_fault_signs(&signs, kregs->si, kregs->dx);
	if (!caught_by_guard(regs, &signs))
		return 0;
	kregs->ip = (unsigned long)kpy_guard_return;
	return 1;
}

/* Its being there keeps the kernel from turning the probe into a jump, which could not change ip. */
static void no_jump(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe page_fault_probe = {
	.symbol_name = "page_fault_oops",
	.pre_handler = on_page_fault,
	.post_handler = no_jump,
};

int kpy_catch_init(void)
{
	int err;

	kpy_fault_text_init();
	kpy_overflow_init();
	decode = (void *)kpy_kallsyms_lookup("insn_decode");
	operand = (void *)kpy_kallsyms_lookup("insn_get_addr_ref");
	is_text = (void *)kpy_kallsyms_lookup("kernel_text_address");
	err = register_die_notifier(&die_notifier);
	if (err)
		return err;
	err = register_kprobe(&page_fault_probe);
	if (err) {
		pr_info("page faults of called functions will be printed: no probe on page_fault_oops, error %d\n",
			err);
		page_fault_probe.addr = NULL;
	}
	return 0;
}

void kpy_catch_exit(void)
{
	if (page_fault_probe.addr)
		unregister_kprobe(&page_fault_probe);
	unregister_die_notifier(&die_notifier);
	synchronize_rcu_tasks(); /* whoever is about to return by kpy_guard_return() */
}
