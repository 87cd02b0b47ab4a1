/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Modules come and go: what was learnt about their symbols holds for a generation. */
#pragma once
#include <linux/atomic.h>
#include <linux/module.h>

extern atomic_t kpy_modules_seen;

/* Changes whenever a module is loaded or unloaded. Any context. */
static inline unsigned int kpy_module_generation(void)
{
	return atomic_read(&kpy_modules_seen);
}

/* The module that an address is in, or NULL. The caller has preemption disabled. */
struct module *kpy_module_at(unsigned long address);
/* Name of the module that an address is in; false: none. Any context. */
bool kpy_module_of(unsigned long address, char name[MODULE_NAME_LEN]);

int kpy_modules_init(void);
void kpy_modules_exit(void);
