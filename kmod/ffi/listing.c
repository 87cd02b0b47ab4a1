// SPDX-License-Identifier: GPL-2.0-or-later
/* symbols(pattern), lookup(address), and the completion of names at the prompt. */
#ifndef NO_QSTR
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#endif
#include "py/obj.h"
#include "py/objtuple.h"
#include "py/runtime.h"
#include "py/repl.h"
#include "kpy.h"
#include "entry.h"
#include "ffi/ffi.h"
#include "ffi/resolve.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 100000

#ifdef NO_QSTR
#define collect_symbols(pattern, limit) mp_const_none
static mp_obj_t describe(unsigned long address)
{
	return MP_OBJ_NEW_QSTR(MP_QSTR_name), MP_OBJ_NEW_QSTR(MP_QSTR_offset),
	       MP_OBJ_NEW_QSTR(MP_QSTR_size), MP_OBJ_NEW_QSTR(MP_QSTR_module);
}
#else
#include "ffi/complete.h"
#include "ffi/ksyms.h"
#include "ffi/modules.h"
#include "structs/complete.h"

#define COMPLETE_FROM 3 /* characters */
#define COMPLETE_SHOWN 40
#define COMPLETE_KEPT 400

/* Names that match, in memory of the kernel's: filled without the GIL, read under it. */
struct collection {
	bool (*match)(const char *pattern, const char *name);
	const char *pattern;
	size_t n, max, total;
	char *text, *end; /* what is free */
	char common[KSYM_NAME_LEN]; /* how all of them begin */
	struct {
		const char *name;
		unsigned long address;
	} found[];
};

static struct collection *new_collection(const char *pattern, size_t max)
{
	size_t n_text = max * 48 + KSYM_NAME_LEN + strlen(pattern) + 1, size;
	struct collection *c;

	size = struct_size(c, found, max);
	c = kvmalloc(size + n_text, GFP_KERNEL);
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->max = max;
	c->text = (char *)c + size;
	c->end = c->text + n_text;
	c->pattern = strcpy(c->text, pattern);
	c->text += strlen(pattern) + 1;
	return c;
}

static bool collect(void *arg, const char *name, unsigned long address)
{
	struct collection *c = arg;
	size_t size;

	if (!c->match(c->pattern, name))
		return false;
	if (!c->total++)
		strscpy(c->common, name, sizeof(c->common));
	for (size = 0; c->common[size] && c->common[size] == name[size]; size++)
		;
	c->common[size] = '\0';
	size = strlen(name) + 1;
	if (c->n < c->max && size <= c->end - c->text) {
		c->found[c->n].name = memcpy(c->text, name, size);
		c->found[c->n++].address = address;
		c->text += size;
	}
	return false;
}

