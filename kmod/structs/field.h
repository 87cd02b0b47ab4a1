/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of structs, found by name, and the paths that lead to them. Under the GIL. */
#pragma once
#include "structs/ctype.h"

struct kpy_field {
	struct kpy_ctype record; /* whose member it is */
	size_t name; /* qstr; 0: an empty slot of the cache */
	unsigned int epoch; /* the interpreter's life in which that is its number */
	struct kpy_ctype type, plain; /* as declared, and behind typedefs and qualifiers */
	struct kpy_cinfo info; /* of plain, but its name */
	struct kpy_ctype pointee; /* of a pointer to a struct or union: that; else no type */
	u32 bit_offset, bits; /* bits: of a bitfield, else 0 */
	u32 size; /* of its type, in bytes */
	bool constant;
};

/*
 * The member of that name in a struct or union or in its anonymous members, false: there is
 * none. Of `f`, name, epoch, plain, info and pointee are not set.
 */
bool kpy_field_find(struct kpy_ctype record, const char *name, struct kpy_field *f);

/* The same through a cache; NULL: there is none. */
const struct kpy_field *kpy_field_of(struct kpy_ctype record, size_t name);

/* Calls f for each member with a name, those of anonymous members too, until it returns true. */
bool kpy_fields_walk(struct kpy_ctype record,
		     bool (*f)(const struct kpy_cmember *m, u32 bit_offset, void *data),
		     void *data);

/*
 * Follows "a.b[2].c" from a type. 0, else -ENOENT (no such member), -EINVAL (not a path),
 * -ERANGE (index) with *at what it did not get past.
 */
int kpy_path_follow(struct kpy_ctype type, const char *path, struct kpy_field *f, const char **at);
