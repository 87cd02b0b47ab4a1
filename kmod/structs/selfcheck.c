// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The layout table against the running kernel's BTF. Most structs are told equal by a fingerprint
 * that was made with the table, without the GIL; what is left over is compared member by member.
 */
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "kpy.h"
#include "entry.h"
#include "structs/compare.h"
#include "structs/layout.h"
#include "structs/prints.h"
#include "structs/selfcheck.h"
#include "structs/sources.h"

#define NAMED_MAX 4 /* structs that the warning names */

static struct kpy_selfcheck result;
static unsigned long *differs; /* a bit for each type of the table */
static char named[NAMED_MAX][64];
static bool stop;

static void note(struct kpy_ctype t)
{
	struct kpy_cinfo info;

	if (!__test_and_set_bit(t.id, differs)) {
		kpy_ctype_get(t, &info);
		if (result.differ < NAMED_MAX)
			strscpy(named[result.differ], info.name, sizeof(named[0]));
		result.differ++;
	}
}

/* Compares all structs of that name in the table; false: there is none. */
static bool compare(enum kpy_ckind kind, const char *name)
{
	struct kpy_ctype t;
	u32 at = 0;

	while ((t = kpy_layout_find(kind, name, &at)).in) {
		unsigned long flags = kpy_gil_lock_raw();
		const char *where;

		if (!kpy_layout_matches(t, &where))
			note(t);
		kpy_gil_unlock_raw(flags);
	}
	return at;
}

static void check_one(const struct kpy_btf *btf, u32 id)
{
	enum kpy_print print = kpy_print_check(btf, id);
	struct kpy_cinfo info;

	if (print == KPY_PRINT_UNKNOWN) {
		kpy_ctype_get(kpy_btf_type(btf, id), &info);
		result.checked += compare(info.kind, info.name);
	}
	result.checked += print == KPY_PRINT_EQUAL;
}

static void check(const struct kpy_btf *btf)
{
	for (u32 i = 0; i < btf->n_types && !READ_ONCE(stop); i++) {
		if (!(i & 255))
			cond_resched();
		check_one(btf, btf->first_id + i);
	}
}

static void warn(void)
{
	pr_warn("%u of %u structs in the layout table differ from the running kernel's: %s%s%s%s%s%s%s%s\n",
		result.differ, result.checked, named[0], *named[1] ? ", " : "", named[1],
		*named[2] ? ", " : "", named[2], *named[3] ? ", " : "", named[3],
		result.differ > NAMED_MAX ? " ..." : "");
}

static void run(struct work_struct *work)
{
	const struct kpy_btf *btf;
	u64 begin = ktime_get_ns();

	kpy_sources_prepare(NULL);
	btf = kpy_sources_vmlinux();
	differs = kvcalloc(BITS_TO_LONGS(kpy_layout_ids()) + 1, sizeof(long), GFP_KERNEL);
	if (!differs)
		return;
	if (btf)
		check(btf);
	if (READ_ONCE(stop))
		return;
	result.microseconds = (ktime_get_ns() - begin) / NSEC_PER_USEC;
	if (result.differ)
		warn();
	smp_store_release(&result.done, true);
}

static DECLARE_DELAYED_WORK(work, run);

void kpy_selfcheck_start(void)
{
	queue_delayed_work(system_unbound_wq, &work, HZ / 20); /* whoever loads us comes first */
}

void kpy_selfcheck_wait(void)
{
	flush_delayed_work(&work);
}

void kpy_selfcheck_stop(void)
{
	WRITE_ONCE(stop, true);
	cancel_delayed_work_sync(&work);
	kvfree(differs);
	differs = NULL;
}

struct kpy_selfcheck kpy_selfcheck_result(void)
{
	if (!smp_load_acquire(&result.done))
		return (struct kpy_selfcheck){};
	return result;
}

bool kpy_selfcheck_differs(struct kpy_ctype record)
{
	return record.id < kpy_layout_ids() && test_bit(record.id, differs);
}
