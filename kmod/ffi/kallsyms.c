// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/preempt.h>
#include "kpy.h"

unsigned long (*kpy_kallsyms_lookup)(const char *name);

/*
 * kallsyms_lookup_name() is not exported since kernel commit 0bd476e6c671 (v5.7);
 * a kprobe finds it, as it may any function.
 */
int kpy_kallsyms_init(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&kp);

	if (err) {
		pr_err("kallsyms_lookup_name not found: error %d (CONFIG_KPROBES, CONFIG_KALLSYMS?)\n",
		       err);
		return err;
	}
	kpy_kallsyms_lookup = (void *)kp.addr;
	unregister_kprobe(&kp);
	return 0;
}

bool kpy_symbol_around(unsigned long address, char *name, unsigned long *size,
		       unsigned long *offset)
{
	static const char *(*lookup)(unsigned long address, unsigned long *size,
				     unsigned long *offset, char **module, char *buf);
	const char *found;
	char *module;

	if (!lookup)
		lookup = (void *)kpy_kallsyms_lookup("kallsyms_lookup");
	if (!lookup)
		return false;
	preempt_disable();
	found = lookup(address, size, offset, &module, name);
	if (found && found != name)
		strscpy(name, found, KSYM_NAME_LEN);
	preempt_enable();
	return found;
}

bool kpy_name_of(unsigned long address, char *name)
{
	unsigned long size, offset;

	return kpy_symbol_around(address, name, &size, &offset) && !offset;
}