/* '*' for any characters, '?' for one. */
static bool glob(const char *pattern, const char *name)
{
	const char *star = NULL, *after = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = pattern++;
			after = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star + 1;
			name = ++after;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static int by_address(const void *a, const void *b)
{
	const unsigned long *x = a + sizeof(void *), *y = b + sizeof(void *);

	return *x < *y ? -1 : *x > *y;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/*
 * Makes a collection without the GIL, and an object of it under the GIL by build(), which may
 * raise. Raises MemoryError.
 */
static mp_obj_t with_collection(const char *pattern, size_t max,
				bool (*match)(const char *pattern, const char *name),
				int (*order)(const void *, const void *),
				mp_obj_t (*build)(struct collection *c, void *arg), void *arg)
{
	struct kpy_entry *e = kpy_current;
	/* volatile: they are changed behind nlr_push(), which returns twice */
	mp_obj_t volatile result = MP_OBJ_NULL;
	void *volatile raised = NULL;
	struct collection *c;
	nlr_buf_t nlr;

	kpy_gil_release();
	c = new_collection(pattern, max);
	if (c) {
		c->match = match;
		kpy_ksyms_each(collect, c);
		sort(c->found, c->n, sizeof(c->found[0]), order, NULL);
	}
	kpy_gil_acquire_stale(e);
	if (c && e->epoch == kpy_epoch) {
		if (!nlr_push(&nlr)) {
			result = build(c, arg);
			nlr_pop();
		} else {
			raised = nlr.ret_val;
		}
	}
	kpy_gil_release();
	kvfree(c);
	kpy_gil_acquire(e);
	if (raised)
		nlr_raise(MP_OBJ_FROM_PTR(raised));
	if (result == MP_OBJ_NULL)
		mp_raise_type(&mp_type_MemoryError);
	return result;
}

static mp_obj_t build_list(struct collection *c, void *arg)
{
	mp_obj_t list = mp_obj_new_list(0, NULL);

	for (size_t i = 0; i < c->n; i++)
		mp_obj_list_append(list, kpy_symbol_new(mp_obj_new_str_from_cstr(c->found[i].name),
							c->found[i].address));
	if (c->n < c->total)
		mp_obj_list_append(list, MP_OBJ_FROM_PTR(&mp_const_ellipsis_obj));
	return list;
}

static mp_obj_t collect_symbols(const char *pattern_in, size_t limit)
{
	char pattern[KSYM_NAME_LEN]; /* a str is safe under the GIL only */

	if (strscpy(pattern, pattern_in, sizeof(pattern)) < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("pattern too long"));
	if (!kpy_may_sleep(kpy_current))
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("symbols() searches for long: not in this context"));
	return with_collection(pattern, limit, glob, by_address, build_list, NULL);
}

static mp_obj_t describe(unsigned long address)
{
	static const qstr fields[] = { MP_QSTR_name, MP_QSTR_offset, MP_QSTR_size, MP_QSTR_module };
	char name[KSYM_NAME_LEN], module[MODULE_NAME_LEN];
	unsigned long size, offset;
	mp_obj_t items[ARRAY_SIZE(fields)];

	if (!kpy_symbol_around(address, name, &size, &offset))
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("no kernel symbol at 0x%lx"),
				  address);
	items[0] = mp_obj_new_str_from_cstr(name);
	items[1] = mp_obj_new_int_from_uint(offset);
	items[2] = mp_obj_new_int_from_uint(size);
	items[3] = kpy_module_of(address, module) ? mp_obj_new_str_from_cstr(module)
						  : mp_const_none;
	return mp_obj_new_attrtuple(fields, ARRAY_SIZE(fields), items);
}

static bool begins_with(const char *prefix, const char *name)
{
	return !strncmp(name, prefix, strlen(prefix)) && !strchr(name, '.');
}

/* What was typed, and what a Python name would add to it. */
struct completing {
	const mp_print_t *print;
	const char *typed, *python;
	size_t n_typed, n_python;
	bool listed; /* Python's names are on the screen */
};

void kpy_print_column(const mp_print_t *print, const char *name, int *column)
{
	int width = (strlen(name) + 2 + 15) & ~15;

	if (*column && *column + width > 80) {
		mp_print_str(print, "\n");
		*column = 0;
	}
	mp_print_str(print, name);
	for (int i = strlen(name); i < width; i++)
		mp_print_str(print, " ");
	*column += width;
}

static void list_names(struct collection *c, const struct completing *t)
{
	int column = 0;
	size_t shown = 0;

	if (!t->listed) {
		mp_print_str(t->print, "\n");
		if (t->n_python)
			mp_printf(t->print, "%.*s%.*s\n", (int)t->n_typed, t->typed,
				  (int)t->n_python, t->python);
	}
	for (size_t i = 0; i < c->n && shown < COMPLETE_SHOWN; i++) {
		if (i && !strcmp(c->found[i].name, c->found[i - 1].name))
			continue;
		kpy_print_column(t->print, c->found[i].name, &column);
		shown++;
	}
	if (c->total > c->n || shown == COMPLETE_SHOWN)
		mp_printf(t->print, "\n... of %d kernel symbols", (int)c->total);
	mp_print_str(t->print, "\n");
}

