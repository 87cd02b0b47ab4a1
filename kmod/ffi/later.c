// SPDX-License-Identifier: GPL-2.0-or-later
/* Hooks that run Python later: timer(ms, f) in softirq, irq_work(f) in hardirq context. */
#ifndef NO_QSTR
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/preempt.h>
#include <linux/timer.h>
#endif
#include "py/mperrno.h"
#include "py/runtime.h"
#include "ffi/hook.h"

#ifdef NO_QSTR
#define new_timer(ms, f, periodic) mp_const_none
#define new_irq_work(f) mp_const_none
#define context_name() MP_QSTR_process, MP_QSTR_softirq, MP_QSTR_hardirq, MP_QSTR_debug
#else

static void timer_fired(struct timer_list *timer)
{
	struct kpy_hook *h = container_of(timer, struct kpy_hook, timer);

	kpy_hook_run(h);
	if (h->period && READ_ONCE(h->enabled))
		mod_timer(&h->timer, jiffies + h->period);
}

static int arm_timer(struct kpy_hook *h)
{
	mod_timer(&h->timer, jiffies + h->delay);
	return 0;
}

static void disarm_timer(struct kpy_hook *h)
{
	del_timer_sync(&h->timer);
}

static const struct kpy_hook_kind timer_kind = { "timer", arm_timer, disarm_timer };

static void work_runs(struct irq_work *work)
{
	kpy_hook_run(container_of(work, struct kpy_hook, work));
}

static int arm_work(struct kpy_hook *h)
{
	irq_work_queue(&h->work);
	return 0;
}

static void disarm_work(struct kpy_hook *h)
{
	irq_work_sync(&h->work);
}

static const struct kpy_hook_kind work_kind = { "irq_work", arm_work, disarm_work };

static struct kpy_hook *new_hook(const struct kpy_hook_kind *kind, mp_obj_t f)
{
	struct kpy_hook *h;

	if (!mp_obj_is_callable(f))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is not callable"),
				  mp_obj_get_type_str(f));
	h = kpy_hook_new(kind, f);
	if (!h)
		mp_raise_type(&mp_type_MemoryError);
	return h;
}

/* The object is made before the kernel may call: it keeps the hook alive. */
static mp_obj_t arm_and_show(struct kpy_hook *h)
{
	mp_obj_t object = kpy_hook_object(h);
	struct kpy_entry *e = kpy_gil_release();

	h->kind->arm(h);
	kpy_gil_acquire(e);
	return object;
}

static mp_obj_t new_timer(mp_int_t ms, mp_obj_t f, bool periodic)
{
	struct kpy_hook *h = new_hook(&timer_kind, f);

	timer_setup(&h->timer, timer_fired, 0);
	h->delay = msecs_to_jiffies(ms);
	if (periodic)
		h->period = h->delay ? h->delay : 1;
	return arm_and_show(h);
}

static mp_obj_t new_irq_work(mp_obj_t f)
{
	struct kpy_hook *h = new_hook(&work_kind, f);

	h->work = IRQ_WORK_INIT_HARD(work_runs);
	return arm_and_show(h);
}

static qstr context_name(void)
{
	if (kpy_current->kind == KPY_DEBUG)
		return MP_QSTR_debug;
	if (in_hardirq())
		return MP_QSTR_hardirq;
	return in_softirq() ? MP_QSTR_softirq : MP_QSTR_process;
}
#endif

/* timer(ms, f, periodic=False): f() in softirq context once ms have passed, or every ms. */
static mp_obj_t timer(size_t n_args, const mp_obj_t *args)
{
	mp_int_t ms = mp_obj_get_int(args[0]);

	if (ms < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("negative time"));
	return new_timer(ms, args[1], n_args > 2 && mp_obj_is_true(args[2]));
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_timer_obj, 2, 3, timer);

/* irq_work(f): f() in hardirq context, as soon as interrupts are on. */
static mp_obj_t irq_work(mp_obj_t f)
{
	return new_irq_work(f);
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_irq_work_obj, irq_work);

/* context(): where this code runs: 'process', 'softirq', 'hardirq' or 'debug' (frozen guest). */
static mp_obj_t context(void)
{
	return MP_OBJ_NEW_QSTR(context_name());
}
MP_DEFINE_CONST_FUN_OBJ_0(kpy_context_obj, context);
