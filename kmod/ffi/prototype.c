// SPDX-License-Identifier: GPL-2.0-or-later
/* Prototypes: found in BTF or the layout table, and boiled down to a class for each value. */
#include <linux/errno.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/lockdep_types.h>
#include <linux/string.h>
#include "py/runtime.h"
#include "kpy.h"
#include "entry.h"
#include "ffi/ffi.h"
#include "ffi/modules.h"
#include "ffi/pointer.h"
#include "ffi/prototype.h"
#include "structs/object.h"
#include "structs/sources.h"

enum kpy_class kpy_class_of(struct kpy_ctype t, struct kpy_ctype *record)
{
	struct kpy_cinfo info;
	bool is_signed;

	t = kpy_ctype_strip(t, &info);
	is_signed = info.is_signed;
	switch (info.kind) {
	case KPY_C_VOID:
		return KPY_P_VOID;
	case KPY_C_BOOL:
		return KPY_P_BOOL;
	case KPY_C_INT:
	case KPY_C_ENUM:
	case KPY_C_STRUCT: /* a small one travels in the register of a number: kuid_t, pgprot_t */
	case KPY_C_UNION:
		switch (info.size) {
		case 1:
			return is_signed ? KPY_P_S8 : KPY_P_U8;
		case 2:
			return is_signed ? KPY_P_S16 : KPY_P_U16;
		case 4:
			return is_signed ? KPY_P_S32 : KPY_P_U32;
		case 8:
			return is_signed ? KPY_P_S64 : KPY_P_U64;
		}
		return KPY_P_OTHER;
	case KPY_C_POINTER:
		t = kpy_ctype_strip((struct kpy_ctype){ t.in, info.target }, &info);
		if (info.kind != KPY_C_STRUCT && info.kind != KPY_C_UNION)
			return KPY_P_POINTER;
		*record = t;
		return KPY_P_RECORD;
	case KPY_C_ARRAY:
	case KPY_C_FUNCTION: /* as parameters, these are pointers */
		return KPY_P_POINTER;
	default:
		return KPY_P_OTHER;
	}
}

/*
 * The macros that initialise locks pass a name and a key for lockdep behind what their users
 * write: mutex_init(lock) is __mutex_init(lock, "lock", &__key).
 */
static bool ends_with_key(struct kpy_ctype function, u32 n)
{
	struct kpy_cmember name, key;
	struct kpy_ctype record;
	struct kpy_cinfo info;

	if (n < 3 || !kpy_ctype_member(function, n - 1, &key) ||
	    kpy_class_of(key.type, &record) != KPY_P_RECORD ||
	    !kpy_ctype_member(function, n - 2, &name) ||
	    kpy_class_of(name.type, &record) != KPY_P_POINTER)
		return false;
	kpy_class_of(key.type, &record);
	kpy_ctype_get(record, &info);
	return !strcmp(info.name, "lock_class_key");
}

bool kpy_proto_fill(struct kpy_proto *p, struct kpy_ctype decl)
{
	struct kpy_cinfo info;

	memset(p, 0, sizeof(*p));
	kpy_ctype_get(decl, &info);
	if (info.kind != KPY_C_DECL ||
	    !kpy_proto_of_type(p, (struct kpy_ctype){ decl.in, info.target }))
		return false;
	p->decl = decl;
	p->doubtful = !p->n && !p->variadic && p->result == KPY_P_VOID && kpy_is_btf(decl);
	return true;
}

bool kpy_proto_of_type(struct kpy_proto *p, struct kpy_ctype type)
{
	struct kpy_cinfo info;
	struct kpy_cmember m;

	memset(p, 0, sizeof(*p));
	p->type = kpy_ctype_strip(type, &info);
	p->decl = p->type;
	if (info.kind != KPY_C_FUNCTION || info.count > U16_MAX)
		return false;
	p->n = info.count;
	p->variadic = info.variadic;
	p->n_min = min_t(u32, info.count, U8_MAX);
	if (p->n <= 6 && ends_with_key(p->type, p->n))
		p->n_min -= 2;
	for (u32 i = 0; i < p->n && i < KPY_PROTO_MAX; i++) {
		struct kpy_ctype unused;

		if (!kpy_ctype_member(p->type, i, &m))
			return false;
		p->params[i] = kpy_class_of(m.type, &unused);
	}
	m.type.id = info.target;
	m.type.in = type.in;
	p->result = kpy_class_of(m.type, &p->record);
	return true;
}

