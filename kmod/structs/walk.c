// SPDX-License-Identifier: GPL-2.0-or-later
/* list_for_each: the structs of a list, hlist, llist or red-black tree. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/rbtree.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "structs/object.h"
#include "structs/tools.h"

#ifndef NO_QSTR
enum how { LIST, CHAIN, TREE };

typedef struct {
	mp_obj_base_t base;
	mp_fun_1_t iternext;
	struct kpy_ctype record;
	uintptr_t head, at; /* at: the node that comes next, 0 at the end of a chain or tree */
	u32 offset; /* of the node in the struct */
	enum how how;
	bool started;
} walk_t;

static uintptr_t read_word(const walk_t *w, uintptr_t address, const char *what)
{
	struct kpy_place place = { w->record, what };
	uintptr_t word;

	if (kpy_read_memory(&word, address, sizeof(word)))
		kpy_raise_fault_at(address, &place);
	return word;
}

static uintptr_t leftmost(const walk_t *w, uintptr_t node)
{
	uintptr_t left;

	for (int depth = 0; depth < 128; depth++) {
		left = read_word(w, node + offsetof(struct rb_node, rb_left), "rb_left");
		if (!left)
			return node;
		node = left;
	}
	mp_raise_ValueError(MP_ERROR_TEXT("this is no red-black tree"));
	return 0;
}

/* As rb_next(). */
static uintptr_t next_in_tree(const walk_t *w, uintptr_t node)
{
	uintptr_t right = read_word(w, node + offsetof(struct rb_node, rb_right), "rb_right"),
		  parent;

	if (right)
		return leftmost(w, right);
	for (int depth = 0; depth < 128; depth++) {
		parent = read_word(w, node, "__rb_parent_color") & ~3UL;
		if (!parent ||
		    read_word(w, parent + offsetof(struct rb_node, rb_right), "rb_right") != node)
			return parent;
		node = parent;
	}
	mp_raise_ValueError(MP_ERROR_TEXT("this is no red-black tree"));
	return 0;
}

static uintptr_t first(const walk_t *w)
{
	uintptr_t word = read_word(w, w->head, "head");

	return w->how == TREE && word ? leftmost(w, word) : word;
}

/* The next node is read before a struct is handed out: it may be freed by who gets it. */
static mp_obj_t walk_next(mp_obj_t self_in)
{
	walk_t *w = MP_OBJ_TO_PTR(self_in);
	uintptr_t node;

	if (!w->started) {
		w->at = first(w);
		w->started = true;
	}
	node = w->at;
	if (!node || (w->how == LIST && node == w->head))
		return MP_OBJ_STOP_ITERATION;
	w->at = w->how == TREE ? next_in_tree(w, node) : read_word(w, node, "next");
	return kpy_struct_ptr_new(w->record, node - w->offset);
}

static enum how how_of(struct kpy_ctype node, const char *path)
{
	struct kpy_cinfo info;

	kpy_ctype_strip(node, &info);
	if (!strcmp(info.name, "list_head"))
		return LIST;
	if (!strcmp(info.name, "hlist_node") || !strcmp(info.name, "hlist_nulls_node") ||
	    !strcmp(info.name, "hlist_bl_node") || !strcmp(info.name, "llist_node") ||
	    !strcmp(info.name, "callback_head"))
		return CHAIN;
	if (!strcmp(info.name, "rb_node"))
		return TREE;
	mp_raise_msg_varg(&mp_type_TypeError,
			  MP_ERROR_TEXT("'%s' is no list_head, hlist_node, llist_node or rb_node"),
			  path);
	return LIST;
}
#endif

/*
 * list_for_each(head, s, path): an iterator over the StructPtrs of the structs s that hang on
 * head by the member of that path: a list_head, hlist_node, llist_node or rb_node. Takes no lock.
 * Raises OSError(EFAULT) while it goes.
 */
static mp_obj_t for_each(mp_obj_t head, mp_obj_t s, mp_obj_t path)
{
#ifndef NO_QSTR
	struct kpy_ctype record = kpy_record_of(s);
	mp_obj_t offset = mp_call_function_2(MP_OBJ_FROM_PTR(&kpy_offsetof_obj), s, path);
	uintptr_t at = kpy_to_address(head);
	struct kpy_field f;
	const char *where;
	walk_t *w;

	if (!at)
		mp_raise_ValueError(MP_ERROR_TEXT("NULL deref! of a list's head"));
	kpy_path_follow(record, mp_obj_str_get_str(path), &f, &where);
	w = mp_obj_malloc(walk_t, &mp_type_polymorph_iter);
	w->how = how_of(f.type, mp_obj_str_get_str(path));
	w->iternext = walk_next;
	w->record = record;
	w->head = at;
	w->at = 0;
	w->offset = mp_obj_get_int(offset);
	w->started = false;
	return MP_OBJ_FROM_PTR(w);
#endif
}
MP_DEFINE_CONST_FUN_OBJ_3(kpy_list_for_each_obj, for_each);
