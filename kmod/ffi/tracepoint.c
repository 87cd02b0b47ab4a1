// SPDX-License-Identifier: GPL-2.0-or-later
/* tracepoint(name, f): f(a1, ...) at a tracepoint of the kernel. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

#ifdef NO_QSTR
#define new_tracepoint(name, f) mp_const_none
#else
#include "kpy.h"
#include "entry.h"
#include "ffi/hook_types.h"
#include "ffi/stub.h"
#include "structs/sources.h"

static struct tracepoint *point_of(const struct kpy_hook *h)
{
	return (struct tracepoint *)h->address;
}

static int arm(struct kpy_hook *h)
{
	int err = tracepoint_probe_register(point_of(h), (void *)kpy_stub_address(h->slot), h);

	h->armed = !err;
	return err;
}

static void disarm(struct kpy_hook *h)
{
	if (!h->armed)
		return;
	tracepoint_probe_unregister(point_of(h), (void *)kpy_stub_address(h->slot), h);
	tracepoint_synchronize_unregister();
}

static void handle(struct kpy_hook *h, struct kpy_invocation *inv)
{
	kpy_handler_call(h, inv, MP_OBJ_NULL);
}

static const struct kpy_hook_kind tracepoint_kind = {
	.name = "tracepoint",
	.arm = arm,
	.disarm = disarm,
	.handle = handle,
};

/* The type of its probes, which BTF has as a typedef; NULL: unknown. */
static struct kpy_hook_types *types_of(const char *name)
{
	char text[sizeof_field(struct kpy_hook, target) + 16];
	const struct kpy_btf *btf;
	struct kpy_cinfo info;
	struct kpy_ctype t;
	u32 id;

	if (!kpy_sources_ready(NULL)) {
		struct kpy_entry *e = kpy_gil_release();

		kpy_sources_prepare(NULL);
		kpy_gil_acquire(e);
	}
	btf = kpy_sources_vmlinux();
	snprintf(text, sizeof(text), "btf_trace_%s", name);
	id = btf ? kpy_btf_find(btf, KPY_C_TYPEDEF, text, 0) : 0;
	if (!id)
		return NULL;
	t = kpy_ctype_strip(kpy_btf_type(btf, id), &info);
	if (info.kind != KPY_C_POINTER)
		return NULL;
	t.id = info.target;
	return kpy_hook_types_of(t, 1);
}

static mp_obj_t new_tracepoint(mp_obj_t name_in, mp_obj_t f)
{
	const char *name = mp_obj_str_get_str(name_in);
	char text[sizeof_field(struct kpy_hook, target) + 16];
	struct kpy_hook_types *types;
	struct kpy_target t = {};
	struct kpy_hook *h;
	mp_obj_t object;

	kpy_handler_args(f, NULL, 6, false);
	snprintf(text, sizeof(text), "__tracepoint_%s", name);
	t.address = kpy_kallsyms_lookup(text);
	if (!t.address || strlen(name) >= sizeof(t.name))
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("no tracepoint '%s'"), name);
	strscpy(t.name, name, sizeof(t.name));
	if (!kpy_may_sleep(kpy_current))
		kpy_raise_untraceable(EWOULDBLOCK, &t,
				      "cannot be hooked here: this context must not sleep");
	types = types_of(name);
	h = kpy_hook_new_at(&tracepoint_kind, f, &t, types);
	h->original = 0;
	h->skip = 1;
	h->n_args = kpy_handler_args(f, NULL, types ? types->n : 5, types);
	object = kpy_hook_object(h);
	kpy_hook_arm_or_raise(h, &t);
	return object;
}
#endif

/* tracepoint(name, f): arguments have the types that BTF tells. Raises ValueError, OSError. */
static mp_obj_t tracepoint(mp_obj_t name, mp_obj_t f)
{
	return new_tracepoint(name, f);
}
MP_DEFINE_CONST_FUN_OBJ_2(kpy_tracepoint_obj, tracepoint);
