// SPDX-License-Identifier: GPL-2.0-or-later
/* Load, unload, parameters. */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/task_stack.h>
#include <linux/vmalloc.h>
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"
#include "files.h"
#include "ffi/alloc.h"
#include "ffi/guard.h"
#include "ffi/hook.h"
#include "ffi/modules.h"
#include "repl/output.h"
#include "repl/session.h"
#include "restart.h"
#include "structs/selfcheck.h"
#include "structs/sources.h"
#include "unload.h"

#define HEAP_MIN (256UL << 10)
#define PYSTACK_SIZE (16UL << 10)

static char *server_addr = "127.0.0.1:9999";
module_param(server_addr, charp, 0444);
MODULE_PARM_DESC(server_addr, "IP:PORT of the REPL, empty for none (default 127.0.0.1:9999)");

char *kpy_auth_token = "";
module_param_named(auth_token, kpy_auth_token, charp, 0400);
MODULE_PARM_DESC(auth_token, "the first line of a session must be this (default: none asked)");

bool kpy_tests_mode;
module_param_named(tests_mode, kpy_tests_mode, bool, 0444);
MODULE_PARM_DESC(tests_mode, "Ctrl-D is a soft reset that keeps the connection; no auto globals");

unsigned long kpy_heap_size = 8UL << 20;
module_param_named(heap_size, kpy_heap_size, ulong, 0444);
MODULE_PARM_DESC(heap_size, "bytes of the Python heap (default 8388608)");

void *kpy_heap;

/* Runs f in an entry of its own on the stack of the task that loads or unloads the module. */
static noinline int in_python(void (*f)(void))
{
	struct kpy_entry e;
	void *pystack = kvmalloc(PYSTACK_SIZE, GFP_KERNEL);

	if (!pystack)
		return -ENOMEM;
	kpy_entry_init(&e, KPY_THREAD, NULL);
	kpy_entry_set_stack(&e, (unsigned long)end_of_stack(current), __builtin_frame_address(0));
	kpy_entry_set_pystack(&e, pystack, PYSTACK_SIZE);
	kpy_gil_enter(&e);
	f();
	kpy_gil_leave(&e);
	kvfree(pystack);
	return 0;
}

static int alloc_heap(void)
{
	unsigned long max = totalram_pages() << (PAGE_SHIFT - 1);

	if (kpy_heap_size < HEAP_MIN || kpy_heap_size > max) {
		pr_err("heap_size=%lu: expected %lu to %lu bytes\n", kpy_heap_size, HEAP_MIN, max);
		return -EINVAL;
	}
	kpy_heap = vzalloc(kpy_heap_size);
	return kpy_heap ? 0 : -ENOMEM;
}

static int open_ways_in(void)
{
	int err;

	kpy_sessions_allow();
	kpy_debug_run_allow();
	err = kpy_tcp_start(server_addr);
	if (err)
		return err;
	err = kpy_chardev_start();
	if (err)
		kpy_tcp_stop();
	return err;
}

static void close_ways_in(void)
{
	kpy_chardev_stop();
	kpy_tcp_stop();
}

static bool quiet; /* kpy_quiesce() succeeded */

int kpy_quiesce(void)
{
	unsigned long until = jiffies + KPY_QUIESCE_SECONDS * HZ;
	int err;

	close_ways_in();
	err = kpy_hooks_stop(until);
	if (!err)
		err = kpy_debug_run_stop(until);
	if (!err)
		err = kpy_sessions_stop(until);
	if (!err)
		err = kpy_threads_stop(until);
	quiet = !err;
	if (err && open_ways_in())
		pr_err("the REPL cannot be opened again\n");
	return err;
}

static int __init kpy_init(void)
{
	int err;

	err = kpy_kallsyms_init();
	if (!err)
		err = kpy_memory_init();
	if (!err)
		err = kpy_modules_init();
	if (err)
		return err;
	kpy_os_init();
	kpy_file_io_init();
	err = alloc_heap();
	if (err)
		goto out_modules;
	err = kpy_output_init();
	if (err)
		goto out_heap;
	err = kpy_debug_init();
	if (err)
		goto out_output;
	err = kpy_guard_init();
	if (err)
		goto out_debug;
	err = kpy_hooks_init();
	if (err)
		goto out_guard;
	err = in_python(kpy_interpreter_start);
	if (err)
		goto out_hooks;
	err = kpy_debug_run_init();
	if (err)
		goto out_python;
	err = open_ways_in();
	if (err)
		goto out_run;
	kpy_unload_init();
	kpy_selfcheck_start();
	pr_info("version %s, heap %lu KB\n", KPY_VERSION, kpy_heap_size >> 10);
	return 0;

out_run:
	kpy_debug_run_exit();
out_python:
	in_python(kpy_interpreter_stop);
	kpy_buffers_exit();
out_hooks:
	kpy_hooks_exit();
out_guard:
	kpy_guard_exit();
out_debug:
	kpy_debug_exit();
out_output:
	kpy_output_exit();
out_heap:
	vfree(kpy_heap);
out_modules:
	kpy_modules_exit();
	return err;
}

static void __exit kpy_exit(void)
{
	kpy_unload_exit();
	kpy_restart_exit();
	if (!quiet) {
		/* rmmod could not be caught, so that there is no way back from here. */
		close_ways_in();
		while (kpy_hooks_stop(jiffies + 5 * HZ))
			;
		while (kpy_sessions_stop(jiffies + 5 * HZ))
			;
		while (kpy_threads_stop(jiffies + 5 * HZ))
			;
		while (kpy_debug_run_stop(jiffies + 5 * HZ))
			;
	}
	kpy_debug_run_exit();
	kpy_restart_exit();
	in_python(kpy_interpreter_stop);
	kpy_hooks_exit();
	kpy_guard_exit();
	kpy_debug_exit();
	kpy_output_exit();
	kpy_buffers_exit();
	kpy_files_exit();
	vfree(kpy_heap);
	kpy_selfcheck_stop();
	kpy_sources_exit();
	kpy_modules_exit();
}

module_init(kpy_init);
module_exit(kpy_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(KPY_VERSION);
MODULE_DESCRIPTION("MicroPython inside the kernel");
