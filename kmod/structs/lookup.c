// SPDX-License-Identifier: GPL-2.0-or-later
/* Finds structs by name. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "structs/lookup.h"
#include "structs/object.h"
#ifndef NO_QSTR
#include "entry.h"
#include "structs/layout.h"
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

struct kpy_ctype kpy_lookup_record(const char *name, const char *module)
{
	static const enum kpy_ckind kinds[] = { KPY_C_STRUCT, KPY_C_UNION, KPY_C_TYPEDEF };
	size_t first = 0, last = ARRAY_SIZE(kinds);
	const struct kpy_btf *btf;
	struct kpy_ctype t;

	if (!strncmp(name, "struct ", 7)) {
		last = 1;
		name += 7;
	} else if (!strncmp(name, "union ", 6)) {
		first = 1;
		last = 2;
		name += 6;
	}
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

const char *kpy_source_name(struct kpy_ctype t)
{
	return kpy_is_layout(t) ? "plugin" : "btf";
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

/* How far two names are apart: letters to insert, remove or replace; more than `most` is just that. */
static unsigned int distance(const char *a, const char *b, unsigned int most)
{
	unsigned char row[64];
	size_t n = strlen(a), m = strlen(b);

	if (n >= sizeof(row) || m >= sizeof(row) || n > m + most || m > n + most)
		return most + 1;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int up = row[j];

			row[j] = min3(row[j] + 1U, row[j - 1] + 1U,
				      diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[m];
}

/* KeyError with up to three names that are near. */
static noinline void unknown(const char *name)
{
	char near[3][48] = {};
	unsigned int n = 0, most = strlen(name) > 5 ? 2 : 1;
	const char *plain = strchr(name, ' ') ? strchr(name, ' ') + 1 : name;
	struct kpy_cinfo info;

	for (u32 i = 0; i < kpy_layout_count() && n < ARRAY_SIZE(near); i++) {
		kpy_ctype_get(kpy_layout_named(i), &info);
		if (info.kind == KPY_C_STRUCT || info.kind == KPY_C_UNION)
			if (*info.name == *plain && distance(plain, info.name, most) <= most)
				strscpy(near[n++], info.name, sizeof(near[0]));
	}
	if (!n)
		mp_raise_msg_varg(&mp_type_KeyError, MP_ERROR_TEXT("no struct '%s'"), name);
	mp_raise_msg_varg(&mp_type_KeyError,
			  MP_ERROR_TEXT("no struct '%s'; did you mean %s%s%s%s%s?"), name, near[0],
			  n > 1 ? (n > 2 ? ", " : " or ") : "", near[1], n > 2 ? " or " : "",
			  near[2]);
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
