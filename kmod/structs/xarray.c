// SPDX-License-Identifier: GPL-2.0-or-later
/* xa_for_each: the entries of an xarray, idr or radix tree. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/xarray.h>
#endif
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "structs/object.h"
#include "structs/tools.h"

#ifndef NO_QSTR
typedef struct {
	mp_obj_base_t base;
	mp_fun_1_t iternext;
	struct kpy_ctype record; /* of entries; no type: they are ints */
	uintptr_t head; /* address of the xarray's xa_head */
	unsigned long index; /* where to go on */
	bool at_end;
} walk_t;

static void read(void *dst, uintptr_t address, size_t n)
{
	if (kpy_read_memory(dst, address, n))
		kpy_raise_fault(address);
}

static unsigned char shift_of(uintptr_t node, unsigned int below)
{
	unsigned char shift;

	read(&shift, node + offsetof(struct xa_node, shift), sizeof(shift));
	if (shift >= below || shift % XA_CHUNK_SHIFT)
		mp_raise_ValueError(MP_ERROR_TEXT("this is no xarray"));
	return shift;
}

static bool is_node(unsigned long entry)
{
	return xa_is_node((void *)entry);
}

/* A slot whose entry is in another one, or being changed, is empty here. */
static bool is_entry(unsigned long entry)
{
	return entry && !xa_is_internal((void *)entry);
}

static bool step(walk_t *w, unsigned int shift)
{
	w->index = ((w->index >> shift) + 1) << shift;
	return w->index;
}

/*
 * The entry at the smallest index from w->index on, which it moves there; 0: there is none. Goes
 * from the root each time, so that the tree may change in between.
 */
static unsigned long next_entry(walk_t *w)
{
	unsigned int shift, offset;
	unsigned long entry;

again:
	read(&entry, w->head, sizeof(entry));
	if (!is_node(entry))
		return is_entry(entry) && !w->index ? entry : 0;
	shift = BITS_PER_LONG + XA_CHUNK_SHIFT;
	for (bool root = true;; root = false) {
		uintptr_t node = (uintptr_t)xa_to_node((void *)entry);

		shift = shift_of(node, shift);
		if (root && shift + XA_CHUNK_SHIFT < BITS_PER_LONG &&
		    w->index >> (shift + XA_CHUNK_SHIFT))
			return 0;
		for (;;) {
			offset = w->index >> shift & XA_CHUNK_MASK;
			read(&entry,
			     node + offsetof(struct xa_node, slots) + offset * sizeof(entry),
			     sizeof(entry));
			if (is_node(entry))
				break;
			if (is_entry(entry))
				return entry;
			if (!step(w, shift))
				return 0;
			if (!(w->index >> shift & XA_CHUNK_MASK))
				goto again;
		}
	}
}

static mp_obj_t entry_object(const walk_t *w, unsigned long entry)
{
	if (xa_is_value((void *)entry))
		return mp_obj_new_int_from_uint(xa_to_value((void *)entry));
	if (w->record.in)
		return kpy_struct_ptr_new(w->record, entry);
	return mp_obj_new_int_from_uint(entry);
}

static mp_obj_t walk_next(mp_obj_t self_in)
{
	walk_t *w = MP_OBJ_TO_PTR(self_in);
	unsigned long entry = w->at_end ? 0 : next_entry(w);
	mp_obj_t pair[2];

	if (!entry) {
		w->at_end = true;
		return MP_OBJ_STOP_ITERATION;
	}
	pair[0] = mp_obj_new_int_from_uint(w->index);
	pair[1] = entry_object(w, entry);
	w->at_end = !step(w, 0);
	return mp_obj_new_tuple(2, pair);
}
#endif

/*
 * xa_for_each(xa, s=None): an iterator over (index, entry) of an xarray, radix tree or idr_rt:
 * StructPtrs of s, or ints; values are ints always. Takes no lock. Raises OSError(EFAULT) and
 * ValueError while it goes.
 */
static mp_obj_t xa_each(size_t n_args, const mp_obj_t *args)
{
#ifndef NO_QSTR
	uintptr_t at = kpy_to_address(args[0]);
	struct kpy_ctype record = {};
	walk_t *w;

	if (!at)
		mp_raise_ValueError(MP_ERROR_TEXT("NULL deref! of an xarray"));
	if (n_args > 1 && args[1] != mp_const_none)
		record = kpy_record_of(args[1]);
	w = mp_obj_malloc(walk_t, &mp_type_polymorph_iter);
	w->iternext = walk_next;
	w->record = record;
	w->head = at + offsetof(struct xarray, xa_head);
	w->index = 0;
	w->at_end = false;
	return MP_OBJ_FROM_PTR(w);
#endif
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_xa_for_each_obj, 1, 2, xa_each);
