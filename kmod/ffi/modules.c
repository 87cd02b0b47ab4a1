// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's modules. */
#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/notifier.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include "kpy.h"
#include "ffi/modules.h"

atomic_t kpy_modules_seen = ATOMIC_INIT(1);

static struct module *(*module_address)(unsigned long);

static int on_change(struct notifier_block *nb, unsigned long state, void *module)
{
	atomic_inc(&kpy_modules_seen);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = { .notifier_call = on_change };

struct module *kpy_module_at(unsigned long address)
{
	return module_address ? module_address(address) : NULL;
}

bool kpy_module_of(unsigned long address, char name[MODULE_NAME_LEN])
{
	struct module *m;

	preempt_disable();
	m = kpy_module_at(address);
	if (m)
		strscpy(name, m->name, MODULE_NAME_LEN);
	preempt_enable();
	return m;
}

int kpy_modules_init(void)
{
	/* Not exported to modules in newer kernels. */
	module_address = (void *)kpy_kallsyms_lookup("__module_address");
	return register_module_notifier(&notifier);
}

void kpy_modules_exit(void)
{
	unregister_module_notifier(&notifier);
}
