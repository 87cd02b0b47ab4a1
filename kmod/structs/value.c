// SPDX-License-Identifier: GPL-2.0-or-later
/* Values in kernel memory, as their C types say. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>
#include "py/mperrno.h"
#include "py/objint.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/prototype.h"
#include "structs/object.h"

static void put_place(struct kpy_text *text, const struct kpy_place *place)
{
	struct kpy_cinfo info;

	if (!place->member) {
		kpy_ctype_declare(text, place->record, "");
	} else {
		kpy_ctype_get(place->record, &info);
		kpy_text_add(text, "%s%s%s", *info.name ? info.name : "?",
			     *place->member == '[' || !*place->member ? "" : ".", place->member);
	}
	if (place->is_element)
		kpy_text_add(text, "[%ld]", place->index);
}

static const char *place_text(char *buf, size_t size, const struct kpy_place *place)
{
	struct kpy_text text = { buf, size };

	*buf = 0;
	put_place(&text, place);
	return buf;
}

void kpy_raise_fault_at(uintptr_t address, const struct kpy_place *place)
{
	char where[128], buf[192];
	int n = snprintf(buf, sizeof(buf), "bad address 0x%lx (%s)", (unsigned long)address,
			 place_text(where, sizeof(where), place));
	mp_obj_t args[] = { MP_OBJ_NEW_SMALL_INT(MP_EFAULT),
			    mp_obj_new_str(buf, min_t(size_t, n, sizeof(buf) - 1)) };

	nlr_raise(mp_obj_new_exception_args(&mp_type_OSError, MP_ARRAY_SIZE(args), args));
}

static noinline void refuse(const mp_obj_type_t *type, const struct kpy_place *place,
			    const char *what)
{
	char where[128];

	mp_raise_msg_varg(type, MP_ERROR_TEXT("%s: %s"), place_text(where, sizeof(where), place),
			  what);
}

int kpy_read_range(void *dst, uintptr_t src, size_t n, uintptr_t *bad)
{
	while (n) {
		size_t part = min(n, PAGE_SIZE - src % PAGE_SIZE);

		if (kpy_read_memory(dst, src, part)) {
			*bad = src;
			return -EFAULT;
		}
		dst += part;
		src += part;
		n -= part;
	}
	return 0;
}

static mp_obj_t load_bytes(uintptr_t address, size_t n, const struct kpy_place *place)
{
	uintptr_t bad;
	vstr_t data;

	vstr_init_len(&data, n);
	if (kpy_read_range(data.buf, address, n, &bad))
		kpy_raise_fault_at(bad, place);
	return mp_obj_new_bytes_from_vstr(&data);
}

/* The word of up to nine bytes in which a bitfield lies. */
static u64 load_bits(uintptr_t address, u32 bits, u32 shift, const struct kpy_place *place)
{
	u8 raw[9] = {};
	u64 low;

	if (kpy_read_memory(raw, address, DIV_ROUND_UP(shift + bits, 8)))
		kpy_raise_fault_at(address, place);
	memcpy(&low, raw, sizeof(low));
	low >>= shift;
	if (shift)
		low |= (u64)raw[8] << (64 - shift);
	return bits < 64 ? low & ((1ULL << bits) - 1) : low;
}

static mp_obj_t load_scalar(struct kpy_ctype t, const struct kpy_cinfo *info, u64 word, u32 width)
{
	if (info->kind == KPY_C_BOOL)
		return mp_obj_new_bool(word != 0);
	if (info->is_signed)
		word = (s64)(word << (64 - width)) >> (64 - width);
	if (info->kind == KPY_C_ENUM)
		return kpy_enum_value_new(t, word);
	if (info->is_signed || !(word >> 62))
		return mp_obj_new_int(word);
	return mp_obj_new_int_from_uint(word);
}

static mp_obj_t load_pointer(struct kpy_ctype t, const struct kpy_cinfo *info, uintptr_t value)
{
	struct kpy_ctype declared = { t.in, info->target };
	struct kpy_cinfo target;
	struct kpy_ctype plain = kpy_ctype_strip(declared, &target);

	if (target.kind == KPY_C_STRUCT || target.kind == KPY_C_UNION)
		return kpy_struct_ptr_new(plain, value);
	return kpy_ptr_new(declared, value);
}

