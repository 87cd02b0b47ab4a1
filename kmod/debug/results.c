// SPDX-License-Identifier: GPL-2.0-or-later
/* Values that a debugger keeps, by number: __kpy__(n) in Python, $kpyN in GDB. */
#include "py/runtime.h"
#include "debug/eval.h"

MP_REGISTER_ROOT_POINTER(mp_obj_t kpy_debug_results); /* a list, or NULL: none yet */

#ifndef NO_QSTR
u64 kpy_debug_keep(mp_obj_t value)
{
	mp_obj_t *values;
	size_t count;

	if (MP_STATE_VM(kpy_debug_results) == MP_OBJ_NULL)
		MP_STATE_VM(kpy_debug_results) = mp_obj_new_list(0, NULL);
	mp_obj_list_append(MP_STATE_VM(kpy_debug_results), value);
	mp_obj_list_get(MP_STATE_VM(kpy_debug_results), &count, &values);
	return count;
}
#endif

/*
 * __kpy__(n): the result with that number; 0 is the last one. __kpy__(n, False) forgets it,
 * __kpy__(0, False) all. Numbers are not used again before all are forgotten.
 */
static mp_obj_t debug_result(size_t n_args, const mp_obj_t *args)
{
	mp_int_t n = mp_obj_get_int(args[0]);
	bool forget = n_args > 1;
	mp_obj_t *values = NULL;
	size_t count = 0;

	if (forget && !n) {
		MP_STATE_VM(kpy_debug_results) = MP_OBJ_NULL;
		return mp_const_none;
	}
	if (MP_STATE_VM(kpy_debug_results) != MP_OBJ_NULL)
		mp_obj_list_get(MP_STATE_VM(kpy_debug_results), &count, &values);
	if (!n && !count)
		mp_raise_msg(&mp_type_NameError, MP_ERROR_TEXT("there is no result yet"));
	if (!n)
		n = count;
	if (n < 1 || (size_t)n > count || values[n - 1] == MP_OBJ_NULL)
		mp_raise_msg_varg(&mp_type_NameError, MP_ERROR_TEXT("there is no result $kpy%d"),
				  (int)n);
	if (!forget)
		return values[n - 1];
	values[n - 1] = MP_OBJ_NULL;
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_debug_result_obj, 1, 2, debug_result);