int kpy_decl_find(const char *name, unsigned long address, struct kpy_ctype *decl)
{
	char buf[MODULE_NAME_LEN], *module = kpy_module_of(address, buf) ? buf : NULL;
	struct kpy_entry *e = kpy_current;

	if (!kpy_sources_ready(module)) {
		if (!kpy_may_sleep(e))
			return -EAGAIN;
		kpy_gil_release();
		kpy_sources_prepare(module);
		kpy_gil_acquire(e);
		if (!kpy_sources_ready(module))
			return -EAGAIN;
	}
	*decl = kpy_sources_decl(module, name);
	return decl->in != NULL;
}

int kpy_proto_find(struct kpy_proto *p, const char *name, unsigned long address)
{
	struct kpy_ctype decl;
	int known = kpy_decl_find(name, address, &decl);

	return known == 1 ? kpy_proto_fill(p, decl) : known;
}

int kpy_proto_find_at(struct kpy_proto *p, unsigned long address)
{
	char name[KSYM_NAME_LEN];

	if (!kpy_name_of(address, name))
		return 0;
	return kpy_proto_find(p, name, address);
}

void kpy_proto_text(struct kpy_text *out, const struct kpy_proto *p)
{
	kpy_ctype_declare(out, p->decl, "");
}

void kpy_proto_param_text(struct kpy_text *out, const struct kpy_proto *p, u32 i)
{
	struct kpy_cmember m;

	if (kpy_ctype_member(p->type, i, &m))
		kpy_ctype_declare(out, m.type, m.name);
}

static bool is_buffer(mp_obj_t o)
{
	mp_buffer_info_t unused;

	return !mp_obj_is_int(o) && mp_get_buffer(o, &unused, MP_BUFFER_READ);
}

/* Brings a word to the width and sign of its class; false: it has no place there. */
static bool narrow(enum kpy_class c, unsigned long *word)
{
	static const u8 widths[] = { [KPY_P_U32] = 32, [KPY_P_S32] = 32, [KPY_P_U16] = 16,
				     [KPY_P_S16] = 16, [KPY_P_U8] = 8,	 [KPY_P_S8] = 8 };
	unsigned int unused;
	long as_signed;
	unsigned long as_unsigned;

	if (c <= KPY_P_S64)
		return true;
	if (c == KPY_P_BOOL)
		return *word <= 1;
	if (c > KPY_P_BOOL)
		return false;
	unused = 64 - widths[c];
	as_signed = (long)(*word << unused) >> unused;
	as_unsigned = *word << unused >> unused;
	if (*word != (unsigned long)as_signed && *word != as_unsigned)
		return false;
	*word = c == KPY_P_S32 || c == KPY_P_S16 || c == KPY_P_S8 ? as_signed : as_unsigned;
	return true;
}

enum kpy_fit kpy_to_class(mp_obj_t o, enum kpy_class c, unsigned long *word)
{
	if (c >= KPY_P_VOID || (c > KPY_P_RECORD && is_buffer(o)) || !kpy_to_word(o, word))
		return KPY_WRONG_KIND;
	return narrow(c, word) ? KPY_FITS : KPY_TOO_LARGE;
}

mp_obj_t kpy_from_class(unsigned long word, enum kpy_class c, struct kpy_ctype record)
{
	switch (c) {
	case KPY_P_RECORD:
		return kpy_struct_ptr_new(record, word);
	case KPY_P_S64:
		return mp_obj_new_int(word);
	case KPY_P_U32:
		return MP_OBJ_NEW_SMALL_INT((u32)word);
	case KPY_P_S32:
		return MP_OBJ_NEW_SMALL_INT((s32)word);
	case KPY_P_U16:
		return MP_OBJ_NEW_SMALL_INT((u16)word);
	case KPY_P_S16:
		return MP_OBJ_NEW_SMALL_INT((s16)word);
	case KPY_P_U8:
		return MP_OBJ_NEW_SMALL_INT((u8)word);
	case KPY_P_S8:
		return MP_OBJ_NEW_SMALL_INT((s8)word);
	case KPY_P_BOOL:
		return mp_obj_new_bool(word & 0xff);
	case KPY_P_VOID:
		return mp_const_none;
	default:
		return kpy_word_to_int(word);
	}
}

