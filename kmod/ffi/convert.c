// SPDX-License-Identifier: GPL-2.0-or-later
/* From Python values to the words of the kernel's calling convention. */
#include "py/gc.h"
#include "py/objint.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/hook.h"

unsigned long kpy_int_to_word(mp_obj_t o)
{
	byte buf[8];

	if (mp_obj_is_small_int(o))
		return MP_OBJ_SMALL_INT_VALUE(o);
	if (kpy_is_large_int(o))
		return kpy_large_int_word(o);
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

/* Symbol, Ptr, and whatever else of ours or of the user's has an int() of its own. */
static bool stands_for_int(mp_obj_t o, unsigned long *word)
{
	const mp_obj_type_t *type = mp_obj_get_type(o);
	mp_obj_t value = MP_OBJ_NULL;

	if (o == mp_const_none || mp_obj_is_bool(o))
		return false;
	if (mp_obj_is_exact_type(o, &kpy_type_symbol)) {
		*word = ((kpy_symbol_t *)MP_OBJ_TO_PTR(o))->value;
		return true;
	}
	if (MP_OBJ_TYPE_HAS_SLOT(type, unary_op))
		value = MP_OBJ_TYPE_GET_SLOT(type, unary_op)(MP_UNARY_OP_INT_MAYBE, o);
	if (value == MP_OBJ_NULL || !mp_obj_is_int(value))
		return false;
	*word = kpy_int_to_word(value);
	return true;
}

/* Memory of Python's that the kernel may take for a string: str and bytes end with NUL themselves. */
static unsigned long string_at(mp_obj_t o, const mp_buffer_info_t *buffer)
{
	/* Not those that are a view of other memory; see micropython/terminated.h. */
	if (mp_obj_is_exact_type(o, &mp_type_bytearray) && gc_nbytes(buffer->buf) > buffer->len)
		((char *)buffer->buf)[buffer->len] = '\0';
	return (unsigned long)buffer->buf;
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
	else if (kpy_hook_pointer(o, word) || kpy_registers_pointer(o, word))
		return true;
	else if (mp_get_buffer(o, &buffer, MP_BUFFER_READ))
		*word = string_at(o, &buffer);
	else
		return stands_for_int(o, word);
	return true;
}

unsigned long kpy_to_address(mp_obj_t o)
{
	unsigned long word;

	if (mp_obj_is_int(o))
		return kpy_int_to_word(o);
	if (!stands_for_int(o, &word))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is not an address"),
				  mp_obj_get_type_str(o));
	return word;
}

mp_obj_t kpy_address_unary_op(mp_unary_op_t op, unsigned long address)
{
	switch (op) {
	case MP_UNARY_OP_INT_MAYBE:
		return mp_obj_new_int_from_uint(address);
	case MP_UNARY_OP_HASH: /* that of the int it equals */
		return mp_unary_op(op, mp_obj_new_int_from_uint(address));
	case MP_UNARY_OP_BOOL:
		return mp_obj_new_bool(address != 0);
	default:
		return MP_OBJ_NULL;
	}
}

mp_obj_t kpy_address_binary_op(mp_binary_op_t op, unsigned long address, mp_obj_t rhs)
{
	mp_obj_t value = mp_obj_new_int_from_uint(address);
	unsigned long other;

	if (!mp_obj_is_int(rhs)) {
		if (!stands_for_int(rhs, &other))
			return MP_OBJ_NULL;
		rhs = mp_obj_new_int_from_uint(other);
	}
	if (op >= MP_BINARY_OP_REVERSE_OR && op <= MP_BINARY_OP_REVERSE_POWER)
		return mp_binary_op(op - (MP_BINARY_OP_REVERSE_OR - MP_BINARY_OP_OR), rhs, value);
	return mp_binary_op(op, value, rhs);
}
