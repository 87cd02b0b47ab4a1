// SPDX-License-Identifier: GPL-2.0-or-later
/* Are the table's layouts those of the running kernel? Compared with its BTF. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/objexcept.h"
#include "py/runtime.h"
#include "structs/lookup.h"
#ifndef NO_QSTR
#include "kpy.h"
#include "structs/layout.h"
#include "structs/sources.h"

#define NESTED_MAX 8
#define SEEN_BITS 10

static bool allow_mismatch;

/* Structs that were found right: no need to look again. */
static u32 seen[1 << SEEN_BITS]; /* id + 1 */

static bool same_members(struct kpy_ctype a, struct kpy_ctype b, int depth, const char **where)
{
	struct kpy_cinfo x, y, inner_x, inner_y;
	struct kpy_cmember m, n;
	u32 j = 0;

	kpy_ctype_get(a, &x);
	kpy_ctype_get(b, &y);
	*where = "";
	if (x.size != y.size)
		return false;
	for (u32 i = 0; i < x.count; i++, j++) {
		if (!kpy_ctype_member(a, i, &m))
			return false;
		*where = m.name;
		/* pahole leaves unnamed bitfields out, and so does the table. */
		if (j >= y.count || !kpy_ctype_member(b, j, &n))
			return false;
		if (strcmp(m.name, n.name) || m.bit_offset != n.bit_offset || m.bits != n.bits)
			return false;
		if (!m.bits && kpy_ctype_size(m.type) != kpy_ctype_size(n.type))
			return false;
		if (!*m.name && depth < NESTED_MAX) {
			m.type = kpy_ctype_strip(m.type, &inner_x);
			n.type = kpy_ctype_strip(n.type, &inner_y);
			if (inner_x.kind != inner_y.kind ||
			    !same_members(m.type, n.type, depth + 1, where))
				return false;
		}
	}
	*where = "";
	return j == y.count;
}

bool kpy_layout_matches(struct kpy_ctype record, const char **where)
{
	const struct kpy_btf *btf = kpy_sources_vmlinux();
	struct kpy_cinfo info;
	bool known = false;
	u32 id = 0;

	kpy_ctype_get(record, &info);
	*where = "";
	if (!btf || !*info.name || info.incomplete)
		return true;
	/* Of several of that name one must be it. */
	while ((id = kpy_btf_find(btf, info.kind, info.name, id))) {
		if (same_members(record, kpy_btf_type(btf, id), 0, where))
			return true;
		known = true;
	}
	return !known;
}

static noinline void mismatch(struct kpy_ctype record, const char *where)
{
	struct kpy_cinfo info;

	kpy_ctype_get(record, &info);
	mp_raise_msg_varg(&kpy_type_LayoutError,
			  MP_ERROR_TEXT("%s%s%s differs from the running kernel's: the module was "
					"built for another one (see allow_mismatch)"),
			  info.name, *where ? "." : "", where);
}

void kpy_require_layout(struct kpy_ctype record)
{
	u32 *slot = &seen[record.id & ((1 << SEEN_BITS) - 1)];
	const char *where;

	if (!kpy_is_layout(record) || *slot == record.id + 1 || allow_mismatch)
		return;
	if (!kpy_layout_matches(record, &where))
		mismatch(record, where);
	*slot = record.id + 1;
}

static mp_obj_t report(void)
{
	mp_obj_t list = mp_obj_new_list(0, NULL), dict = mp_obj_new_dict(4);
	unsigned int checked = 0, differ = 0;
	const char *where;

	kpy_lookup_prepare(NULL);
	for (u32 i = 0; i < kpy_layout_count(); i++) {
		struct kpy_ctype t = kpy_layout_named(i);
		struct kpy_cinfo info;

		if (!(i & 255))
			mp_handle_pending(true);
		kpy_ctype_get(t, &info);
		if (info.kind != KPY_C_STRUCT && info.kind != KPY_C_UNION)
			continue;
		if (!kpy_sources_vmlinux() ||
		    !kpy_btf_find(kpy_sources_vmlinux(), info.kind, info.name, 0))
			continue;
		checked++;
		if (!kpy_layout_matches(t, &where)) {
			char text[160];
			int n;

			kpy_ctype_get(t, &info);
			n = snprintf(text, sizeof(text), "%s%s%s", info.name, *where ? "." : "",
				     where);
			differ++;
			mp_obj_list_append(list, mp_obj_new_str(text, min_t(int, n, 159)));
		}
	}
	mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_checked), MP_OBJ_NEW_SMALL_INT(checked));
	mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_differ), list);
	return dict;
}
#else
#define report() MP_OBJ_NEW_QSTR(MP_QSTR_checked), MP_OBJ_NEW_QSTR(MP_QSTR_differ)
static int allow_mismatch;
#endif

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_LayoutError, MP_QSTR_LayoutError, MP_TYPE_FLAG_NONE, make_new,
			 mp_obj_exception_make_new, print, mp_obj_exception_print, attr,
			 mp_obj_exception_attr, parent, &mp_type_Exception);

/* layout_report(): {"checked": structs compared with BTF, "differ": [names]}. */
static mp_obj_t layout_report(void)
{
	return report();
}
MP_DEFINE_CONST_FUN_OBJ_0(kpy_layout_report_obj, layout_report);

/* allow_mismatch(on): use structs although they differ from the running kernel's. */
static mp_obj_t set_allow_mismatch(mp_obj_t on)
{
	allow_mismatch = mp_obj_is_true(on);
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_allow_mismatch_obj, set_allow_mismatch);
