// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts in C what hooks count: calls of kernel functions (targets=), by ftrace or a kprobe; and
 * calls that this module makes itself in process, softirq and hardirq context on all CPUs.
 */
#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/hrtimer.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/timer.h>

#define TARGETS 40

static char *targets[TARGETS];
static int n_targets;
module_param_array(targets, charp, &n_targets, 0400);
static char *how = "ftrace"; /* kprobe, ipmodify */
module_param(how, charp, 0400);

atomic64_t witness_calls[TARGETS];

struct watch {
	struct ftrace_ops ops;
	struct kprobe probe;
	atomic64_t *count;
	bool armed;
};
static struct watch watches[TARGETS];

static void notrace on_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    struct ftrace_regs *regs)
{
	atomic64_inc(container_of(ops, struct watch, ops)->count);
}

static int on_probe(struct kprobe *p, struct pt_regs *regs)
{
	atomic64_inc(container_of(p, struct watch, probe)->count);
	return 0;
}

/* For Python: calls of a target up to now. */
u64 witness_count(unsigned int i);
u64 witness_count(unsigned int i)
{
	return atomic64_read(&witness_calls[i]) + watches[i].probe.nmissed;
}

static int watch(struct watch *w, char *name)
{
	int err;

	if (!strcmp(how, "kprobe")) {
		w->probe.symbol_name = name;
		w->probe.pre_handler = on_probe;
		err = register_kprobe(&w->probe);
	} else {
		w->ops.func = on_call;
		if (!strcmp(how, "ipmodify"))
			w->ops.flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_SAVE_REGS;
		err = ftrace_set_filter(&w->ops, name, strlen(name), 1);
		if (!err)
			err = register_ftrace_function(&w->ops);
	}
	w->armed = !err;
	return err;
}

static void unwatch_all(void)
{
	int i;

	for (i = 0; i < n_targets; i++) {
		if (!watches[i].armed)
			continue;
		if (!strcmp(how, "kprobe"))
			unregister_kprobe(&watches[i].probe);
		else
			unregister_ftrace_function(&watches[i].ops);
	}
}

/* What is hooked of this module; -1 is no result it returns by itself. */
static atomic64_t made, wrong;

noinline long witness_called(long a, long b, long c);
noinline long witness_called(long a, long b, long c)
{
	barrier();
	return a + b + c;
}

static void make_call(long n)
{
	atomic64_inc(&made);
	if (witness_called(n, 2, 3) != n + 5)
		atomic64_inc(&wrong);
}

struct load {
	struct timer_list timer;
	struct hrtimer hrtimer;
	struct task_struct *task;
};
static DEFINE_PER_CPU(struct load, loads);
static bool loading;

static void in_softirq_context(struct timer_list *timer)
{
	make_call(jiffies);
	if (READ_ONCE(loading))
		mod_timer(timer, jiffies + 1);
}

static enum hrtimer_restart in_hardirq_context(struct hrtimer *timer)
{
	make_call(7);
	if (!READ_ONCE(loading))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(1700000));
	return HRTIMER_RESTART;
}

static int in_process_context(void *arg)
{
	struct load *l = arg;
	long n = 0;

	timer_setup(&l->timer, in_softirq_context, TIMER_PINNED);
	mod_timer(&l->timer, jiffies + 1);
	hrtimer_init(&l->hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	l->hrtimer.function = in_hardirq_context;
	hrtimer_start(&l->hrtimer, ns_to_ktime(1700000), HRTIMER_MODE_REL_PINNED_HARD);
	while (!kthread_should_stop()) {
		make_call(n++);
		if (n % 16 == 0)
			usleep_range(200, 400);
	}
	del_timer_sync(&l->timer);
	hrtimer_cancel(&l->hrtimer);
	return 0;
}

/* For Python: calls witness_called() for some time in all contexts on all CPUs; how often. */
u64 witness_load(unsigned int ms);
u64 witness_load(unsigned int ms)
{
	u64 before = atomic64_read(&made);
	int cpu;

	cpus_read_lock();
	WRITE_ONCE(loading, true);
	for_each_online_cpu(cpu) {
		struct load *l = per_cpu_ptr(&loads, cpu);

		l->task = kthread_create_on_cpu(in_process_context, l, cpu, "witness-%u");
		if (!IS_ERR(l->task))
			wake_up_process(l->task);
	}
	msleep(ms);
	WRITE_ONCE(loading, false);
	for_each_online_cpu(cpu) {
		struct load *l = per_cpu_ptr(&loads, cpu);

		if (!IS_ERR(l->task))
			kthread_stop(l->task);
	}
	cpus_read_unlock();
	return atomic64_read(&made) - before;
}

/* For Python: calls that did not come back with what the original computes. */
u64 witness_wrong(void);
u64 witness_wrong(void)
{
	return atomic64_read(&wrong);
}

static int __init witness_init(void)
{
	int i, err = 0;

	for (i = 0; i < n_targets && !err; i++) {
		watches[i].count = &witness_calls[i];
		err = watch(&watches[i], targets[i]);
	}
	if (err)
		unwatch_all();
	return err;
}

static void __exit witness_exit(void)
{
	unwatch_all();
}

module_init(witness_init);
module_exit(witness_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("counts calls, for the tests of kpy");
