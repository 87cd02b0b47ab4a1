// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/kprobes.h>
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
