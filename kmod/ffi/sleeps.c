// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which functions sleep, as far as can be told before they do: those that are known to, and
 * those that say so themselves (might_sleep()) or pass on to such a one before their code
 * branches. Called in atomic context they would wait for ever, or the kernel would complain.
 */
#include <linux/kernel.h>
#include <linux/uaccess.h>
#include <asm/insn.h>
#include "kpy.h"
#include "ffi/sleeps.h"

#define STEPS 32 /* instructions that are looked at */

static const char *const names[] = {
	/* What might_sleep() and might_resched() are; __SCT__: a static call's trampoline. */
	"__might_sleep",
	"__might_resched",
	"__cond_resched",
	"__SCT__might_resched",
	"__SCT__cond_resched",
	"schedule",
	"schedule_timeout",
	"schedule_timeout_interruptible",
	"schedule_timeout_killable",
	"schedule_timeout_uninterruptible",
	"io_schedule",
	"msleep",
	"msleep_interruptible",
	"usleep_range",
	"usleep_range_state",
	"mutex_lock",
	"mutex_lock_interruptible",
	"mutex_lock_killable",
	"down",
	"down_interruptible",
	"down_killable",
	"down_timeout",
	"down_read",
	"down_write",
	"wait_for_completion",
	"synchronize_rcu",
	"synchronize_rcu_expedited",
	"vmalloc",
	"vzalloc",
	"kthread_stop",
	"flush_work",
	"cancel_work_sync",
};

static unsigned long sleepers[ARRAY_SIZE(names)];
static int (*decode)(struct insn *insn, const void *address, int len, enum insn_mode mode);

void kpy_sleeps_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		sleepers[i] = kpy_kallsyms_lookup(names[i]);
	decode = (void *)kpy_kallsyms_lookup("insn_decode");
}

static bool is_sleeper(unsigned long address)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sleepers); i++)
		if (sleepers[i] == address)
			return true;
	return false;
}

enum verdict { GO_ON, YES, NO };

/* Looks at one instruction, and moves ip on. */
static enum verdict step(unsigned long *ip)
{
	u8 code[MAX_INSN_SIZE], op;
	struct insn insn;
	unsigned long next;

	if (copy_from_kernel_nofault(code, (void *)*ip, sizeof(code)) ||
	    decode(&insn, code, sizeof(code), INSN_MODE_KERN) < 0)
		return NO;
	op = insn.opcode.bytes[0];
	next = *ip + insn.length;
	*ip = next;
	switch (op) {
	case 0xe8: /* call */
		return is_sleeper(next + insn.immediate.value) ? YES : GO_ON;
	case 0xe9: /* jmp */
	case 0xeb:
		*ip = next + insn.immediate.value;
		return is_sleeper(*ip) ? YES : GO_ON;
	case 0x0f:
		return (insn.opcode.bytes[1] & 0xf0) == 0x80 ? NO : GO_ON;
	case 0xc3:
	case 0xcc:
		return NO;
	default:
		return (op & 0xf0) == 0x70 ? NO : GO_ON;
	}
}

static bool looks_so(unsigned long target)
{
	enum verdict verdict = is_sleeper(target) ? YES : GO_ON;
	int i;

	for (i = 0; decode && i < STEPS && verdict == GO_ON; i++)
		verdict = step(&target);
	return verdict == YES;
}

bool kpy_would_sleep(unsigned long target)
{
	static struct {
		unsigned long target;
		bool sleeps;
	} seen[64], *s;

	s = &seen[(target >> 4) % ARRAY_SIZE(seen)];
	if (s->target != target) {
		s->sleeps = looks_so(target);
		s->target = target;
	}
	return s->sleeps;
}
