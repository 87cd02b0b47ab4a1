// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * insmod counter.ko kind=ftrace|kprobe|kretprobe: counts the calls of do_filp_open(), as the hooks
 * of bench/hooks.py do in Python. With ftrace the counting function runs in its place and calls it.
 */
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>

#define TARGET "do_filp_open"

static char *kind = "ftrace";
module_param(kind, charp, 0400);
static unsigned long count;
module_param(count, ulong, 0400);

struct file;
struct filename;
struct open_flags;
typedef struct file *opener(int dfd, struct filename *name, const struct open_flags *op);
static opener *original;

static struct file *counted(int dfd, struct filename *name, const struct open_flags *op)
{
	struct file *result = original(dfd, name, op);

	count++; /* here, so that the call returns to this module: see on_call() */
	return result;
}

#if defined(ftrace_regs_set_instruction_pointer)
#define set_ip ftrace_regs_set_instruction_pointer
#define FREGS struct ftrace_regs
#elif defined(ftrace_instruction_pointer_set)
#define set_ip ftrace_instruction_pointer_set
#define FREGS struct ftrace_regs
#else
#define set_ip(regs, at) ((regs)->ip = (at))
#define FREGS struct pt_regs
#endif

static void notrace on_call(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			    FREGS *regs)
{
	if (within_module(parent_ip, THIS_MODULE))
		return;
	original = (opener *)ip;
	set_ip(regs, (unsigned long)counted);
}

static struct ftrace_ops ops = {
	.func = on_call,
	.flags = FTRACE_OPS_FL_IPMODIFY
#ifndef CONFIG_DYNAMIC_FTRACE_WITH_ARGS
		 | FTRACE_OPS_FL_SAVE_REGS
#endif
	,
};

static int on_probe(struct kprobe *p, struct pt_regs *regs)
{
	count++;
	return 0;
}

static struct kprobe probe = { .symbol_name = TARGET, .pre_handler = on_probe };

static int on_return(struct kretprobe_instance *i, struct pt_regs *regs)
{
	count++;
	return 0;
}

static struct kretprobe ret_probe = { .kp.symbol_name = TARGET, .handler = on_return };

static int __init start(void)
{
	if (!strcmp(kind, "kprobe"))
		return register_kprobe(&probe);
	if (!strcmp(kind, "kretprobe"))
		return register_kretprobe(&ret_probe);
	return ftrace_set_filter(&ops, TARGET, strlen(TARGET), 0) ?: register_ftrace_function(&ops);
}

static void __exit stop(void)
{
	if (!strcmp(kind, "kprobe"))
		unregister_kprobe(&probe);
	else if (!strcmp(kind, "kretprobe"))
		unregister_kretprobe(&ret_probe);
	else
		unregister_ftrace_function(&ops);
}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("counts calls for a benchmark");
MODULE_LICENSE("GPL");
