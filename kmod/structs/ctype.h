/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * C types, wherever they are described: in the kernel's BTF (btf.c) or in the layout
 * table (layout.c). A type is a number within its source. Nothing here allocates, sleeps
 * or faults; a damaged source yields types of kind KPY_C_BAD.
 */
#pragma once
#include <linux/types.h>

enum kpy_ckind {
	KPY_C_BAD, /* none, or not understood */
	KPY_C_VOID,
	KPY_C_INT,
	KPY_C_BOOL,
	KPY_C_FLOAT,
	KPY_C_ENUM,
	KPY_C_STRUCT,
	KPY_C_UNION,
	KPY_C_TYPEDEF,
	KPY_C_QUALIFIED,
	KPY_C_POINTER,
	KPY_C_ARRAY,
	KPY_C_FUNCTION, /* the type of one */
	KPY_C_DECL, /* a function or variable of a name */
};

#define KPY_Q_CONST 1
#define KPY_Q_VOLATILE 2
#define KPY_Q_RESTRICT 4

#define KPY_C_FLEXIBLE (~0U) /* elements of an array without a bound */
#define KPY_C_NAME_MAX 256 /* bytes of a name with its NUL, at most */
#define KPY_C_DEPTH 60 /* types that are walked through at most */

struct kpy_types;

struct kpy_ctype {
	const struct kpy_types *in; /* NULL: no type */
	u32 id;
};

struct kpy_cinfo {
	enum kpy_ckind kind;
	u8 qualifiers; /* KPY_Q_*, of KPY_C_QUALIFIED */
	bool is_signed, variadic;
	bool incomplete; /* a struct, union or enum that is only declared */
	bool local; /* a struct or union that no name finds: of a function, or one of several */
	bool percpu; /* a variable of which each CPU has one */
	u32 size; /* bytes; of numbers, enums, structs, unions */
	u32 count; /* of elements, parameters, members or constants */
	u32 target; /* what is pointed to, named, qualified, repeated, declared or returned */
	const char *name; /* never NULL; "" for none; stays until 32 others were asked for */
};

struct kpy_cmember {
	const char *name; /* "": anonymous */
	struct kpy_ctype type;
	u32 bit_offset;
	u32 bits; /* of a bitfield, else 0 */
};

/* A source. */
struct kpy_types {
	void (*get)(const struct kpy_types *in, u32 id, struct kpy_cinfo *info);
	/* The parameter or member number i < count; false when damaged. */
	bool (*member)(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m);
	/* The constant number i < count of an enum: its name and value; NULL when damaged. */
	const char *(*constant)(const struct kpy_types *in, u32 id, u32 i, s64 *value);
	/*
	 * NULL, or a faster way to look for a member: the number of a name, 0 when nothing has it; and
	 * member() of a struct or union with the number of its name (0: anonymous) in place of the name.
	 */
	u32 (*name_number)(const char *name);
	bool (*member_bare)(const struct kpy_types *in, u32 id, u32 i, struct kpy_cmember *m,
			    u32 *name);
};

void kpy_ctype_get(struct kpy_ctype t, struct kpy_cinfo *info);
/* Parameters of a function have no offset; their names may be unknown. */
bool kpy_ctype_member(struct kpy_ctype t, u32 i, struct kpy_cmember *m);

/* The type behind typedefs and qualifiers, and what it is. */
struct kpy_ctype kpy_ctype_strip(struct kpy_ctype t, struct kpy_cinfo *info);
/* Bytes, 0 when it has no size or is none. */
u64 kpy_ctype_size(struct kpy_ctype t);

/* Text of bounded length: what does not fit is cut, and `len` goes on counting. */
struct kpy_text {
	char *at;
	size_t size, len;
};
void kpy_text_add(struct kpy_text *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "int (*name)(const char *, ...)": the declaration of something of that type; name may be "". */
void kpy_ctype_declare(struct kpy_text *out, struct kpy_ctype t, const char *name);
