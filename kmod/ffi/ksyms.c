// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking for symbols: kallsyms for vmlinux's, the symbol tables of modules for theirs. */
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "kpy.h"
#include "ffi/ksyms.h"
#include "ffi/modules.h"

typedef bool (*visit_t)(void *arg, const char *name, unsigned long address);

/* The callback of kallsyms_on_each_symbol() lost a parameter in commit 3703bd54cd37 (v6.4). */
typedef int (*old_each_t)(int (*)(void *, const char *, struct module *, unsigned long), void *);
typedef int (*new_each_t)(int (*)(void *, const char *, unsigned long), void *);
#define EACH_IS_OLD __builtin_types_compatible_p(typeof(&kallsyms_on_each_symbol), old_each_t)

struct visit {
	visit_t f;
	void *arg;
	bool done;
};

static int visit_old(void *data, const char *name, struct module *m, unsigned long address)
{
	struct visit *v = data;

	v->done = v->f(v->arg, name, address);
	return v->done;
}

static int visit_new(void *data, const char *name, unsigned long address)
{
	return visit_old(data, name, NULL, address);
}

/* All of vmlinux's; true: f ended it. */
static bool each_core(visit_t f, void *arg)
{
	struct visit v = { f, arg };
	unsigned long walk = kpy_kallsyms_lookup("kallsyms_on_each_symbol");

	if (!walk)
		return false;
	if (EACH_IS_OLD)
		((old_each_t)walk)(visit_old, &v);
	else
		((new_each_t)walk)(visit_new, &v);
	return v.done;
}

/* The entry of a list of modules is one, unless it is the list's head, which lies in vmlinux. */
static bool is_module(const struct list_head *entry)
{
	return (unsigned long)entry >= MODULES_VADDR && (unsigned long)entry < MODULES_END;
}

static const struct mod_kallsyms *symbols_of(const struct module *m)
{
	return m->state == MODULE_STATE_UNFORMED ? NULL : rcu_dereference_sched(m->kallsyms);
}

static bool each_in(const struct module *m, bool (*f)(void *, const char *, const Elf_Sym *, char),
		    void *arg)
{
	const struct mod_kallsyms *k = symbols_of(m);

	for (unsigned int i = 1; k && i < k->num_symtab; i++) {
		const Elf_Sym *s = &k->symtab[i];

		if (s->st_shndx != SHN_UNDEF && k->strtab[s->st_name] &&
		    f(arg, k->strtab + s->st_name, s, k->typetab[i]))
			return true;
	}
	return false;
}

/* The modules, ourselves first. Preemption is off in f. */
static bool each_module(bool (*f)(const struct module *m, void *arg), void *arg)
{
	const struct list_head *entry = &THIS_MODULE->list;
	bool done = false;

	preempt_disable();
	do {
		if (is_module(entry))
			done = f(container_of(entry, struct module, list), arg);
		entry = rcu_dereference_sched(((struct list_head *)entry)->next);
	} while (!done && entry != &THIS_MODULE->list);
	preempt_enable();
	return done;
}

static bool visit_symbol(void *arg, const char *name, const Elf_Sym *s, char type)
{
	struct visit *v = arg;

	return v->f(v->arg, name, s->st_value);
}

static bool visit_module(const struct module *m, void *arg)
{
	return each_in(m, visit_symbol, arg);
}

void kpy_ksyms_each(visit_t f, void *arg)
{
	struct visit v = { f, arg };

	if (!each_core(f, arg))
		each_module(visit_module, &v);
}

struct search {
	const char *name, *module;
	struct kpy_ksym *found;
	size_t skip, max, n;
};

static void add(struct search *s, unsigned long address, char type)
{
	if (s->n >= s->skip && s->n - s->skip < s->max)
		s->found[s->n - s->skip] = (struct kpy_ksym){ address, type };
	s->n++;
}

static int add_match(void *arg, unsigned long address)
{
	add(arg, address, 0);
	return 0;
}

static bool add_if_same(void *arg, const char *name, unsigned long address)
{
	struct search *s = arg;

	if (!strcmp(name, s->name))
		add(s, address, 0);
	return false;
}

static bool search_symbol(void *arg, const char *name, const Elf_Sym *symbol, char type)
{
	struct search *s = arg;

	if (name[0] == s->name[0] && !strcmp(name, s->name))
		add(s, symbol->st_value, type);
	return false;
}

static bool search_module(const struct module *m, void *arg)
{
	struct search *s = arg;

	if (!s->module || !strcmp(m->name, s->module))
		each_in(m, search_symbol, s);
	return false;
}

static void search_core(struct search *s)
{
	/* Since commit 4dc533e0f2c0 (v6.2): by binary search. */
	static int (*each_match)(int (*)(void *, unsigned long), const char *, void *);

	if (!each_match)
		each_match = (void *)kpy_kallsyms_lookup("kallsyms_on_each_match_symbol");
	if (each_match)
		each_match(add_match, s->name, s);
	else
		each_core(add_if_same, s);
}

