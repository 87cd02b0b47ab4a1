/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prototypes of kernel functions, made ready for checking arguments and converting results. */
#pragma once
#include "py/obj.h"

#ifndef NO_QSTR
#include "structs/ctype.h"

/* How a value of a C type travels in a 64-bit word. The order matters to conversions. */
enum kpy_class {
	KPY_P_POINTER,
	KPY_P_RECORD, /* a pointer to a struct or union */
	KPY_P_U64,
	KPY_P_S64,
	KPY_P_U32,
	KPY_P_S32,
	KPY_P_U16,
	KPY_P_S16,
	KPY_P_U8,
	KPY_P_S8,
	KPY_P_BOOL,
	KPY_P_VOID,
	KPY_P_OTHER, /* by value what is no word: larger structs, 128 bits, floats */
};

#define KPY_PROTO_MAX 12

struct kpy_proto {
	u16 n; /* parameters before "...", may exceed KPY_PROTO_MAX */
	u8 n_min; /* arguments needed */
	bool variadic;
	bool doubtful; /* "void f(void)" of BTF: perhaps assembly, of which nothing is known */
	u8 result; /* enum kpy_class */
	u8 params[KPY_PROTO_MAX];
	struct kpy_ctype decl; /* the function */
	struct kpy_ctype type; /* its type: parameters are its members */
	struct kpy_ctype record; /* what the result points to: of KPY_P_RECORD */
};

/* Of a declaration as kpy_sources_decl() finds it; false: it is no function. Any context. */
bool kpy_proto_fill(struct kpy_proto *p, struct kpy_ctype decl);

/* Of the type of a function, as behind a pointer to one; false: it is none. Any context. */
bool kpy_proto_of_type(struct kpy_proto *p, struct kpy_ctype type);

/*
 * The declaration of the function or variable with that name (the kernel's, no alias) and
 * address. 1, 0 when none is known, -EAGAIN when it cannot be found out in this context. Under
 * the GIL, which it gives up when it must read BTF first.
 */
int kpy_decl_find(const char *name, unsigned long address, struct kpy_ctype *decl);

/*
 * The prototype of the function with that name (the kernel's, no alias) and address; the same
 * results.
 */
int kpy_proto_find(struct kpy_proto *p, const char *name, unsigned long address);

/* The same of an address alone, which must be the beginning of a function. */
int kpy_proto_find_at(struct kpy_proto *p, unsigned long address);

/* "size_t ksize(const void *objp)" */
void kpy_proto_text(struct kpy_text *out, const struct kpy_proto *p);
/* "const void *objp" */
void kpy_proto_param_text(struct kpy_text *out, const struct kpy_proto *p, u32 i);

/* The class of a type; sets what it points to for KPY_P_RECORD. */
enum kpy_class kpy_class_of(struct kpy_ctype t, struct kpy_ctype *record);

/* False: o has no word of that class. *word is then the value that does not fit, or was not made. */
enum kpy_fit { KPY_FITS, KPY_WRONG_KIND, KPY_TOO_LARGE };
enum kpy_fit kpy_to_class(mp_obj_t o, enum kpy_class c, unsigned long *word);

/* The Python value of a word of that class. */
mp_obj_t kpy_from_class(unsigned long word, enum kpy_class c, struct kpy_ctype record);

/*
 * Checks and converts the arguments of a call. Raises TypeError and ValueError with the prototype.
 * False: it is doubtful and does not fit; the call is to be made as if there were none.
 */
bool kpy_proto_args(const struct kpy_proto *p, size_t n, const mp_obj_t *args,
		    unsigned long *words);
static inline mp_obj_t kpy_proto_result(const struct kpy_proto *p, unsigned long word)
{
	return kpy_from_class(word, p->result, p->record);
}
#endif
