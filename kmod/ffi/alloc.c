// SPDX-License-Identifier: GPL-2.0-or-later
/* kmalloc() and kfree() for Python: they fit the context, and kfree() looks before it leaps. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#endif
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/alloc.h"
#include "ffi/ffi.h"
#include "ffi/guard.h"

#ifndef NO_QSTR
#include "entry.h"

#define MARK 0x6b6b6b6b6b6b6b6bUL /* at the end of what kfree() freed */

/* Addresses that kfree() freed last. Under the GIL. */
static unsigned long freed[256];
static unsigned int n_freed;

gfp_t kpy_gfp(void)
{
	return kpy_may_sleep(kpy_current) ? GFP_KERNEL : GFP_ATOMIC;
}

static unsigned long allocate(unsigned long n, gfp_t gfp)
{
	struct kpy_entry *e;
	void *p;

	if (gfpflags_allow_blocking(gfp) && !kpy_may_sleep(kpy_current))
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("kmalloc may sleep with these flags, which this context "
					   "cannot"));
	e = kpy_gil_release();
	p = n <= KMALLOC_MAX_SIZE ? kmalloc(n, gfp | __GFP_NOWARN) : NULL;
	kpy_gil_acquire(e);
	if (!p)
		mp_raise_msg_varg(&mp_type_MemoryError,
				  MP_ERROR_TEXT("kmalloc of %lu bytes failed"), n);
	for (unsigned int i = 0; i < ARRAY_SIZE(freed); i++)
		if (freed[i] == (unsigned long)p)
			freed[i] = 0;
	return (unsigned long)p;
}

/*
 * The size of the object that begins at address; 0: none does. A freed object cannot be told
 * from one in use, and with the slab allocator's debugging on nor an address within one from its
 * beginning.
 */
static size_t object_size(unsigned long address)
{
	struct page *page;
	size_t size;

	if (address < PAGE_OFFSET || address % ARCH_SLAB_MINALIGN ||
	    !virt_addr_valid((void *)address))
		return 0;
	page = virt_to_head_page((void *)address);
	if (!PageSlab(page)) /* a large object has its pages for itself */
		return PageHead(page) && page_address(page) == (void *)address ? page_size(page)
									       : 0;
	size = ksize((void *)address);
	if (!IS_ENABLED(CONFIG_SLUB_DEBUG_ON) && !IS_ENABLED(CONFIG_KASAN) && size &&
	    (address - (unsigned long)page_address(page)) % size)
		return 0;
	return size;
}

/* Was it freed by us, and does it look as if it had not been used since? */
static bool freed_already(unsigned long address, size_t size)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(freed); i++)
		if (freed[i] == address)
			return size < 32 || *(unsigned long *)(address + size - 8) == MARK;
	return false;
}

static void release(unsigned long address)
{
	size_t size;
	struct kpy_entry *e = kpy_current;
	unsigned long words[6] = { address }, unused;
	bool returned;

	if (!address)
		return;
	size = object_size(address);
	if (!size)
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("kfree: no kmalloc object begins at 0x%lx"),
				  address);
	if (freed_already(address, size))
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("kfree: 0x%lx was freed already"), address);
	/* Small ones keep the free list where the mark would be. */
	if (size >= 32)
		*(unsigned long *)(address + size - 8) = MARK;
	freed[n_freed++ % ARRAY_SIZE(freed)] = address;
	kpy_gil_release();
	returned = kpy_guarded_call(e, (unsigned long)kfree, 1, words, &unused);
	kpy_gil_acquire(e);
	if (!returned) {
		mp_obj_t arg = mp_obj_new_int_from_uint(address);

		kpy_raise_kernel_fault(e, MP_OBJ_NEW_QSTR(MP_QSTR_kfree), 1, &arg);
	}
}
#else
#define allocate(n, gfp) 0
#define release(address) (void)MP_QSTR_kfree
#define kpy_gfp() 0
#endif

/*
 * kmalloc(n[, gfp]): the address of n new bytes; without gfp with the flags that the context
 * calls for. Raises MemoryError, ValueError, RuntimeError.
 */
static mp_obj_t py_kmalloc(size_t n_args, const mp_obj_t *args)
{
	unsigned long n = kpy_int_to_word(args[0]);

	if ((long)n < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("negative size"));
	return mp_obj_new_int_from_uint(
		allocate(n, n_args > 1 ? kpy_int_to_word(args[1]) : kpy_gfp()));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_kmalloc_obj, 1, 2, py_kmalloc);

/* kfree(address): frees it; 0 and None are nothing. Raises ValueError where no object begins. */
static mp_obj_t py_kfree(mp_obj_t address)
{
	if (address != mp_const_none)
		release(kpy_to_address(address));
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_kfree_obj, py_kfree);
