// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rmmod that can refuse. A module's exit function cannot, and Python may be stuck in a
 * kernel call that nothing ends: the module would wait for it for ever, or leave it to
 * return into freed memory. So the system call itself is caught: its task first comes
 * here, where Python is stopped, or -EBUSY returned with what is in the way.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "kpy.h"
#include "unload.h"

/* In unload_asm.S: kpy_before_delete_module(), then the system call or its result. */
void kpy_delete_module_stub(void);
unsigned long kpy_delete_module_address;
int kpy_before_delete_module(const struct pt_regs *user);

static atomic_t busy = ATOMIC_INIT(0); /* a task is in here, or went on to unload us */
static struct task_struct *passing; /* that task: the probe lets it through */

static bool names_us(const struct pt_regs *user)
{
	char name[MODULE_NAME_LEN];
	long n = strncpy_from_user(name, (const char __user *)user->di, sizeof(name));

	return n > 0 && n < sizeof(name) && !strcmp(name, THIS_MODULE->name);
}

int kpy_before_delete_module(const struct pt_regs *user)
{
	int err = 0;

	/* Not for us, or not allowed, or held by an open file: the system call says so itself. */
	if (!capable(CAP_SYS_MODULE) || !names_us(user))
		goto pass;
	if (atomic_cmpxchg(&busy, 0, 1))
		return -EBUSY;
	if (module_refcount(THIS_MODULE))
		kpy_chardev_report();
	else
		err = kpy_quiesce();
	if (err || module_refcount(THIS_MODULE))
		atomic_set(&busy, 0);
	if (err)
		return err;
pass:
	WRITE_ONCE(passing, current);
	return 0;
}

static int on_delete_module(struct kprobe *p, struct pt_regs *regs)
{
	if (READ_ONCE(passing) == current) {
		WRITE_ONCE(passing, NULL);
		return 0;
	}
	regs->ip = (unsigned long)kpy_delete_module_stub;
	return 1;
}

static struct kprobe probe = {
	.symbol_name = "__x64_sys_delete_module",
	.pre_handler = on_delete_module,
};

void kpy_unload_init(void)
{
	int err = register_kprobe(&probe);

	if (err) {
		pr_warn("rmmod cannot be refused here: no probe on delete_module, error %d\n", err);
		probe.addr = NULL;
		return;
	}
	kpy_delete_module_address = kpy_kallsyms_lookup(probe.symbol_name);
}

void kpy_unload_exit(void)
{
	if (!probe.addr)
		return;
	unregister_kprobe(&probe);
	/* Another task's rmmod may be on its way out of the stub. */
	synchronize_rcu_tasks();
}
