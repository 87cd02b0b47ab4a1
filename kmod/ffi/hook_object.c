// SPDX-License-Identifier: GPL-2.0-or-later
/* The Python object that shows a hook. When it is collected, the hook is removed. */
#ifndef NO_QSTR
#include <linux/math64.h>
#include <asm/tsc.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/hook.h"
#ifndef NO_QSTR
#include "ffi/stub.h"
#endif

typedef struct {
	mp_obj_base_t base;
	struct kpy_hook *hook;
} hook_object_t;

#ifdef NO_QSTR
#define REMOVE(o)
#define REARM(o)
#define GONE(o)
#define POINTER(o) mp_const_none
#define INT_OF(o) mp_const_none
#define hook_print 0
#define all_hooks(list)
static mp_obj_t hook_value(hook_object_t *o, qstr attr)
{
	return MP_OBJ_NEW_QSTR(MP_QSTR_hits), MP_OBJ_NEW_QSTR(MP_QSTR_missed),
	       MP_OBJ_NEW_QSTR(MP_QSTR_missed_by), MP_OBJ_NEW_QSTR(MP_QSTR_recursions),
	       MP_OBJ_NEW_QSTR(MP_QSTR_last_error), MP_OBJ_NEW_QSTR(MP_QSTR_enabled),
	       MP_OBJ_NEW_QSTR(MP_QSTR_total_ns), MP_OBJ_NEW_QSTR(MP_QSTR_kind),
	       MP_OBJ_NEW_QSTR(MP_QSTR_handler), MP_OBJ_NEW_QSTR(MP_QSTR_target);
}
#else
#define REMOVE(o) remove_hook((o)->hook)
#define REARM(o) rearm((o)->hook)
#define GONE(o) forget((o))
#define POINTER(o) pointer(o)
#define INT_OF(o) int_of(o)

/* Stands in for the hook of an object whose finaliser ran, called by hand or in a resurrection. */
static const struct kpy_hook_kind gone_kind = { .name = "forgotten" };
static struct kpy_hook gone = { .kind = &gone_kind, .removed = true };

static void forget(hook_object_t *o)
{
	struct kpy_hook *h = o->hook;

	o->hook = &gone;
	if (h != &gone && !kpy_hook_object_gone(h))
		mp_printf(&mp_plat_print,
			  "kpy: callback 0x%lx is kept, as the kernel may still call it: "
			  "hooks() has it, rm() ends it\n",
			  kpy_stub_address(h->slot));
}

bool kpy_hook_pointer(mp_obj_t o, unsigned long *address)
{
	struct kpy_hook *h;

	if (!mp_obj_is_exact_type(o, &kpy_type_hook))
		return false;
	h = ((hook_object_t *)MP_OBJ_TO_PTR(o))->hook;
	if (!h->kind->is_pointer || h->removed)
		return false;
	h->shared = true;
	*address = kpy_stub_address(h->slot);
	return true;
}

static mp_obj_t int_of(mp_obj_t o)
{
	unsigned long address;

	return kpy_hook_pointer(o, &address) ? mp_obj_new_int_from_uint(address) : MP_OBJ_NULL;
}

static mp_obj_t pointer(mp_obj_t o)
{
	unsigned long address;

	if (!kpy_hook_pointer(o, &address))
		mp_raise_ValueError(MP_ERROR_TEXT("no callback, or one that was removed"));
	return mp_obj_new_int_from_uint(address);
}

static void remove_hook(struct kpy_hook *h)
{
	if (!h->removed)
		kpy_hook_remove(h);
}

static void rearm(struct kpy_hook *h)
{
	struct kpy_entry *e;
	int err;

	if (h->removed)
		mp_raise_ValueError(MP_ERROR_TEXT("the hook was removed"));
	h->enabled = true;
	h->last_error = MP_OBJ_NULL;
	if (h->slot >= 0) /* the kernel still calls its stub */
		return;
	e = kpy_gil_release();
	err = h->kind->arm(h);
	kpy_gil_acquire(e);
	if (err)
		mp_raise_OSError(-err);
}

static mp_obj_t hook_value(hook_object_t *o, qstr attr)
{
	struct kpy_hook *h = o->hook;
	mp_obj_t dict;

	switch (attr) {
	case MP_QSTR_hits:
		return mp_obj_new_int_from_ull(h->hits);
	case MP_QSTR_missed:
		return mp_obj_new_int_from_uint(kpy_hook_missed(h));
	case MP_QSTR_recursions:
		return mp_obj_new_int_from_uint(atomic_long_read(&h->missed[KPY_MISS_RECURSION]));
	case MP_QSTR_missed_by:
		dict = mp_obj_new_dict(0);
		kpy_hook_misses(dict, h->missed, false);
		return dict;
	case MP_QSTR_last_error:
		return h->last_error ? h->last_error : mp_const_none;
	case MP_QSTR_enabled:
		return mp_obj_new_bool(h->enabled);
	case MP_QSTR_total_ns:
		return mp_obj_new_int_from_ull(mul_u64_u32_div(h->total_tsc, 1000000, tsc_khz));
	case MP_QSTR_kind:
		return mp_obj_new_str(h->kind->name, strlen(h->kind->name));
	case MP_QSTR_target:
		return mp_obj_new_str(h->target, strlen(h->target));
	case MP_QSTR_handler:
		return h->handler ? h->handler : mp_const_none;
	default:
		return MP_OBJ_NULL;
	}
}

