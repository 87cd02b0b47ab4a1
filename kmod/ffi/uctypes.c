// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory accesses of upstream's uctypes, as micropython/patches/ makes it ask for them. */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <asm/pgtable_types.h>
#include <asm/pgtable.h>
#include "py/runtime.h"
#include "kpy.h"
#include "ffi/ffi.h"

const void *mp_uctypes_load(void *copy, const void *addr, size_t size);
void mp_uctypes_store(void *addr, const void *value, size_t size);
void *mp_uctypes_check(const void *addr, size_t size, bool writable);
void *mp_uctypes_address(mp_obj_t obj);

void *mp_uctypes_address(mp_obj_t obj)
{
	return (void *)kpy_to_address(obj);
}

const void *mp_uctypes_load(void *copy, const void *addr, size_t size)
{
	if (kpy_read_memory(copy, (unsigned long)addr, size))
		kpy_raise_fault((unsigned long)addr);
	return copy;
}

void mp_uctypes_store(void *addr, const void *value, size_t size)
{
	kpy_store((unsigned long)addr, value, size);
}

static bool page_is_writable(unsigned long addr)
{
	unsigned int level;
	pte_t *pte = lookup_address(addr, &level);

	return pte && pte_write(*pte);
}

/*
 * Memory that is to become a buffer: code that knows nothing of bad addresses will use it.
 * Such memory must be the kernel's, mapped, and writable when the buffer is.
 */
void *mp_uctypes_check(const void *addr, size_t size, bool writable)
{
	unsigned long at = (unsigned long)addr, end = at + size;
	char unused;

	if (!size)
		return (void *)addr;
	if (end < at)
		kpy_raise_fault(at);
	while (at < end) {
		if (at < TASK_SIZE_MAX || kpy_read_memory(&unused, at, 1) ||
		    (writable && !page_is_writable(at)))
			kpy_raise_fault(at);
		at = (at & PAGE_MASK) + PAGE_SIZE;
		if (!at)
			break;
	}
	return (void *)addr;
}
