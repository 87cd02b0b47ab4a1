// SPDX-License-Identifier: GPL-2.0-or-later
/* One life of the interpreter: from load, or a soft reset, to the next. */
#include "py/builtin.h"
#include "py/gc.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "shared/readline/readline.h"
#include "kpy.h"
#include "entry.h"

const char kpy_help_text[] = "Welcome to kpy: MicroPython inside the Linux kernel.\n"
			     "\n"
			     "A global name that Python does not know is a kernel symbol:\n"
			     "  printk(\"hello %d\\n\", 1)   calls the function\n"
			     "  p64(jiffies_64)           reads 8 bytes of memory (p8, p16, p32; "
			     "p64(addr, value) writes)\n"
			     "  symbol(\"name.with.dots\")  looks a name up\n"
			     "\n"
			     "Control commands:\n"
			     "  CTRL-A  raw REPL mode\n"
			     "  CTRL-B  normal REPL mode\n"
			     "  CTRL-C  interrupt a running program\n"
			     "  CTRL-D  end the session\n"
			     "  CTRL-E  paste mode\n"
			     "\n"
			     "help('modules') lists modules, help(obj) tells about obj.\n";

#ifndef NO_QSTR
#include "ffi/ffi.h"
#include "ffi/hook.h"
#include "debug/info.h"
#include "restart.h"

#define GC_THRESHOLD_PART 2 /* collect when this part of the heap was allocated */

void kpy_interpreter_start(void)
{
	gc_init(kpy_heap, kpy_heap + kpy_heap_size);
	kpy_large_ints_forget();
	mp_init();
	/* In blocks: a collection before the heap is full keeps the next one short. */
	MP_STATE_MEM(gc_alloc_threshold) =
		kpy_heap_size / GC_THRESHOLD_PART / MICROPY_BYTES_PER_GC_BLOCK;
	readline_init0();
	mp_obj_list_append(mp_sys_path, mp_obj_new_str_from_cstr("/lib/kpy"));
	MP_STATE_VM(kpy_cwd) = NULL;
	kpy_names_epoch++;
	MP_STATE_VM(kpy_symbol_cache) = kpy_tests_mode ? MP_OBJ_NULL : mp_obj_new_dict(0);
	kpy_debug_state.heap_size = kpy_heap_size;
	WRITE_ONCE(kpy_ready, 1);
}

void kpy_interpreter_stop(void)
{
	struct kpy_entry *e = kpy_current;
	bool alive = kpy_ready;

	WRITE_ONCE(kpy_ready, 0);
	kpy_hooks_end();
	if (alive) { /* else it died, and its heap may be anything */
		/* A finaliser that does not end must not hold up rmmod. */
		e->finalising = true;
		e->timed_out = false;
		e->deadline = rdtsc() + tsc_khz * 1000ULL;
		gc_sweep_all();
		e->deadline = 0;
		e->finalising = false;
	}
	mp_deinit(); /* gives the GIL up */
	kpy_gil_acquire(e);
	kpy_epoch++;
	e->epoch = kpy_epoch;
}

/*
 * No exception handler left. Upstream has none while it prints the last exception of a
 * thread, which may run Python: leave that. Else the interpreter's state cannot be trusted.
 */
void nlr_jump_fail(void *val)
{
	if (kpy_gil_is_mine() && kpy_current)
		kpy_leave_python(kpy_current);
	kpy_interpreter_failed("an exception without a handler");
}

void abort(void)
{
	kpy_interpreter_failed("abort");
	panic("kpy: abort"); /* never reached */
}

int kpy_printf(const char *fmt, ...); /* include/stdio.h calls it printf */
int kpy_printf(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vprintk(fmt, args);
	va_end(args);
	return n;
}
#endif
