// SPDX-License-Identifier: GPL-2.0-or-later
/* What happened, in words. */
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/ptrace.h>
#include "kpy.h"
#include "ffi/guard.h"
#include "ffi/guard_impl.h"

static unsigned int (*unwind)(struct pt_regs *regs, unsigned long *store, unsigned int size,
			      unsigned int skip);
static struct bug_entry *(*bug_at)(unsigned long address);
static void (*bug_place)(struct bug_entry *bug, const char **file, unsigned int *line);

void kpy_fault_text_init(void)
{
	unwind = (void *)kpy_kallsyms_lookup("stack_trace_save_regs");
	bug_at = (void *)kpy_kallsyms_lookup("find_bug");
	/* commit 26dbc7e299c7 (v5.15) */
	bug_place = (void *)kpy_kallsyms_lookup("bug_get_file_line");
}

bool kpy_fault_is_bug(unsigned long ip)
{
	return bug_at && bug_at(ip);
}

/* The callers of the place that faulted, up to the one that is ours. */
static void record_trace(struct kpy_fault *f, const struct pt_regs *regs)
{
	struct pt_regs start = *regs;
	unsigned int i;

	/* Behind a jump to nowhere the place is where the caller called from. */
	if (f->kind == KPY_FAULT_EXEC) {
		if (copy_from_kernel_nofault(&start.ip, (void *)regs->sp, sizeof(start.ip)))
			return;
		start.sp += sizeof(start.ip);
	}
	if (unwind)
		f->n_trace = unwind(&start, f->trace, KPY_FAULT_TRACE, 0);
	else
		f->trace[f->n_trace++] = start.ip;
	f->cut = f->n_trace == KPY_FAULT_TRACE;
	for (i = 0; i < f->n_trace; i++) {
		if (f->trace[i] == (unsigned long)kpy_guard_returns) {
			f->n_trace = i;
			f->cut = false;
		}
	}
}

void kpy_fault_record(struct kpy_fault *f, struct pt_regs *regs, const struct kpy_fault_signs *s)
{
	if (f == kpy_fault_faceless)
		return;
	f->kind = s->kind;
	f->what = NULL;
	f->has_address = s->has_address;
	f->address = s->address;
	f->write = s->write;
	f->ip = regs->ip;
	f->n_trace = 0;
	f->cut = false;
	record_trace(f, regs);
}

/* Appends to the texts at position at; what does not fit is left out. The new end. */
static __printf(3, 4) size_t put(struct kpy_fault *f, size_t at, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(f->text + at, KPY_FAULT_TEXT - at, format, args);
	va_end(args);
	return min_t(size_t, at + n, KPY_FAULT_TEXT - 1);
}

/* The first text: the locks from number `from` on that the task holds; empty: unknown or none. */
void kpy_fault_locks(struct kpy_fault *f, int from)
{
	if (f == kpy_fault_faceless)
		return;
	f->text[0] = 0;
#ifdef CONFIG_LOCKDEP
	{
		size_t at = 0;

		for (; from < current->lockdep_depth && at < KPY_FAULT_TEXT / 4; from++) {
			const struct lockdep_map *map = current->held_locks[from].instance;

			if (map && map->name && strncmp(map->name, "rcu_", 4))
				at = put(f, at, "%s%s", at ? ", " : "", map->name);
		}
	}
#endif
}

static size_t put_bug(struct kpy_fault *f, size_t at)
{
	struct bug_entry *bug = bug_at && bug_place ? bug_at(f->ip) : NULL;
	const char *file = NULL;
	unsigned int line;

	if (bug)
		bug_place(bug, &file, &line);
	return file ? put(f, at, "BUG at %s:%u", file, line) : put(f, at, "BUG");
}

static size_t put_what(struct kpy_fault *f, size_t at)
{
	const char *access = f->write ? "write to" : "read of";

	if (f->what)
		return put(f, at, "%s", f->what);

	switch (f->kind) {
	case KPY_FAULT_NULL:
		return put(f, at, "NULL dereference, %s address 0x%lx", access, f->address);
	case KPY_FAULT_PAGE:
		if (!f->has_address)
			return put(f, at, "page fault, %s a bad address", access);
		return put(f, at, "page fault, %s address 0x%lx", access, f->address);
	case KPY_FAULT_USER:
		return put(f, at, "%s user address 0x%lx", access, f->address);
	case KPY_FAULT_EXEC:
		return put(f, at, "jump to 0x%lx, which is no code", f->ip);
	case KPY_FAULT_GP:
		if (!f->has_address)
			return put(f, at, "general protection fault");
		return put(f, at, "general protection fault, address 0x%lx", f->address);
	case KPY_FAULT_BUG:
		return put_bug(f, at);
	case KPY_FAULT_OPCODE:
		return put(f, at, "invalid opcode");
	case KPY_FAULT_DIVIDE:
		return put(f, at, "divide error");
	case KPY_FAULT_STACK:
		return put(f, at, "stack overflow");
	default:
		return put(f, at, "fault");
	}
}

void kpy_fault_describe(struct kpy_fault *f)
{
	size_t at = strlen(f->text) + 1;
	unsigned int i;

	if (f == kpy_fault_faceless)
		return;
	at = put_what(f, at);
	if (f->kind != KPY_FAULT_EXEC)
		at = put(f, at, " in %pS", (void *)f->ip);
	for (i = 0; i < f->n_trace && at < KPY_FAULT_TEXT - 64; i++)
		/* But for the first they are return addresses, which may lie behind the function. */
		at = put(f, at + 1, i || f->kind == KPY_FAULT_EXEC ? "%pB" : "%pS",
			 (void *)f->trace[i]);
	f->n_trace = i;
}
