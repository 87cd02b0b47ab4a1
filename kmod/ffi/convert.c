// SPDX-License-Identifier: GPL-2.0-or-later
/* From Python values to the words of the kernel's calling convention. */
#include "py/objint.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

unsigned long kpy_int_to_word(mp_obj_t o)
{
	byte buf[8];

	if (mp_obj_is_small_int(o))
		return MP_OBJ_SMALL_INT_VALUE(o);
	if (!mp_obj_is_exact_type(o, &mp_type_int)) /* an instance with __int__ */
		o = mp_unary_op(MP_UNARY_OP_INT_MAYBE, o);
	if (o == MP_OBJ_NULL)
		mp_raise_TypeError(MP_ERROR_TEXT("an int is needed"));
	if (mp_obj_is_small_int(o))
		return MP_OBJ_SMALL_INT_VALUE(o);
	/* Negative numbers down to -2^63 and positive ones up to 2^64-1 have one 64-bit pattern each. */
	if (!mp_obj_int_to_bytes_impl(o, false, sizeof(buf), buf))
		mp_raise_msg(&mp_type_OverflowError, MP_ERROR_TEXT("int does not fit in 64 bits"));
	return *(unsigned long *)buf;
}

bool kpy_to_word(mp_obj_t o, unsigned long *word)
{
	mp_buffer_info_t buffer;

	if (o == mp_const_none || o == mp_const_false)
		*word = 0;
	else if (o == mp_const_true)
		*word = 1;
	else if (mp_obj_is_int(o))
		*word = kpy_int_to_word(o);
	else if (mp_obj_is_exact_type(o, &kpy_type_symbol))
		*word = ((kpy_symbol_t *)MP_OBJ_TO_PTR(o))->value;
	else if (kpy_hook_pointer(o, word))
		return true;
	else if (mp_get_buffer(o, &buffer, MP_BUFFER_READ))
		*word = (unsigned long)buffer.buf;
	else
		return false;
	return true;
}

unsigned long kpy_to_address(mp_obj_t o)
{
	if (mp_obj_is_exact_type(o, &kpy_type_symbol))
		return ((kpy_symbol_t *)MP_OBJ_TO_PTR(o))->value;
	if (!mp_obj_is_int(o))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is not an address"),
				  mp_obj_get_type_str(o));
	return kpy_int_to_word(o);
}
