// SPDX-License-Identifier: GPL-2.0-or-later
/* What a name means: aliases, symbols of one name, and names that there are not. */
#ifndef NO_QSTR
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "ffi/ffi.h"
#include "ffi/resolve.h"

#ifndef NO_QSTR
#include "ffi/ksyms.h"
#include "ffi/near.h"
#include "ffi/modules.h"

#define CANDIDATES 16 /* of one name that are looked at */
#define SHOWN 8 /* in the message about it */

bool kpy_is_completing(void)
{
	return kpy_current->completing;
}

static size_t find(const char *name, const char *module, size_t skip, struct kpy_ksym *found,
		   size_t max)
{
	struct kpy_entry *e = kpy_current;
	size_t n;

	if (kpy_may_sleep(e)) {
		kpy_gil_release();
		n = kpy_ksyms_find(name, module, skip, found, max);
		kpy_gil_acquire(e);
		return n;
	}
	/* Here only the first can be found. */
	if (module)
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("symbols of a module cannot be looked for here"));
	found->address = kpy_kallsyms_lookup(name);
	found->type = 0;
	return found->address && !skip;
}

/* The only one that is not static: exported, or global in its module. -1: none, or several. */
static int only_global(const char *name, const struct kpy_ksym *found, size_t n)
{
	int only = -1, n_global = 0;

	for (size_t i = 0; i < n; i++) {
		if (kpy_ksym_exported(name, found[i].address) || isupper(found[i].type)) {
			only = i;
			n_global++;
		}
	}
	return n_global == 1 ? only : -1;
}

static void raise_ambiguous(const char *name, const struct kpy_ksym *found, size_t n)
{
	char module[MODULE_NAME_LEN];
	vstr_t text;

	vstr_init(&text, 256);
	vstr_printf(&text, "kernel symbol '%s' has %d definitions: ", name, (int)n);
	for (size_t i = 0; i < min_t(size_t, n, SHOWN); i++) {
		vstr_printf(&text, "%s%d at 0x%lx", i ? ", " : "", (int)i, found[i].address);
		if (kpy_module_of(found[i].address, module))
			vstr_printf(&text, " in %s", module);
	}
	vstr_printf(&text, "%s; symbol('%s', n) picks one", n > SHOWN ? ", ..." : "", name);
	mp_raise_type_arg(&mp_type_ValueError, mp_obj_new_str_from_vstr(&text));
}

bool kpy_resolve_symbol(mp_obj_t *name_in, const char *module, mp_int_t pick,
			unsigned long *address)
{
	const char *name = mp_obj_str_get_str(*name_in), *written = name, *alias;
	struct kpy_ksym found[CANDIDATES];
	size_t n = find(name, module, max_t(mp_int_t, pick, 0), found, CANDIDATES);
	int global;

	for (size_t i = 0; !n && (alias = kpy_ksym_alias(written, i)); i++) {
		name = alias;
		n = find(name, module, max_t(mp_int_t, pick, 0), found, CANDIDATES);
	}
	if (!n)
		return false;
	if (name != written)
		*name_in = mp_obj_new_str_from_cstr(name);
	if (pick >= 0) {
		if (pick >= n)
			mp_raise_msg_varg(&mp_type_ValueError,
					  MP_ERROR_TEXT("kernel symbol '%s' has %d definition%s"),
					  name, (int)n, n == 1 ? "" : "s");
		*address = found[0].address;
		return true;
	}
	if (n == 1) {
		*address = found[0].address;
		return true;
	}
	global = only_global(name, found, min_t(size_t, n, CANDIDATES));
	if (global < 0)
		raise_ambiguous(name, found, n);
	*address = found[global].address;
	return true;
}

/* What to use instead of functions that exist in headers only. */
static const char *hint(const char *name)
{
	static const char *const hints[][2] = {
		{ "kzalloc", "kmalloc(n) and memset()" },
		{ "kcalloc", "kmalloc(n) and memset()" },
		{ "wake_up", "__wake_up(queue, 3, 1, 0)" },
		{ "schedule_work", "queue_work_on()" },
		{ "spin_lock_irqsave", "_raw_spin_lock_irqsave(), which returns the flags" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		if (!strcmp(name, hints[i][0]))
			return hints[i][1];
	return NULL;
}

static void near_names(const char *name, vstr_t *text)
{
	struct kpy_entry *e = kpy_current;
	struct kpy_near near;

	if (!kpy_may_sleep(e))
		return;
	kpy_gil_release();
	kpy_ksyms_near(name, &near);
	kpy_gil_acquire(e);
	for (int i = 0; i < KPY_NEAR_MAX && *near.names[i]; i++)
		vstr_printf(text, "%s'%s'", i ? ", " : "; did you mean ", near.names[i]);
	if (*near.names[0])
		vstr_add_char(text, '?');
}

void kpy_raise_no_symbol(const mp_obj_type_t *error, mp_obj_t name_in, const char *module)
{
	const char *name = mp_obj_str_get_str(name_in), *instead = hint(name);
	vstr_t text;

	vstr_init(&text, 64);
	vstr_printf(&text, "kernel symbol '%s' not found", name);
	if (module)
		vstr_printf(&text, " in '%s'", module);
	else if (instead)
		vstr_printf(&text, ": it is inline; use %s", instead);
	else
		near_names(name, &text);
	mp_raise_type_arg(error, mp_obj_new_str_from_vstr(&text));
}

void kpy_raise_near(mp_obj_t name_in)
{
	const char *name = mp_obj_str_get_str(name_in), *instead = hint(name);
	size_t before;
	vstr_t text;

	if (kpy_current->kind != KPY_SESSION)
		return;
	vstr_init(&text, 64);
	vstr_printf(&text, "name '%s' isn't defined", name);
	before = text.len;
	if (instead)
		vstr_printf(&text, ": in the kernel it is inline; use %s", instead);
	else
		near_names(name, &text);
	if (text.len > before)
		mp_raise_type_arg(&mp_type_NameError, mp_obj_new_str_from_vstr(&text));
}
#endif