size_t kpy_ksyms_find(const char *name, const char *module, size_t skip, struct kpy_ksym *found,
		      size_t max)
{
	struct search s = { name, module, found, skip, max };
	bool in_core = !module || !strcmp(module, "vmlinux");

	if (in_core)
		search_core(&s);
	if (!s.n && (!in_core || !module))
		each_module(search_module, &s);
	return s.n;
}

/*
 * Functions that became macros or changed their names, and inline ones around a function that
 * takes the same arguments. Those that initialise locks: see ends_with_key() in prototype.c.
 */
static const char *const aliases[][2] = {
	{ "printk", "_printk" }, /* commit 337015573718 (v5.15) */
	{ "kmalloc", "__kmalloc" },
	{ "kmalloc", "__kmalloc_noprof" },
	{ "strscpy", "sized_strscpy" }, /* commit e6584c3964f2 (v6.9) */
	{ "copy_from_user", "_copy_from_user" },
	{ "copy_to_user", "_copy_to_user" },
	{ "init_rwsem", "__init_rwsem" },
	{ "init_waitqueue_head", "__init_waitqueue_head" },
	{ "mutex_init", "__mutex_init" },
	{ "raw_spin_lock", "_raw_spin_lock" },
	{ "spin_lock", "_raw_spin_lock" },
	{ "spin_lock_bh", "_raw_spin_lock_bh" },
	{ "spin_lock_irq", "_raw_spin_lock_irq" },
	{ "spin_trylock", "_raw_spin_trylock" },
	{ "raw_spin_unlock", "_raw_spin_unlock" },
	{ "spin_unlock", "_raw_spin_unlock" },
	{ "spin_unlock_bh", "_raw_spin_unlock_bh" },
	{ "spin_unlock_irq", "_raw_spin_unlock_irq" },
	{ "spin_unlock_irqrestore", "_raw_spin_unlock_irqrestore" },
	{ "read_lock", "_raw_read_lock" },
	{ "read_unlock", "_raw_read_unlock" },
	{ "write_lock", "_raw_write_lock" },
	{ "write_unlock", "_raw_write_unlock" },
	/* Memory allocation profiling renamed all allocators: commit b951aaff5035 (v6.10) and those after it. */
	{ "__kmalloc", "__kmalloc_noprof" },
	{ "__kmalloc_node", "__kmalloc_node_noprof" },
	{ "__vmalloc", "__vmalloc_noprof" },
	{ "__alloc_pages", "__alloc_pages_noprof" },
	{ "alloc_pages", "alloc_pages_noprof" },
	{ "get_zeroed_page", "get_zeroed_page_noprof" },
	{ "kmem_cache_alloc", "kmem_cache_alloc_noprof" },
	{ "kmemdup", "kmemdup_noprof" },
	{ "krealloc", "krealloc_noprof" },
	{ "vmalloc", "vmalloc_noprof" },
	{ "vzalloc", "vzalloc_noprof" },
};

const char *kpy_ksym_alias(const char *name, size_t i)
{
	for (size_t at = 0; at < ARRAY_SIZE(aliases); at++)
		if (!strcmp(name, aliases[at][0]) && !i--)
			return aliases[at][1];
	return NULL;
}

const char *kpy_ksym_alias_name(size_t i)
{
	return i < ARRAY_SIZE(aliases) ? aliases[i][0] : NULL;
}

/* What EXPORT_SYMBOL() leaves, where relocations are relative to the place. */
struct export
{
	int value, name, namespace;
};

static bool in_exports(const struct export *low, size_t n, const char *name, unsigned long address)
{
	while (n) {
		const struct export *middle = low + n / 2;
		int order = strcmp(name, (const char *)&middle->name + middle->name);

		if (!order)
			return (unsigned long)&middle->value + middle->value == address;
		if (order < 0) {
			n /= 2;
		} else {
			low = middle + 1;
			n -= n / 2 + 1;
		}
	}
	return false;
}

static bool in_core_exports(const char *start_name, const char *stop_name, const char *name,
			    unsigned long address)
{
	const struct export *start = (const void *)kpy_kallsyms_lookup(start_name);
	const struct export *stop = (const void *)kpy_kallsyms_lookup(stop_name);

	return start && stop > start && in_exports(start, stop - start, name, address);
}

static bool in_module_exports(const struct module *m, const char *name, unsigned long address)
{
	return in_exports((const void *)m->syms, m->num_syms, name, address) ||
	       in_exports((const void *)m->gpl_syms, m->num_gpl_syms, name, address);
}

bool kpy_ksym_exported(const char *name, unsigned long address)
{
	const struct module *m;
	bool found;

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_PREL32_RELOCATIONS))
		return false;
	preempt_disable();
	m = kpy_module_at(address);
	found = m && in_module_exports(m, name, address);
	preempt_enable();
	if (m)
		return found;
	return in_core_exports("__start___ksymtab", "__stop___ksymtab", name, address) ||
	       in_core_exports("__start___ksymtab_gpl", "__stop___ksymtab_gpl", name, address);
}
