// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's memory and string functions with pointers into the memory of the current
 * process. The CPU forbids them such accesses (SMAP): only the kernel's user copy may make
 * them. So what they read is copied in first, what they write copied out afterwards, and
 * they work on kernel memory in between.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "kpy.h"
#include "ffi/guard.h"
#include "ffi/guard_impl.h"
#include "ffi/user_copy.h"

#define STRING_MAX (1UL << 16)
#define PIECE 64UL /* strings are read up to such boundaries: no further than into their page */

/* Arguments 0 and 1: nothing, or memory that is read, or written; as long as argument 2 or a string. */
enum role { NONE, READS, READS_STRING, WRITES };

static struct function {
	const char *name;
	enum role role[2];
	int limit; /* the argument that limits the string; 0: none */
	unsigned long address;
} functions[] = {
	{ "memcpy", { WRITES, READS } },
	{ "memmove", { WRITES, READS } },
	{ "memset", { WRITES } },
	{ "memcmp", { READS, READS } },
	{ "memchr", { READS } },
	{ "strlen", { READS_STRING } },
	{ "strnlen", { READS_STRING }, 1 },
	{ "strcmp", { READS_STRING, READS_STRING } },
	{ "strncmp", { READS_STRING, READS_STRING }, 2 },
	{ "strcpy", { WRITES, READS_STRING } },
	{ "strncpy", { WRITES, READS_STRING }, 2 },
	{ "strlcpy", { WRITES, READS_STRING }, 2 },
	{ "strscpy", { WRITES, READS_STRING }, 2 },
};

static long (*read_nofault)(void *dst, const void __user *src, size_t n);
static long (*write_nofault)(void __user *dst, const void *src, size_t n);

void kpy_user_copy_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		functions[i].address = kpy_kallsyms_lookup(functions[i].name);
	read_nofault = (void *)kpy_kallsyms_lookup("copy_from_user_nofault");
	write_nofault = (void *)kpy_kallsyms_lookup("copy_to_user_nofault");
}

struct bounce {
	unsigned long user; /* 0: this argument is left alone */
	u8 *copy;
	size_t n;
};

/* Pages that are not there are fetched where the caller may sleep. */
static bool read_user(void *dst, unsigned long src, size_t n, bool sleep)
{
	return !(sleep ? copy_from_user(dst, (const void __user *)src, n)
		       : read_nofault(dst, (const void __user *)src, n));
}

static bool write_user(unsigned long dst, const void *src, size_t n, bool sleep)
{
	return !(sleep ? copy_to_user((void __user *)dst, src, n)
		       : write_nofault((void __user *)dst, src, n));
}

/* Length with the NUL of a string in user or kernel memory, at most max; 0: it cannot be read. */
static size_t string_size(unsigned long s, size_t max, bool sleep)
{
	char piece[PIECE];
	size_t n = 0, part, len;

	while (n < max) {
		part = min(PIECE - (s + n) % PIECE, max - n);
		if (kpy_is_user_address(s + n)) {
			if (!read_user(piece, s + n, part, sleep))
				return 0;
		} else if (copy_from_kernel_nofault(piece, (void *)(s + n), part)) {
			return 0;
		}
		len = strnlen(piece, part);
		n += len;
		if (len < part)
			return n + 1;
	}
	return max;
}

static size_t size_of(const struct function *f, int i, const unsigned long *words, bool sleep)
{
	size_t max = f->limit ? min(words[f->limit], STRING_MAX) : STRING_MAX;

	if (f->role[i] == READS_STRING)
		return string_size(words[i], max, sleep);
	if (f->role[1] != READS_STRING)
		return words[2];
	/* strncpy() fills up, the others write the string and no more. */
	if (!strcmp(f->name, "strncpy"))
		return words[2];
	return string_size(words[1], max, sleep);
}

static bool bounce_in(const struct function *f, int i, struct bounce *b, unsigned long *words,
		      bool sleep)
{
	b->n = size_of(f, i, words, sleep);
	b->user = words[i];
	if (!b->n && f->role[i] == READS_STRING)
		return false;
	b->copy = b->n <= KMALLOC_MAX_SIZE
			  ? kzalloc(b->n, (sleep ? GFP_KERNEL : GFP_ATOMIC) | __GFP_NOWARN)
			  : NULL;
	if (!b->copy)
		return false;
	words[i] = (unsigned long)b->copy;
	return f->role[i] == WRITES || read_user(b->copy, b->user, b->n, sleep);
}

static bool bounce_out(struct bounce *b, unsigned long *result, bool sleep)
{
	if (*result - (unsigned long)b->copy <= b->n)
		*result += b->user - (unsigned long)b->copy;
	return write_user(b->user, b->copy, b->n, sleep);
}

/* A fault that never was: what it would have been without us. */
static bool fail(struct kpy_entry *e, unsigned long target, unsigned long address, bool write)
{
	struct kpy_fault *f = kpy_fault_get();

	kpy_fault_put(e->fault);
	e->fault = f;
	if (f == kpy_fault_faceless)
		return false;
	f->kind = KPY_FAULT_USER;
	f->what = NULL;
	f->has_address = true;
	f->address = address;
	f->write = write;
	f->ip = target;
	f->n_trace = 0;
	f->cut = false;
	f->text[0] = 0;
	kpy_fault_describe(f);
	return false;
}

static const struct function *find(unsigned long target)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i].address == target)
			return &functions[i];
	return NULL;
}

bool kpy_user_call(struct kpy_entry *e, unsigned long target, size_t n, unsigned long *words,
		   unsigned long *result)
{
	const struct function *f = find(target);
	bool sleep = kpy_may_sleep(e), good = true;
	struct bounce b[2] = {};
	unsigned long given[2] = { words[0], words[1] };
	int i, bad = 0;

	if (!f)
		return kpy_guarded_call(e, target, n, words, result);
	/* The argument that is written comes first, and its size is that of what is read. */
	for (i = 0; i < 2 && good; i++) {
		bad = i;
		if (f->role[i] != NONE && kpy_is_user_address(given[i]))
			good = bounce_in(f, i, &b[i], words, sleep);
	}
	if (!good) {
		good = fail(e, target, given[bad], f->role[bad] == WRITES);
	} else {
		good = kpy_guarded_call(e, target, n, words, result);
		if (good && b[0].copy && f->role[0] != WRITES) {
			if (f->role[0] == READS && !strcmp(f->name, "memchr") && *result)
				*result += b[0].user - (unsigned long)b[0].copy;
		} else if (good && b[0].copy && !bounce_out(&b[0], result, sleep)) {
			good = fail(e, target, given[0], true);
		}
	}
	kfree(b[0].copy);
	kfree(b[1].copy);
	return good;
}
