// SPDX-License-Identifier: GPL-2.0-or-later
/* Functions that fault, for tests of guarded calls. */
#include <linux/bottom_half.h>
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <asm/fpu/api.h>

DEFINE_MUTEX(faulty_mutex);
DEFINE_SPINLOCK(faulty_lock);
unsigned long faulty_data[8] = { 0x1234 };
const unsigned long faulty_rodata[8] = { 0x5678 };

/* Each is called from Python only, by its name in kallsyms. */
#define ENTRY noinline __visible

ENTRY long faulty_read(const long *p);
ENTRY long faulty_read(const long *p)
{
	return READ_ONCE(*p);
}

ENTRY void faulty_write(long *p, long v);
ENTRY void faulty_write(long *p, long v)
{
	WRITE_ONCE(*p, v);
}

ENTRY long faulty_deep(const long *p, long depth);
ENTRY long faulty_deep(const long *p, long depth)
{
	long v = depth ? faulty_deep(p, depth - 1) : faulty_read(p);

	barrier();
	return v + 1;
}

ENTRY void faulty_bug(void);
ENTRY void faulty_bug(void)
{
	BUG();
}

ENTRY long faulty_warn(void);
ENTRY long faulty_warn(void)
{
	return WARN(1, "faulty: a warning\n") ? 42 : 0;
}

ENTRY void faulty_opcode(void);
ENTRY void faulty_opcode(void)
{
	asm volatile(".byte 0x06"); /* push %es: not in 64-bit mode */
}

ENTRY long faulty_divide(int a, int b);
ENTRY long faulty_divide(int a, int b)
{
	asm volatile("cltd; idivl %1" : "+a"(a) : "r"(b) : "edx");
	return a;
}

ENTRY long faulty_jump(long (*f)(void));
ENTRY long faulty_jump(long (*f)(void))
{
	return f() + 1;
}

ENTRY long faulty_recurse(long n);
ENTRY long faulty_recurse(long n)
{
	volatile long room[16];

	room[n & 15] = n;
	return faulty_recurse(n + 1) + room[n & 15];
}

/* A frame so large that its far end lies beyond the stack. */
ENTRY long faulty_big_frame(void);
ENTRY long faulty_big_frame(void)
{
	unsigned long sp = (unsigned long)__builtin_frame_address(0);

	return READ_ONCE(*(long *)((sp & ~(THREAD_SIZE - 1)) - 8));
}

/* Changes the task's state as the bits say, and faults when p is bad. */
ENTRY void faulty_state(unsigned long bits, const long *p);
ENTRY void faulty_state(unsigned long bits, const long *p)
{
	unsigned long flags;

	if (bits & 1)
		preempt_disable();
	if (bits & 2)
		local_bh_disable();
	if (bits & 4)
		rcu_read_lock();
	if (bits & 8)
		pagefault_disable();
	if (bits & 16)
		kernel_fpu_begin();
	if (bits & 32)
		set_current_state(TASK_UNINTERRUPTIBLE);
	if (bits & 64)
		local_irq_save(flags);
	faulty_read(p);
}

/* What the state is: one number, 0 in a plain thread. */
ENTRY unsigned long faulty_counts(void);
ENTRY unsigned long faulty_counts(void)
{
	unsigned long n = preempt_count();

#ifdef CONFIG_PREEMPT_RCU
	n |= (unsigned long)current->rcu_read_lock_nesting << 32;
#endif
	n |= (unsigned long)irqs_disabled() << 48;
	n |= (unsigned long)pagefault_disabled() << 49;
	n |= (unsigned long)(get_current_state() != TASK_RUNNING) << 50;
	n |= (unsigned long)!irq_fpu_usable() << 51;
	return n;
}

ENTRY void faulty_with_mutex(const long *p);
ENTRY void faulty_with_mutex(const long *p)
{
	mutex_lock(&faulty_mutex);
	faulty_read(p);
	mutex_unlock(&faulty_mutex);
}

ENTRY long faulty_mutex_is_locked(void);
ENTRY long faulty_mutex_is_locked(void)
{
	return mutex_is_locked(&faulty_mutex);
}

ENTRY void faulty_mutex_unlock(void);
ENTRY void faulty_mutex_unlock(void)
{
	mutex_unlock(&faulty_mutex);
}

static int __init faulty_init(void)
{
	return 0;
}

static void __exit faulty_exit(void)
{
}

module_init(faulty_init);
module_exit(faulty_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Functions that fault");
