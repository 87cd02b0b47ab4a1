// SPDX-License-Identifier: GPL-2.0-or-later
/* LayoutError: for structs of the table that are not those of the running kernel. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/objexcept.h"
#include "py/runtime.h"
#include "structs/lookup.h"
#ifndef NO_QSTR
#include "entry.h"
#include "structs/compare.h"
#include "structs/layout.h"
#include "structs/selfcheck.h"

#define SEEN_BITS 10

static bool allow_mismatch;

/* Structs that were found right: no need to look again. */
static u32 seen[1 << SEEN_BITS]; /* id + 1 */

static noinline void mismatch(struct kpy_ctype record, const char *where)
{
	struct kpy_cinfo info;

	kpy_ctype_get(record, &info);
	mp_raise_msg_varg(&kpy_type_LayoutError,
			  MP_ERROR_TEXT("%s%s%s differs from the running kernel's: the module was "
					"built for another one (see allow_mismatch)"),
			  info.name, *where ? "." : "", where);
}

/* Has the check of all structs found that this one is right? */
static bool is_checked(struct kpy_ctype record)
{
	struct kpy_cinfo info;

	if (!kpy_selfcheck_result().done || kpy_selfcheck_differs(record))
		return false;
	kpy_ctype_get(record, &info);
	return !info.local;
}

void kpy_require_layout(struct kpy_ctype record)
{
	u32 *slot = &seen[record.id & ((1 << SEEN_BITS) - 1)];
	const char *where;

	if (!kpy_is_layout(record) || *slot == record.id + 1 || allow_mismatch)
		return;
	if (!is_checked(record) && !kpy_layout_matches(record, &where))
		mismatch(record, where);
	*slot = record.id + 1;
}

/* "name.member" of a struct that differs, or just "name". */
static mp_obj_t difference(struct kpy_ctype t)
{
	const char *where = "";
	struct kpy_cinfo info;
	char text[160];
	int n;

	kpy_layout_matches(t, &where);
	kpy_ctype_get(t, &info);
	n = snprintf(text, sizeof(text), "%s%s%s", info.name, *where ? "." : "", where);
	return mp_obj_new_str(text, min_t(int, n, sizeof(text) - 1));
}

static void wait_for_check(void)
{
	struct kpy_entry *e = kpy_current;

	if (!kpy_selfcheck_result().done && kpy_may_sleep(e)) {
		kpy_gil_release();
		kpy_selfcheck_wait();
		kpy_gil_acquire(e);
	}
	if (!kpy_selfcheck_result().done)
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("the layouts are not checked yet"));
}

static mp_obj_t report(void)
{
	mp_obj_t list = mp_obj_new_list(0, NULL), dict = mp_obj_new_dict(4);
	struct kpy_selfcheck result;

	wait_for_check();
	result = kpy_selfcheck_result();
	for (u32 i = 0; result.differ && i < kpy_layout_count(); i++) {
		struct kpy_ctype t = kpy_layout_named(i);

		if (!(i & 255))
			mp_handle_pending(true);
		if (kpy_selfcheck_differs(t))
			mp_obj_list_append(list, difference(t));
	}
	mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_checked),
			  MP_OBJ_NEW_SMALL_INT(result.checked));
	mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_differ), list);
	mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_microseconds),
			  MP_OBJ_NEW_SMALL_INT(result.microseconds));
	return dict;
}
#else
#define report() MP_QSTR_checked, MP_QSTR_differ, MP_QSTR_microseconds, MP_OBJ_NULL
static int allow_mismatch;
#endif

MP_DEFINE_CONST_OBJ_TYPE(kpy_type_LayoutError, MP_QSTR_LayoutError, MP_TYPE_FLAG_NONE, make_new,
			 mp_obj_exception_make_new, print, mp_obj_exception_print, attr,
			 mp_obj_exception_attr, parent, &mp_type_Exception);

/*
 * layout_report(): what the check of the table when the module was loaded has found: {"checked":
 * structs of BTF that the table has by name, "differ": [names], "microseconds": it took}. Waits
 * until it is done; raises RuntimeError where it cannot.
 */
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
