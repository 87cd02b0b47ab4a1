/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Symbols of the kernel and its modules, by name and by pattern. */
#pragma once
#include <linux/module.h>
#include <linux/types.h>

struct kpy_ksym {
	unsigned long address;
	char type; /* as in /proc/kallsyms; 0: not known */
};

/*
 * All symbols of that name: vmlinux's, or when it has none those of modules; with a module's
 * name ("vmlinux" is one) only that one's. Stores those from number skip on, max at most, and
 * returns how many there are. Without the GIL; may sleep.
 */
size_t kpy_ksyms_find(const char *name, const char *module, size_t skip, struct kpy_ksym *found,
		      size_t max);

/*
 * What a name stands for that the kernel does not have (any more): "printk" for "_printk";
 * NULL for nothing. Number i counts from 0 through several. Any context.
 */
const char *kpy_ksym_alias(const char *name, size_t i);
/* The names for which there are such, by number; NULL behind the last. */
const char *kpy_ksym_alias_name(size_t i);

/* Is it exported to modules by that name? Any context. */
bool kpy_ksym_exported(const char *name, unsigned long address);

/*
 * Calls f for all names until it returns true: vmlinux's symbols, then the modules'. Preemption
 * is off in f for the latter. Without the GIL; may sleep.
 */
void kpy_ksyms_each(bool (*f)(void *arg, const char *name, unsigned long address), void *arg);

struct kpy_near;
/* The names most like one that there is not. Without the GIL; may sleep. */
void kpy_ksyms_near(const char *name, struct kpy_near *near);