static mp_obj_t load(struct kpy_ctype type, struct kpy_ctype t, const struct kpy_cinfo *info,
		     uintptr_t address, u32 bits, u32 shift, const struct kpy_place *place)
{
	u64 word = 0;

	switch (info->kind) {
	case KPY_C_INT:
	case KPY_C_BOOL:
	case KPY_C_ENUM:
		if (bits)
			return load_scalar(t, info, load_bits(address, bits, shift, place), bits);
		if (info->size > sizeof(word))
			return load_bytes(address, info->size, place);
		if (kpy_read_memory(&word, address, info->size))
			kpy_raise_fault_at(address, place);
		return load_scalar(t, info, word, info->size * 8);
	case KPY_C_POINTER:
		if (kpy_read_memory(&word, address, sizeof(word)))
			kpy_raise_fault_at(address, place);
		return load_pointer(t, info, word);
	case KPY_C_STRUCT:
	case KPY_C_UNION:
		return kpy_struct_ptr_new(t, address);
	case KPY_C_ARRAY:
		return kpy_array_new((struct kpy_ctype){ t.in, info->target }, info->count,
				     address);
	case KPY_C_VOID:
	case KPY_C_FUNCTION:
		return kpy_ptr_new(type, address);
	default:
		return load_bytes(address, kpy_ctype_size(t), place);
	}
}

mp_obj_t kpy_typed_load(struct kpy_ctype type, uintptr_t address, u32 bits, u32 shift,
			const struct kpy_place *place)
{
	struct kpy_cinfo info;
	struct kpy_ctype t = kpy_ctype_strip(type, &info);

	return load(type, t, &info, address, bits, shift, place);
}

mp_obj_t kpy_field_load(const struct kpy_field *f, uintptr_t base, const struct kpy_place *place)
{
	uintptr_t address = base + f->bit_offset / 8, value;
	mp_obj_t loaded;

	if (f->pointee.in) {
		if (kpy_read_memory(&value, address, sizeof(value)))
			kpy_raise_fault_at(address, place);
		return kpy_struct_ptr_new(f->pointee, value);
	}
	loaded = load(f->type, f->plain, &f->info, address, f->bits, f->bit_offset % 8, place);
	if (f->info.kind == KPY_C_ARRAY) {
		kpy_array_t *array = MP_OBJ_TO_PTR(loaded);

		array->record = f->record;
		array->member = f->name;
	}
	return loaded;
}

static void write(uintptr_t address, const void *src, size_t n, const struct kpy_place *place)
{
	if (kpy_write_memory(address, src, n))
		kpy_raise_fault_at(address, place);
}

static void store_bits(uintptr_t address, u32 bits, u32 shift, u64 word,
		       const struct kpy_place *place)
{
	u64 mask = bits < 64 ? (1ULL << bits) - 1 : ~0ULL;
	size_t n = DIV_ROUND_UP(shift + bits, 8);
	u8 raw[9] = {}, high;
	u64 low;

	if (kpy_read_memory(raw, address, n))
		kpy_raise_fault_at(address, place);
	memcpy(&low, raw, sizeof(low));
	low = (low & ~(mask << shift)) | (word & mask) << shift;
	if (n > sizeof(low)) {
		high = (word & mask) >> (64 - shift);
		raw[8] = (raw[8] & ~(u8)(mask >> (64 - shift))) | high;
	}
	memcpy(raw, &low, sizeof(low));
	write(address, raw, n, place);
}

/* The word for a number of `width` bits: exactly what the type can hold. */
static u64 number(mp_obj_t value, const struct kpy_cinfo *info, u32 width,
		  const struct kpy_place *place)
{
	char buf[96];
	bool fits, negative;
	u64 word;

	if (mp_obj_is_exact_type(value, &kpy_type_enum_value) ||
	    mp_obj_is_exact_type(value, &kpy_type_symbol))
		value = mp_unary_op(MP_UNARY_OP_INT_MAYBE, value);
	if (mp_obj_is_bool(value))
		value = MP_OBJ_NEW_SMALL_INT(value == mp_const_true);
	if (!mp_obj_is_int(value)) {
		snprintf(buf, sizeof(buf), "cannot store '%s'", mp_obj_get_type_str(value));
		refuse(&mp_type_TypeError, place, buf);
	}
	negative = mp_obj_is_small_int(value) ? MP_OBJ_SMALL_INT_VALUE(value) < 0
					      : mp_obj_int_sign(value) < 0;
	if (!mp_obj_is_small_int(value)) {
		byte raw[8];

		fits = mp_obj_int_to_bytes_impl(value, false, sizeof(raw), raw);
		memcpy(&word, raw, sizeof(word));
	} else {
		word = MP_OBJ_SMALL_INT_VALUE(value);
		fits = true;
	}
	if (info->is_signed)
		fits = fits && negative == ((s64)word < 0) &&
		       (s64)(word << (64 - width)) >> (64 - width) == (s64)word;
	else
		fits = fits && !negative && (width == 64 || !(word >> width));
	if (info->kind == KPY_C_BOOL)
		fits = fits && word <= 1;
	if (!fits) {
		snprintf(buf, sizeof(buf), "value does not fit in %u %s bit%s",
			 info->kind == KPY_C_BOOL ? 1 : width,
			 info->is_signed ? "signed" : "unsigned",
			 width == 1 || info->kind == KPY_C_BOOL ? "" : "s");
		refuse(&mp_type_ValueError, place, buf);
	}
	return word;
}