/* A str to add, None for nothing, Ellipsis when names were listed. */
static mp_obj_t build_completion(struct collection *c, void *arg)
{
	const struct completing *t = arg;
	size_t n = strlen(c->common), at = 0;

	if (!c->total)
		return mp_const_none;
	if (!t->listed && !t->n_python) {
		if (n > t->n_typed)
			return mp_obj_new_str(c->common + t->n_typed, n - t->n_typed);
	} else if (!t->listed) {
		while (at < t->n_python && t->n_typed + at < n &&
		       c->common[t->n_typed + at] == t->python[at])
			at++;
		if (at)
			return mp_obj_new_str(t->python, at);
	}
	/* The only one, and complete. */
	if (!t->listed && !t->n_python && c->total == 1)
		return mp_const_none;
	list_names(c, t);
	return MP_OBJ_FROM_PTR(&mp_const_ellipsis_obj);
}

/* Where the name begins that ends the line; NULL when it is none, or an attribute. */
static const char *last_name(const char *line, size_t n)
{
	const char *end = line + n, *s = end;

	while (s > line && (unichar_isalpha(s[-1]) || unichar_isdigit(s[-1]) || s[-1] == '_'))
		s--;
	if (s == end || unichar_isdigit(*s) || (s > line && s[-1] == '.'))
		return NULL;
	return s;
}

/*
 * mp_repl_autocomplete() with the kernel's names beside those of Python: returns how many
 * characters at *add are to be added, or -1 when names were listed.
 */
size_t kpy_autocomplete(const char *line, size_t n, const mp_print_t *print, const char **add);
size_t kpy_autocomplete(const char *line, size_t n, const mp_print_t *print, const char **add)
{
	struct completing t = { .print = print };
	struct kpy_entry *e = kpy_current;
	char prefix[KSYM_NAME_LEN];
	mp_obj_t result;
	size_t done;

	if (kpy_complete_member(line, n, print, add, &done))
		return done;
	e->completing = true;
	done = mp_repl_autocomplete(line, n, print, add);
	e->completing = false;
	t.typed = last_name(line, n);
	t.n_typed = t.typed ? line + n - t.typed : 0;
	if (t.n_typed < COMPLETE_FROM || t.n_typed >= sizeof(prefix) || !kpy_may_sleep(e) ||
	    !MP_STATE_VM(kpy_symbol_cache) || !strncmp(line, "import ", 7) ||
	    !strncmp(line, "from ", 5))
		return done;
	t.listed = done == (size_t)-1;
	t.python = *add;
	t.n_python = t.listed ? 0 : done;
	memcpy(prefix, t.typed, t.n_typed);
	prefix[t.n_typed] = '\0';
	result = with_collection(prefix, COMPLETE_KEPT, begins_with, by_name, build_completion, &t);
	if (result == mp_const_none)
		return done;
	if (!mp_obj_is_str(result))
		return -1;
	*add = mp_obj_str_get_data(result, &done);
	return done;
}
#endif

/*
 * symbols(pattern, limit=100): Symbols whose names match, '*' and '?' being wildcards, by address.
 * The list ends with ... (Ellipsis) when there are more.
 */
static mp_obj_t symbols(size_t n_args, const mp_obj_t *pos_args, mp_map_t *kw_args)
{
	enum { PATTERN, LIMIT };
	static const mp_arg_t allowed[] = {
		{ MP_QSTR_pattern, MP_ARG_REQUIRED | MP_ARG_OBJ, { .u_obj = MP_OBJ_NULL } },
		{ MP_QSTR_limit, MP_ARG_INT, { .u_int = LIMIT_DEFAULT } },
	};
	mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
	const char *pattern;

	mp_arg_parse_all(n_args, pos_args, kw_args, MP_ARRAY_SIZE(allowed), allowed, args);
	pattern = mp_obj_str_get_str(args[PATTERN].u_obj);
	if (args[LIMIT].u_int < 1 || args[LIMIT].u_int > LIMIT_MAX)
		mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("limit must be 1 to %d"),
				  LIMIT_MAX);
	return collect_symbols(pattern, args[LIMIT].u_int);
}
MP_DEFINE_CONST_FUN_OBJ_KW(kpy_symbols_obj, 1, symbols);

/* lookup(address): (name, offset, size, module) of the symbol it lies in. Raises ValueError. */
static mp_obj_t lookup(mp_obj_t address)
{
	return describe(kpy_to_address(address));
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_lookup_obj, lookup);