#define TEXT_MAX 320

static const char *finish(struct kpy_text *out)
{
	if (out->len >= out->size)
		memcpy(out->at + out->size - 4, "...", 4);
	return out->at;
}

static noinline void wrong_count(const struct kpy_proto *p, size_t n)
{
	char buf[TEXT_MAX];
	struct kpy_text text = { buf, sizeof(buf) };
	struct kpy_cinfo info;

	kpy_proto_text(&text, p);
	kpy_ctype_get(p->decl, &info);
	mp_raise_msg_varg(&mp_type_TypeError,
			  MP_ERROR_TEXT("%s() takes %s%d argument%s, %d given: %s"), info.name,
			  p->variadic ? "at least " : "", p->n, p->n == 1 ? "" : "s", (int)n,
			  finish(&text));
}

static noinline void wrong_argument(const struct kpy_proto *p, size_t i, mp_obj_t arg,
				    unsigned long word, enum kpy_fit fit)
{
	char buf[TEXT_MAX], param_buf[100];
	struct kpy_text text = { buf, sizeof(buf) }, param = { param_buf, sizeof(param_buf) };

	kpy_proto_text(&text, p);
	kpy_proto_param_text(&param, p, i);
	finish(&text);
	finish(&param);
	if (fit == KPY_TOO_LARGE)
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("argument %d: %ld does not fit in '%s': %s"),
				  (int)i + 1, (long)word, param_buf, buf);
	if (p->params[i] == KPY_P_OTHER)
		mp_raise_msg_varg(
			&mp_type_TypeError,
			MP_ERROR_TEXT(
				"argument %d: '%s' by value cannot be passed (see raw()): %s"),
			(int)i + 1, param_buf, buf);
	mp_raise_msg_varg(&mp_type_TypeError,
			  MP_ERROR_TEXT("argument %d: cannot pass '%s' as '%s': %s"), (int)i + 1,
			  mp_obj_get_type_str(arg), param_buf, buf);
}

static noinline void wrong_result(const struct kpy_proto *p)
{
	char buf[TEXT_MAX];
	struct kpy_text text = { buf, sizeof(buf) };

	kpy_proto_text(&text, p);
	mp_raise_msg_varg(&mp_type_TypeError,
			  MP_ERROR_TEXT("its result does not fit in a register: %s"),
			  finish(&text));
}

static noinline void check_argument(const struct kpy_proto *p, size_t i, mp_obj_t arg,
				    unsigned long *word)
{
	enum kpy_fit fit = kpy_to_class(arg, p->params[i], word);

	if (fit != KPY_FITS)
		wrong_argument(p, i, arg, *word, fit);
}

/* What lockdep asks of who leaves the name and the key of a lock out. */
static void default_key(unsigned long *words, size_t n)
{
	static struct lock_class_key key;

	words[n - 2] = (unsigned long)"kpy";
	words[n - 1] = (unsigned long)&key;
}

bool kpy_proto_args(const struct kpy_proto *p, size_t n, const mp_obj_t *args, unsigned long *words)
{
	size_t i, fixed = min_t(size_t, n, p->n);

	if (unlikely(n != p->n) && !(n == p->n_min || (p->variadic && n > p->n))) {
		if (p->doubtful)
			return false;
		wrong_count(p, n);
	}
	if (unlikely(p->result == KPY_P_OTHER))
		wrong_result(p);
	for (i = 0; i < fixed; i++) {
		if (mp_obj_is_small_int(args[i]) && p->params[i] <= KPY_P_S64)
			words[i] = MP_OBJ_SMALL_INT_VALUE(args[i]);
		else
			check_argument(p, i, args[i], &words[i]);
	}
	for (; i < n; i++)
		kpy_untyped_arg(args, i, &words[i]);
	if (unlikely(n < p->n))
		default_key(words, p->n);
	return true;
}
