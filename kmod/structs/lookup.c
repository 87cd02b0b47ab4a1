// SPDX-License-Identifier: GPL-2.0-or-later
/* Finds structs by name. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/stringhash.h>
#endif
#include "py/runtime.h"
#include "structs/lookup.h"
#include "structs/object.h"
#ifndef NO_QSTR
#include "entry.h"
#include "ffi/near.h"
#include "structs/layout.h"
#include "structs/pushed.h"
#include "structs/sources.h"

void kpy_lookup_prepare(const char *module)
{
	struct kpy_entry *e = kpy_current;

	if (likely(kpy_sources_ready(module)))
		return;
	if (kpy_may_sleep(e)) {
		kpy_gil_release();
		kpy_sources_prepare(module);
		kpy_gil_acquire(e);
	}
	if (!kpy_sources_ready(module))
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("structs are not ready in this context: "
					   "look one up in process context first"));
}

static struct kpy_ctype in_layout(enum kpy_ckind kind, const char *name)
{
	u32 at = 0;

	return kpy_layout_find(kind, name, &at);
}

static struct kpy_ctype in_btf(const struct kpy_btf *btf, enum kpy_ckind kind, const char *name)
{
	u32 id = btf ? kpy_btf_find(btf, kind, name, 0) : 0;

	return id ? kpy_btf_type(btf, id) : (struct kpy_ctype){};
}

static bool is_record(struct kpy_ctype *t)
{
	struct kpy_cinfo info;

	if (!t->in)
		return false;
	*t = kpy_ctype_strip(*t, &info);
	return (info.kind == KPY_C_STRUCT || info.kind == KPY_C_UNION) && !info.incomplete;
}

static const enum kpy_ckind kinds[] = { KPY_C_STRUCT, KPY_C_UNION, KPY_C_TYPEDEF };

/* Splits "struct name": returns the name alone, and which kinds it may be. */
static const char *split(const char *name, size_t *first, size_t *last)
{
	*first = 0;
	*last = ARRAY_SIZE(kinds);
	if (!strncmp(name, "struct ", 7)) {
		*last = 1;
		return name + 7;
	}
	if (!strncmp(name, "union ", 6)) {
		*first = 1;
		*last = 2;
		return name + 6;
	}
	return name;
}

/* What a debugger pushed comes before all else, until it is popped. */
static struct kpy_ctype find_pushed(const char *name)
{
	struct kpy_ctype t;
	size_t first, last;

	kpy_lookup_prepare(NULL);
	name = split(name, &first, &last);
	for (size_t i = first; i < last; i++) {
		t = kpy_pushed_find(kinds[i], name);
		if (is_record(&t))
			return t;
	}
	return (struct kpy_ctype){};
}

static struct kpy_ctype find(const char *name, const char *module)
{
	const struct kpy_btf *btf;
	struct kpy_ctype t;
	size_t first, last;

	name = split(name, &first, &last);
	kpy_lookup_prepare(module);
	if (!module) {
		for (size_t i = first; i < last; i++) {
			t = in_layout(kinds[i], name);
			if (is_record(&t))
				return t;
		}
	}
	btf = module ? kpy_sources_module(module) : kpy_sources_vmlinux();
	for (size_t i = first; i < last; i++) {
		t = in_btf(btf, kinds[i], name);
		if (is_record(&t))
			return t;
	}
	return (struct kpy_ctype){};
}

/*
 * Structs that were found last, by the names they were asked for. What is in a slot stays right:
 * the sources do not change, but for those of modules, which are not kept here.
 */
#define CACHE_BITS 7
#define CACHED_NAME 48
static struct {
	char name[CACHED_NAME];
	struct kpy_ctype type;
} cache[1 << CACHE_BITS];

static size_t slot_of(const char *name)
{
	return full_name_hash(NULL, name, strlen(name)) & (ARRAY_SIZE(cache) - 1);
}

struct kpy_ctype kpy_lookup_record(const char *name, const char *module)
{
	size_t slot = slot_of(name);
	struct kpy_ctype t;

	if (!module && unlikely(READ_ONCE(kpy_pushed.n))) {
		t = find_pushed(name);
		if (t.in)
			return t;
	}
	if (!module && !strcmp(cache[slot].name, name) && *name)
		return cache[slot].type;
	t = find(name, module);
	if (t.in && !module && strlen(name) < CACHED_NAME) {
		strcpy(cache[slot].name, name);
		cache[slot].type = t;
	}
	return t;
}

const char *kpy_source_name(struct kpy_ctype t)
{
	if (kpy_is_layout(t))
		return "plugin";
	return kpy_is_pushed(t) ? "dwarf" : "btf";
}

mp_obj_t kpy_struct_global(const char *name)
{
	struct kpy_ctype t;

	if (!kpy_sources_ready(NULL) && !kpy_may_sleep(kpy_current))
		return MP_OBJ_NULL;
	t = kpy_lookup_record(name, NULL);
	if (!t.in)
		return MP_OBJ_NULL;
	kpy_require_layout(t);
	return kpy_struct_new(t);
}

/* KeyError with names that are near. */
static noinline void unknown(const char *name)
{
	const char *plain = strchr(name, ' ') ? strchr(name, ' ') + 1 : name;
	struct kpy_near near;
	struct kpy_wanted wanted;
	struct kpy_cinfo info;

	if (kpy_near_start(&wanted, plain, &near)) {
		for (u32 i = 0; i < kpy_layout_count(); i++) {
			/* Takes milliseconds: others get their turn. */
			if (!(i & 63))
				mp_handle_pending(true);
			kpy_ctype_get(kpy_layout_named(i), &info);
			if (info.kind == KPY_C_STRUCT || info.kind == KPY_C_UNION)
				kpy_near_offer(&wanted, info.name);
		}
	}
	if (!*near.names[0])
		mp_raise_msg_varg(&mp_type_KeyError, MP_ERROR_TEXT("no struct '%s'%s"), name,
				  kpy_sources_vmlinux() ? "" : " (the kernel has no BTF)");
	mp_raise_msg_varg(&mp_type_KeyError,
			  MP_ERROR_TEXT("no struct '%s'; did you mean %s%s%s%s%s?"), name,
			  near.names[0], *near.names[1] ? (*near.names[2] ? ", " : " or ") : "",
			  near.names[1], *near.names[2] ? " or " : "", near.names[2]);
}
#endif

/*
 * lookup_struct(name[, module]): the Struct of that name; with a module, of that module's BTF.
 * Raises KeyError with near matches, LayoutError.
 */
static mp_obj_t lookup_struct(size_t n, const mp_obj_t *args)
{
#ifndef NO_QSTR
	const char *name = mp_obj_str_get_str(args[0]);
	struct kpy_ctype t = kpy_lookup_record(name, n > 1 ? mp_obj_str_get_str(args[1]) : NULL);

	if (!t.in)
		unknown(name);
	kpy_require_layout(t);
	return kpy_struct_new(t);
#endif
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_lookup_struct_obj, 1, 2, lookup_struct);
