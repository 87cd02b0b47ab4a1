// SPDX-License-Identifier: GPL-2.0-or-later
/* Making hooks, arming and disarming them. */
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "py/runtime.h"
#include "entry.h"
#include "ffi/hook.h"
#include "ffi/probe.h"

/* The task that arms or disarms a hook: ftrace holds its locks for it. */
struct task_struct *kpy_hook_arming;
static DEFINE_MUTEX(arming_lock);

int kpy_hook_arm(struct kpy_hook *h)
{
	struct kpy_entry *e;
	int err;

	if (!kpy_may_sleep(kpy_current))
		return -EWOULDBLOCK;
	e = kpy_gil_release();
	mutex_lock(&arming_lock);
	WRITE_ONCE(kpy_hook_arming, current);
	kpy_exits_watch();
	err = h->kind->arm(h);
	WRITE_ONCE(kpy_hook_arming, NULL);
	mutex_unlock(&arming_lock);
	kpy_gil_acquire(e);
	return err;
}

void kpy_hook_free(struct kpy_hook *h)
{
	mutex_lock(&arming_lock);
	if (h->by_probe)
		kpy_probe_free(h);
	mutex_unlock(&arming_lock);
	kfree(h->types);
	kfree(h);
}

void kpy_hook_disarm(struct kpy_hook *h)
{
	mutex_lock(&arming_lock);
	WRITE_ONCE(kpy_hook_arming, current);
	h->kind->disarm(h);
	WRITE_ONCE(kpy_hook_arming, NULL);
	mutex_unlock(&arming_lock);
}

struct kpy_hook *kpy_hook_new(const struct kpy_hook_kind *kind, mp_obj_t handler)
{
	gfp_t gfp = kpy_may_sleep(kpy_current) ? GFP_KERNEL : GFP_ATOMIC;
	struct kpy_entry *e = kpy_gil_release();
	struct kpy_hook *h = kzalloc(sizeof(*h), gfp);
	static unsigned long ids;

	kpy_gil_acquire(e);
	if (!h)
		return NULL;
	h->id = ++ids;
	h->kind = kind;
	h->handler = handler;
	h->call = MP_OBJ_TYPE_GET_SLOT_OR_NULL(mp_obj_get_type(handler), call)
			  ?: mp_call_function_n_kw;
	h->session = e->session;
	h->epoch = kpy_epoch;
	h->enabled = true;
	h->slot = -1;
	list_add_tail(&h->list, &kpy_hooks);
	return h;
}