static void store_array(const struct kpy_cinfo *info, struct kpy_ctype t, uintptr_t address,
			mp_obj_t value, const struct kpy_place *place)
{
	mp_buffer_info_t buffer;
	struct kpy_cinfo element;
	uintptr_t at = address;
	size_t left;

	kpy_ctype_strip((struct kpy_ctype){ t.in, info->target }, &element);
	if (element.kind != KPY_C_INT || element.size != 1 || mp_obj_is_int(value) ||
	    !mp_get_buffer(value, &buffer, MP_BUFFER_READ))
		refuse(&mp_type_TypeError, place,
		       "only bytes or str can be stored in an array of bytes");
	if (info->count == KPY_C_FLEXIBLE)
		refuse(&mp_type_TypeError, place, "an array of unknown length cannot be assigned");
	if (buffer.len > info->count)
		refuse(&mp_type_ValueError, place, "Buffer overflow!");
	for (left = buffer.len; left;) {
		size_t part = min(left, PAGE_SIZE - at % PAGE_SIZE);

		write(at, buffer.buf + (buffer.len - left), part, place);
		at += part;
		left -= part;
	}
}

static void store_wide(const struct kpy_cinfo *info, uintptr_t address, mp_obj_t value,
		       const struct kpy_place *place)
{
	mp_buffer_info_t buffer;

	if (mp_obj_is_int(value) || !mp_get_buffer(value, &buffer, MP_BUFFER_READ))
		refuse(&mp_type_TypeError, place, "only bytes can be stored here");
	if (buffer.len != info->size)
		refuse(&mp_type_ValueError, place, "the number of bytes is not that of the type");
	write(address, buffer.buf, buffer.len, place);
}

static void store(struct kpy_ctype t, const struct kpy_cinfo *info, uintptr_t address, u32 bits,
		  u32 shift, mp_obj_t value, const struct kpy_place *place)
{
	unsigned long word;
	char buf[96];

	switch (info->kind) {
	case KPY_C_INT:
	case KPY_C_BOOL:
	case KPY_C_ENUM:
		if (!bits && info->size > sizeof(word)) {
			store_wide(info, address, value, place);
			return;
		}
		word = number(value, info, bits ?: info->size * 8, place);
		if (bits)
			store_bits(address, bits, shift, word, place);
		else
			write(address, &word, info->size, place);
		return;
	case KPY_C_POINTER:
		if (kpy_to_class(value, KPY_P_U64, &word) != KPY_FITS) {
			snprintf(buf, sizeof(buf), "cannot store '%s' in a pointer",
				 mp_obj_get_type_str(value));
			refuse(&mp_type_TypeError, place, buf);
		}
		write(address, &word, sizeof(word), place);
		return;
	case KPY_C_ARRAY:
		store_array(info, t, address, value, place);
		return;
	case KPY_C_STRUCT:
	case KPY_C_UNION:
		refuse(&mp_type_TypeError, place, "a whole struct cannot be assigned");
		return;
	case KPY_C_VOID:
	case KPY_C_FUNCTION:
		refuse(&mp_type_TypeError, place, "a void or a function cannot be assigned");
		return;
	default:
		refuse(&mp_type_TypeError, place, "a value of this type cannot be assigned");
	}
}

void kpy_typed_store(struct kpy_ctype type, uintptr_t address, mp_obj_t value,
		     const struct kpy_place *place)
{
	struct kpy_cinfo info;
	struct kpy_ctype t = kpy_ctype_strip(type, &info);

	store(t, &info, address, 0, 0, value, place);
}

void kpy_field_store(const struct kpy_field *f, uintptr_t base, mp_obj_t value,
		     const struct kpy_place *place)
{
	store(f->plain, &f->info, base + f->bit_offset / 8, f->bits, f->bit_offset % 8, value,
	      place);
}