static void hook_print(const mp_print_t *print, mp_obj_t self, mp_print_kind_t kind)
{
	struct kpy_hook *h = ((hook_object_t *)MP_OBJ_TO_PTR(self))->hook;

	mp_printf(print, "<%s hook", h->kind->name);
	if (h->target[0])
		mp_printf(print, " on %s", h->target);
	if (h->handler) {
		mp_printf(print, ": ");
		mp_obj_print_helper(print, h->handler, PRINT_REPR);
	}
	mp_printf(print, ", %lu hits%s>", (unsigned long)h->hits,
		  h->removed   ? ", removed"
		  : h->enabled ? ""
			       : ", disabled");
}

mp_obj_t kpy_hook_object(struct kpy_hook *h)
{
	if (!h->object) {
		hook_object_t *o = mp_obj_malloc_with_finaliser(hook_object_t, &kpy_type_hook);

		o->hook = h;
		h->object = MP_OBJ_FROM_PTR(o);
	}
	return h->object;
}

static void append(struct kpy_hook *h, void *list)
{
	if (h->epoch == kpy_epoch && h->handler)
		mp_obj_list_append(MP_OBJ_FROM_PTR(list), kpy_hook_object(h));
}
#define all_hooks(list) kpy_hooks_each(append, MP_OBJ_TO_PTR(list))
#endif

static mp_obj_t hook_rm(mp_obj_t self)
{
	REMOVE((hook_object_t *)MP_OBJ_TO_PTR(self));
	return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(hook_rm_obj, hook_rm);

/* ptr(): the address for the kernel to call. */
static mp_obj_t hook_ptr(mp_obj_t self)
{
	return POINTER(self);
}
static MP_DEFINE_CONST_FUN_OBJ_1(hook_ptr_obj, hook_ptr);

static mp_obj_t hook_rearm(mp_obj_t self)
{
	REARM((hook_object_t *)MP_OBJ_TO_PTR(self));
	return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(hook_rearm_obj, hook_rearm);

static mp_obj_t hook_del(mp_obj_t self)
{
	GONE((hook_object_t *)MP_OBJ_TO_PTR(self));
	return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(hook_del_obj, hook_del);

static mp_obj_t hook_exit(size_t n_args, const mp_obj_t *args)
{
	return hook_rm(args[0]);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(hook_exit_obj, 4, 4, hook_exit);

static const mp_rom_map_elem_t locals_table[] = {
	{ MP_ROM_QSTR(MP_QSTR_rm), MP_ROM_PTR(&hook_rm_obj) },
	{ MP_ROM_QSTR(MP_QSTR_ptr), MP_ROM_PTR(&hook_ptr_obj) },
	{ MP_ROM_QSTR(MP_QSTR_rearm), MP_ROM_PTR(&hook_rearm_obj) },
	{ MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&hook_del_obj) },
	{ MP_ROM_QSTR(MP_QSTR___enter__), MP_ROM_PTR(&mp_identity_obj) },
	{ MP_ROM_QSTR(MP_QSTR___exit__), MP_ROM_PTR(&hook_exit_obj) },
};
static MP_DEFINE_CONST_DICT(locals, locals_table);

static void hook_attr(mp_obj_t self, qstr attr, mp_obj_t *dest)
{
	mp_obj_t value;

	if (dest[0] != MP_OBJ_NULL)
		return;
	value = hook_value(MP_OBJ_TO_PTR(self), attr);
	if (value != MP_OBJ_NULL)
		dest[0] = value;
	else
		dest[1] = MP_OBJ_SENTINEL; /* go on with the methods */
}

/* int(callback) is its address. */
static mp_obj_t hook_unary_op(mp_unary_op_t op, mp_obj_t self)
{
	if (op == MP_UNARY_OP_INT_MAYBE)
		return INT_OF(self);
	return MP_OBJ_NULL;
}

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_hook, MP_QSTR_Hook, MP_TYPE_FLAG_NONE, print, hook_print, attr,
			 hook_attr, unary_op, hook_unary_op, locals_dict, &locals);

/* hooks(): a list of the hooks that are not removed. */
static mp_obj_t hooks(void)
{
	mp_obj_t list = mp_obj_new_list(0, NULL);

	all_hooks(list);
	return list;
}
MP_DEFINE_CONST_FUN_OBJ_0(kpy_hooks_obj, hooks);
