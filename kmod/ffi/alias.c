// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing to read-only memory of the kernel: its text and constants, and those of modules. The
 * page gets a second, writable mapping for the moment of the write; the first one, and
 * CR0.WP, are left alone. (The page's place in the direct mapping is of no use: it is made
 * read-only along with the other.)
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pfn.h>
#include <linux/vmalloc.h>
#include <asm/pgtable.h>
#include "kpy.h"
#include "entry.h"
#include "ffi/ffi.h"

static struct mutex *text_lock; /* text_mutex: ftrace, jump labels and kprobes patch under it */
static void (*sync_cores)(void);
static bool (*is_text)(unsigned long address);

void kpy_alias_init(void)
{
	text_lock = (void *)kpy_kallsyms_lookup("text_mutex");
	sync_cores = (void *)kpy_kallsyms_lookup("text_poke_sync");
	is_text = (void *)kpy_kallsyms_lookup("kernel_text_address");
}

static bool is_read_only(unsigned long address)
{
	unsigned int level;
	pte_t *pte = lookup_address(address, &level);

	return pte && pte_present(*pte) && !pte_write(*pte);
}

/* In one store where the CPU can, so that others never see half of it. */
static void store(void *dst, const void *src, size_t n)
{
	if (n == 8 && IS_ALIGNED((unsigned long)dst, 8))
		WRITE_ONCE(*(u64 *)dst, *(const u64 *)src);
	else if (n == 4 && IS_ALIGNED((unsigned long)dst, 4))
		WRITE_ONCE(*(u32 *)dst, *(const u32 *)src);
	else if (n == 2 && IS_ALIGNED((unsigned long)dst, 2))
		WRITE_ONCE(*(u16 *)dst, *(const u16 *)src);
	else
		memcpy(dst, src, n);
}

/* Within one page. */
static int write_page(unsigned long dst, const void *src, size_t n)
{
	unsigned long pfn = PHYS_PFN(slow_virt_to_phys((void *)dst));
	struct page *page;
	void *alias;

	if (!pfn_valid(pfn))
		return -EFAULT;
	page = pfn_to_page(pfn);
	alias = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	if (!alias)
		return -ENOMEM;
	store(alias + offset_in_page(dst), src, n);
	vunmap(alias);
	return 0;
}

static int write_pages(unsigned long dst, const void *src, size_t n)
{
	int err = 0;

	while (n && !err) {
		size_t part = min_t(size_t, n, PAGE_SIZE - offset_in_page(dst));

		err = write_page(dst, src, part);
		dst += part;
		src += part;
		n -= part;
	}
	return err;
}

int kpy_write_read_only(unsigned long dst, const void *src, size_t n)
{
	struct kpy_entry *e = kpy_current;
	unsigned long at;
	bool text;
	int err;

	/* Pages that are not there were refused by the caller's attempt to write. */
	for (at = dst & PAGE_MASK; at < dst + n; at += PAGE_SIZE)
		if (is_read_only(at))
			break;
	if (at >= dst + n)
		return -EFAULT;
	if (!kpy_may_sleep(e))
		return -EWOULDBLOCK;
	kpy_gil_release();
	text = is_text && is_text(dst);
	if (text && text_lock)
		mutex_lock(text_lock);
	err = write_pages(dst, src, n);
	if (text && sync_cores)
		sync_cores();
	if (text && text_lock)
		mutex_unlock(text_lock);
	kpy_gil_acquire(e);
	return err;
}
