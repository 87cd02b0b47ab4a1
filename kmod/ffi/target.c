// SPDX-License-Identifier: GPL-2.0-or-later
/* What a hook is to be put on: a name, a Symbol or an address. */
#ifndef NO_QSTR
#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"
#ifndef NO_QSTR
#include "ffi/ftrace.h"
#include "ffi/hook_types.h"
#include "ffi/prototype.h"
#include "ffi/resolve.h"
#include "ffi/stub.h"
#include "kpy.h"

/* The address of a function that Python code names. Raises ValueError. */
static unsigned long named(mp_obj_t name)
{
	unsigned long address;

	if (kpy_resolve_symbol(&name, NULL, -1, &address))
		return address;
	kpy_raise_no_symbol(&mp_type_ValueError, name, NULL);
	return 0;
}

void kpy_target_find(mp_obj_t what, struct kpy_target *t)
{
	char text[KSYM_SYMBOL_LEN];
	unsigned long size = 0;
	static int (*find_size)(unsigned long, unsigned long *, unsigned long *);

	t->address = mp_obj_is_str(what) ? named(what) : kpy_to_address(what);
	if (!find_size)
		find_size = (void *)kpy_kallsyms_lookup("kallsyms_lookup_size_offset");
	t->offset = 0;
	if (find_size && !find_size(t->address, &size, &t->offset))
		size = 0;
	if (!size)
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("no kernel symbol at address 0x%lx"), t->address);
	/* "name+0x1/0x2 [module]" */
	sprint_symbol(text, t->address);
	text[strcspn(text, "+ ")] = '\0';
	if (mp_obj_is_str(what)) /* which may be one of several for the address */
		strscpy(t->name, mp_obj_str_get_str(what), sizeof(t->name));
	else if (t->offset)
		snprintf(t->name, sizeof(t->name), "%.30s+0x%lx", text, t->offset);
	else
		strscpy(t->name, text, sizeof(t->name));
	if (!kpy_is_text(t->address))
		kpy_raise_untraceable(EINVAL, t, "is data, not a function");
	if (within_module(t->address, THIS_MODULE))
		kpy_raise_untraceable(EINVAL, t, "cannot be hooked: it is part of kpy");
	t->site = kpy_ftrace_site(t->address);
}

bool kpy_target_switches_tasks(const struct kpy_target *t)
{
	static unsigned long from, to;

	if (!from) {
		to = kpy_kallsyms_lookup("__sched_text_end");
		from = kpy_kallsyms_lookup("__sched_text_start");
	}
	return t->address >= from && t->address < to && !kpy_ftrace_site(t->address - t->offset);
}

void kpy_target_must_return(const struct kpy_target *t)
{
	if (t->address - t->offset == kpy_kallsyms_lookup("do_task_dead"))
		kpy_raise_untraceable(EINVAL, t, "cannot be hooked so: no task comes back from it");
}

/* The module that has the code at address, which then cannot be unloaded; NULL: none. */
static struct module *hold_module(unsigned long address)
{
	static struct module *(*find_module)(unsigned long);
	struct module *m;

	if (!find_module)
		find_module = (void *)kpy_kallsyms_lookup("__module_address");
	preempt_disable();
	m = find_module ? find_module(address) : NULL;
	if (m && !try_module_get(m))
		m = NULL;
	preempt_enable();
	return m;
}

struct kpy_hook *kpy_hook_new_at(const struct kpy_hook_kind *kind, mp_obj_t handler,
				 const struct kpy_target *t, struct kpy_hook_types *types)
{
	struct kpy_hook *h = kpy_hook_new(kind, handler);

	if (!h) {
		kfree(types);
		mp_raise_type(&mp_type_MemoryError);
	}
	h->types = types;
	if (t) {
		memcpy(h->target, t->name, sizeof(h->target));
		h->address = t->address;
		h->site = t->site;
		h->original = t->site ? t->site + MCOUNT_INSN_SIZE : t->address;
		h->owner = hold_module(t->address);
	}
	h->slot = kpy_stub_take(h);
	if (h->slot < 0 && kpy_may_sleep(kpy_current)) {
		struct kpy_entry *e = kpy_gil_release();

		kpy_hooks_settle();
		kpy_gil_acquire(e);
		h->slot = kpy_stub_take(h);
	}
	if (h->slot < 0) {
		kpy_hook_remove(h);
		mp_raise_msg_varg(&mp_type_OSError,
				  MP_ERROR_TEXT("all %d stubs are in use: remove hooks first"),
				  KPY_STUBS);
	}
	return h;
}

int kpy_target_args(const struct kpy_target *t, bool typed, struct kpy_hook_types **types)
{
	struct kpy_proto proto;

	*types = NULL;
	if (kpy_proto_find_at(&proto, t->address - t->offset) > 0 && !proto.doubtful) {
		if (typed)
			*types = kpy_hook_types_of(proto.type, 0);
		if (*types || !typed)
			return min_t(int, proto.n, KPY_HOOK_ARGS_MAX);
	}
	if (typed)
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("the prototype of %s is not known"), t->name);
	return -1;
}

bool kpy_target_typed(mp_map_t *kw)
{
	mp_map_elem_t *e = mp_map_lookup(kw, MP_OBJ_NEW_QSTR(MP_QSTR_typed), MP_MAP_LOOKUP);

	if (kw->used > (e ? 1 : 0))
		mp_raise_TypeError(MP_ERROR_TEXT("the only keyword argument is typed"));
	return e && mp_obj_is_true(e->value);
}

static const char *why_not(int err)
{
	switch (err) {
	case -EEXIST:
		return "has a probe of this kind already";
	case -EBUSY:
		return "is redirected by someone else already (livepatch, or a kprobe with a post handler)";
	case -ENODEV:
		return "cannot be traced: ftrace is disabled in this kernel";
	case -EWOULDBLOCK:
		return "cannot be hooked here: this context must not sleep";
	case -EILSEQ:
		return "cannot be probed: no instruction begins there";
	case -EINVAL:
	case -ENOENT:
		return "cannot be probed: the kernel relies on that code itself";
	default:
		return "cannot be hooked";
	}
}

void kpy_hook_arm_or_raise(struct kpy_hook *h, const struct kpy_target *t)
{
	int err = kpy_hook_arm(h);

	if (!err)
		return;
	kpy_hook_remove(h);
	kpy_raise_untraceable(-err, t, why_not(err));
}

void kpy_raise_untraceable(int err, const struct kpy_target *t, const char *why)
{
	mp_obj_t args[2] = { MP_OBJ_NEW_SMALL_INT(err), MP_OBJ_NULL };
	vstr_t text;

	vstr_init(&text, 64);
	vstr_printf(&text, "%s %s", t->name, why);
	args[1] = mp_obj_new_str_from_vstr(&text);
	nlr_raise(mp_obj_new_exception_args(&mp_type_OSError, 2, args));
}
#else
static qstr used(void)
{
	return MP_QSTR_typed;
}
#endif
