// SPDX-License-Identifier: GPL-2.0-or-later
/* What a Tab behind "name.member." can mean. Found from the types alone: no kernel memory is read. */
#include <linux/kernel.h>
#include <linux/string.h>
#include "py/runtime.h"
#include "ffi/complete.h"
#include "structs/complete.h"
#include "structs/lookup.h"
#include "structs/object.h"
#include "structs/sources.h"

#define SHOWN_MAX 400

/* Where the dotted path begins that ends the line. */
static const char *path_start(const char *line, const char *end)
{
	while (end > line && (unichar_isalpha(end[-1]) || unichar_isdigit(end[-1]) ||
			      end[-1] == '_' || end[-1] == '.'))
		end--;
	return end;
}

/* The type of the pointer to a struct that a global is. */
static struct kpy_ctype type_of_global(const char *name, size_t n)
{
	qstr q = qstr_find_strn(name, n);
	mp_map_elem_t *found = NULL;

	if (q)
		found = mp_map_lookup(&mp_globals_get()->map, MP_OBJ_NEW_QSTR(q), MP_MAP_LOOKUP);
	if (!found || !mp_obj_is_exact_type(found->value, &kpy_type_struct_ptr))
		return (struct kpy_ctype){};
	return kpy_struct_complete(((kpy_ptr_t *)MP_OBJ_TO_PTR(found->value))->type);
}

/* The struct that a member is, or points to. */
static struct kpy_ctype type_of_member(struct kpy_ctype record, const char *name, size_t n)
{
	char buf[KPY_C_NAME_MAX];
	struct kpy_field f;
	struct kpy_cinfo info;
	struct kpy_ctype t;

	if (n >= sizeof(buf))
		return (struct kpy_ctype){};
	memcpy(buf, name, n);
	buf[n] = 0;
	if (!kpy_field_find(record, buf, &f))
		return (struct kpy_ctype){};
	t = kpy_ctype_strip(f.type, &info);
	if (info.kind == KPY_C_POINTER)
		t = kpy_ctype_strip((struct kpy_ctype){ t.in, info.target }, &info);
	if (info.kind != KPY_C_STRUCT && info.kind != KPY_C_UNION)
		return (struct kpy_ctype){};
	return kpy_struct_complete(t);
}

struct search {
	const char *typed;
	size_t n_typed;
	u32 found;
	char common[KPY_C_NAME_MAX]; /* how all that were found begin */
	const mp_print_t *print; /* to list them; NULL: not now */
	int column;
};

static bool collect(const struct kpy_cmember *m, u32 bit_offset, void *data)
{
	struct search *s = data;
	size_t n = 0;

	if (strncmp(m->name, s->typed, s->n_typed))
		return false;
	if (s->print) {
		kpy_print_column(s->print, m->name, &s->column);
		return ++s->found == SHOWN_MAX;
	}
	if (!s->found++) {
		strscpy(s->common, m->name, sizeof(s->common));
		return false;
	}
	while (s->common[n] && s->common[n] == m->name[n])
		n++;
	s->common[n] = 0;
	return false;
}

static size_t complete(struct kpy_ctype record, const char *typed, const char *end,
		       const mp_print_t *print, const char **add)
{
	char prefix[KPY_C_NAME_MAX];
	struct search s;
	mp_obj_t text;

	if (end - typed >= sizeof(prefix))
		return 0;
	memcpy(prefix, typed, end - typed);
	prefix[end - typed] = 0;
	s = (struct search){ .typed = prefix, .n_typed = end - typed };
	kpy_fields_walk(record, collect, &s);
	if (!s.found)
		return 0;
	if (s.found == 1 || s.common[s.n_typed]) {
		text = mp_obj_new_str_from_cstr(s.common + s.n_typed);
		*add = mp_obj_str_get_str(text);
		return strlen(*add);
	}
	s.print = print;
	s.found = 0;
	mp_print_str(print, "\n");
	kpy_fields_walk(record, collect, &s);
	mp_print_str(print, "\n");
	return -1;
}

bool kpy_complete_member(const char *line, size_t n, const mp_print_t *print, const char **add,
			 size_t *result)
{
	const char *end = line + n, *at = path_start(line, end), *dot;
	struct kpy_ctype t;

	dot = memchr(at, '.', end - at);
	if (!dot || !kpy_sources_ready(NULL))
		return false;
	/* Behind a ")" or "]" stands what cannot be known without evaluating it. */
	t = type_of_global(at, dot - at);
	if (!t.in)
		return false;
	for (at = dot + 1; (dot = memchr(at, '.', end - at)); at = dot + 1) {
		t = type_of_member(t, at, dot - at);
		if (!t.in) {
			*result = 0;
			return true;
		}
	}
	*result = complete(t, at, end, print, add);
	return true;
}
