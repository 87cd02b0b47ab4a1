/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MicroPython's configuration for life inside the kernel; defaults are upstream's "extra features". */
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

/* Memory. The heap is one vmalloc area (module parameter heap_size=). */
#define MICROPY_ENABLE_GC (1)
#define MICROPY_ENABLE_FINALISER (1)
#define MICROPY_ALLOC_PATH_MAX (256)
#define MICROPY_GC_ALLOC_THRESHOLD (1)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1)
#define MICROPY_EMERGENCY_EXCEPTION_BUF_SIZE (256)

/*
 * Python-to-Python calls stay off the 16 KB kernel stack: frames live on a
 * pystack. What still uses the C stack (sorted(key=...), __add__, imports) is
 * limited by the stack check; the margin is what the deepest leaf needs.
 */
#define MICROPY_STACKLESS (1)
#define MICROPY_STACKLESS_STRICT (1)
#define MICROPY_ENABLE_PYSTACK (1)
#define MICROPY_PYSTACK_ALIGN (8)
#define MICROPY_STACK_CHECK (1)
#define MICROPY_STACK_CHECK_MARGIN (2048)
#define MICROPY_NLR_SETJMP (1)
#define MICROPY_GCREGS_SETJMP (1)

/* The kernel has no FPU context of its own: no floats. */
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_NONE)

/* Compiler and VM. */
#define MICROPY_OPT_COMPUTED_GOTO (1)
#define MICROPY_PERSISTENT_CODE_LOAD (0)
#define MICROPY_EMIT_X64 (0)
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_DETAILED)
#define MICROPY_ENABLE_SOURCE_LINE (1)
#define MICROPY_WARNINGS (1)
#define MICROPY_MODULE_WEAK_LINKS (1)

/* GIL: kmod/gil.c. Upstream's per-call bounce never happens; ours is kpy_safe_point(). */
#define MICROPY_PY_THREAD (1)
#define MICROPY_PY_THREAD_GIL (1)
#define MICROPY_PY_THREAD_GIL_VM_DIVISOR (0x7fffffff)
#define MICROPY_ENABLE_SCHEDULER (1)

/* REPL. */
#define MICROPY_HELPER_REPL (1)
#define MICROPY_REPL_EVENT_DRIVEN (0)
#define MICROPY_REPL_EMACS_KEYS (1)
#define MICROPY_REPL_EMACS_WORDS_MOVE (1)
#define MICROPY_REPL_EMACS_EXTRA_WORDS_MOVE (1)
#define MICROPY_REPL_AUTO_INDENT (1)
#define MICROPY_READLINE_HISTORY_SIZE (64)
#define MICROPY_KBD_EXCEPTION (1)
/*
 * Ctrl-C counts from the first moment: compiling may take long, too, as it folds constants.
 * Not while the source itself is read in raw-paste mode (upstream's EXEC_FLAG_SOURCE_IS_READER,
 * 1 << 6), where it has its own meaning.
 */
#define MICROPY_BOARD_BEFORE_PYTHON_EXEC(kind, flags) \
	do {                                          \
		if (!((flags) & (1 << 6)))            \
			mp_hal_set_interrupt_char(3); \
	} while (0)
#define MICROPY_BANNER_MACHINE "kpy in the Linux kernel"
#define MICROPY_HW_BOARD_NAME "kpy"
#define MICROPY_HW_MCU_NAME "x86-64"

/* Language. */
#define MICROPY_PY_ALL_SPECIAL_METHODS (1)
#define MICROPY_PY_REVERSE_SPECIAL_METHODS (1)
#define MICROPY_PY_BUILTINS_COMPILE (1)
#define MICROPY_PY_FUNCTION_ATTRS_CODE (1)
#define MICROPY_PY_BUILTINS_RANGE_ATTRS (1)
#define MICROPY_PY_BUILTINS_RANGE_BINOP (1)
#define MICROPY_PY_BUILTINS_MEMORYVIEW_ITEMSIZE (1)
#define MICROPY_PY_ALL_INPLACE_SPECIAL_METHODS (1)
#define MICROPY_PY_COLLECTIONS_NAMEDTUPLE__ASDICT (1)
#define MICROPY_PY_IO_BUFFEREDWRITER (1)
#define MICROPY_PY_SYS_EXC_INFO (1)
#define MICROPY_PY_SYS_GETSIZEOF (1)
#define MICROPY_PY_SYS_TRACEBACKLIMIT (1)
#define MICROPY_PY_BUILTINS_STR_UNICODE (1)
#define MICROPY_PY_BUILTINS_HELP_TEXT kpy_help_text
#define MICROPY_PY_GC_COLLECT_RETVAL (1)
#define MICROPY_PY_IO_IOBASE (1)
#define MICROPY_PY_MICROPYTHON_MEM_INFO (1)
#define MICROPY_PY_MICROPYTHON_STACK_USE (1)
#define MICROPY_PY_MICROPYTHON_HEAP_LOCKED (1)
#define MICROPY_PY_SYS_MAXSIZE (1)
#define MICROPY_PY_SYS_STDFILES (1)
#define MICROPY_PY_SYS_PLATFORM "linux-kernel"
#define MICROPY_PY_ERRNO (1)
#define MICROPY_USE_INTERNAL_ERRNO (1)
#define MICROPY_USE_INTERNAL_PRINTF (0)

/* Library. */
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_TIME_GMTIME_LOCALTIME_MKTIME (1)
#define MICROPY_PY_TIME_INCLUDEFILE "time_now.h"
#define MICROPY_PY_TIME_CUSTOM_SLEEP (1)
#define MICROPY_EPOCH_IS_1970 (1)
#define MICROPY_PY_UCTYPES (1)
#define MICROPY_PY_JSON (1)
#define MICROPY_PY_RE (1)
#define MICROPY_PY_RE_MATCH_GROUPS (1)
#define MICROPY_PY_RE_MATCH_SPAN_START_END (1)
#define MICROPY_PY_HEAPQ (1)
#define MICROPY_PY_BINASCII (1)
#define MICROPY_PY_BINASCII_CRC32 (1)
#define MICROPY_PY_HASHLIB (1)
#define MICROPY_PY_HASHLIB_SHA256 (1)
#define MICROPY_PY_HASHLIB_SHA1 (0)
#define MICROPY_PY_HASHLIB_MD5 (0)
#define MICROPY_PY_DEFLATE (1)
#define MICROPY_PY_DEFLATE_COMPRESS (1)
#define MICROPY_PY_RANDOM (1)
#define MICROPY_PY_RANDOM_EXTRA_FUNCS (1)
#define MICROPY_PY_RANDOM_SEED_INIT_FUNC (kpy_random_seed())
#define MICROPY_PY_SELECT (0)
#define MICROPY_PY_OS (0) /* ours: micropython/modos.c */
#define MICROPY_PY_ASYNCIO (0)
#define MICROPY_PY_PLATFORM (0)
#define MICROPY_PY_MACHINE (0) /* ours: micropython/machine.c */
#define MICROPY_PY_FRAMEBUF (0)
#define MICROPY_PY_CRYPTOLIB (0)
#define MICROPY_VFS (0)
#define MICROPY_READER_VFS (0)

typedef long mp_int_t;
typedef unsigned long mp_uint_t;
typedef long mp_off_t;
#define MP_SSIZE_MAX (0x7fffffffffffffffL)
#define MP_STATE_PORT MP_STATE_VM

uint32_t kpy_random_seed(void);

/* A global name that Python does not know may be a kernel symbol: kmod/ffi/globals.c. */
#define MICROPY_WRAP_MP_LOAD_GLOBAL(f) f##_core

/* Known without import, as the kernel's users expect them. */
#define MICROPY_PORT_BUILTINS                                                                \
	{ MP_ROM_QSTR(MP_QSTR_symbol), MP_ROM_PTR(&kpy_symbol_obj) },                        \
		{ MP_ROM_QSTR(MP_QSTR_Symbol), MP_ROM_PTR(&kpy_type_symbol) },               \
		{ MP_ROM_QSTR(MP_QSTR___kpy__), MP_ROM_PTR(&kpy_debug_result_obj) },         \
		{ MP_ROM_QSTR(MP_QSTR_p8), MP_ROM_PTR(&kpy_p8_obj) },                        \
		{ MP_ROM_QSTR(MP_QSTR_p16), MP_ROM_PTR(&kpy_p16_obj) },                      \
		{ MP_ROM_QSTR(MP_QSTR_p32), MP_ROM_PTR(&kpy_p32_obj) },                      \
		{ MP_ROM_QSTR(MP_QSTR_p64), MP_ROM_PTR(&kpy_p64_obj) },                      \
		{ MP_ROM_QSTR(MP_QSTR_lookup_struct), MP_ROM_PTR(&kpy_lookup_struct_obj) },  \
		{ MP_ROM_QSTR(MP_QSTR_partial_struct), MP_ROM_PTR(&kpy_lookup_struct_obj) }, \
		{ MP_ROM_QSTR(MP_QSTR_sizeof), MP_ROM_PTR(&kpy_sizeof_obj) },                \
		{ MP_ROM_QSTR(MP_QSTR_offsetof), MP_ROM_PTR(&kpy_offsetof_obj) },            \
		{ MP_ROM_QSTR(MP_QSTR_container_of), MP_ROM_PTR(&kpy_container_of_obj) },    \
		{ MP_ROM_QSTR(MP_QSTR_dump_struct), MP_ROM_PTR(&kpy_dump_struct_obj) },      \
		{ MP_ROM_QSTR(MP_QSTR_pahole), MP_ROM_PTR(&kpy_pahole_obj) },                \
		{ MP_ROM_QSTR(MP_QSTR_list_for_each), MP_ROM_PTR(&kpy_list_for_each_obj) },  \
		{ MP_ROM_QSTR(MP_QSTR_xa_for_each), MP_ROM_PTR(&kpy_xa_for_each_obj) },      \
		{ MP_ROM_QSTR(MP_QSTR_this_cpu), MP_ROM_PTR(&kpy_this_cpu_obj) },            \
		{ MP_ROM_QSTR(MP_QSTR_per_cpu), MP_ROM_PTR(&kpy_per_cpu_obj) },              \
		{ MP_ROM_QSTR(MP_QSTR_LayoutError), MP_ROM_PTR(&kpy_type_LayoutError) },     \
		{ MP_ROM_QSTR(MP_QSTR_current), MP_ROM_PTR(&kpy_current_obj) },              \
		{ MP_ROM_QSTR(MP_QSTR_is_err), MP_ROM_PTR(&kpy_is_err_obj) },                \
		{ MP_ROM_QSTR(MP_QSTR_TimeoutError), MP_ROM_PTR(&mp_type_TimeoutError) },    \
		{ MP_ROM_QSTR(MP_QSTR_KernelFault), MP_ROM_PTR(&kpy_type_KernelFault) },     \
		{ MP_ROM_QSTR(MP_QSTR_kmalloc), MP_ROM_PTR(&kpy_kmalloc_obj) },              \
		{ MP_ROM_QSTR(MP_QSTR_kfree), MP_ROM_PTR(&kpy_kfree_obj) },
extern const struct _mp_obj_fun_builtin_fixed_t kpy_is_err_obj, kpy_kfree_obj;
extern const struct _mp_obj_fun_builtin_var_t kpy_symbol_obj, kpy_kmalloc_obj, kpy_debug_result_obj;
extern const struct _mp_obj_fun_builtin_var_t kpy_p8_obj, kpy_p16_obj, kpy_p32_obj, kpy_p64_obj;
extern const struct _mp_obj_type_t kpy_type_symbol, mp_type_TimeoutError, kpy_type_KernelFault;
extern const struct _mp_obj_fun_builtin_var_t kpy_lookup_struct_obj, kpy_sizeof_obj,
	kpy_dump_struct_obj, kpy_xa_for_each_obj;
extern const struct _mp_obj_fun_builtin_fixed_t kpy_offsetof_obj, kpy_container_of_obj,
	kpy_pahole_obj, kpy_list_for_each_obj, kpy_this_cpu_obj, kpy_per_cpu_obj, kpy_current_obj;
extern const struct _mp_obj_type_t kpy_type_LayoutError;
extern const char kpy_help_text[];

/*
 * Safe point: at most this many back-edges and returns of all Python code under
 * one hold of the GIL. Bouncing every 16 costs 1.3 %, 32 0.7 %, 64 0.4 %.
 */
#define KPY_SAFE_POINT_BUDGET (32)
void kpy_safe_point(void);
extern int kpy_budget;
#define KPY_COUNT_DOWN(counter, n, action)                                                      \
	{                                                                                       \
		_Bool kpy_used_up;                                                              \
		__asm__("subl %2, %0" : "+m"(counter), "=@ccle"(kpy_used_up) : "ri"((int)(n))); \
		if (__builtin_expect(kpy_used_up, 0))                                           \
			action();                                                               \
	}
#define KPY_VM_POLL KPY_COUNT_DOWN(kpy_budget, 1, kpy_safe_point)
#define MICROPY_VM_HOOK_LOOP KPY_VM_POLL
#define MICROPY_VM_HOOK_RETURN KPY_VM_POLL
/* On calls and caught exceptions: recursion may neither jump nor return, and must be interruptible. */
#define MICROPY_VM_HOOK_INIT KPY_COUNT_DOWN(kpy_budget, 1, kpy_long_op)

/*
 * C code counts what it does, in units of some 20 instructions, and opens a window or passes
 * a safe point when the budget is used up: see kmod/gil.c. More polls: micropython/polls.h.
 */
#define KPY_WORK_BUDGET (4096)
void kpy_gil_window(void);
void kpy_long_op(void);
extern int kpy_work;
#define KPY_WORK(n) KPY_COUNT_DOWN(kpy_work, n, kpy_gil_window)
/*
 * A safe point where there may be one amid code that can have but windows: also when so many
 * windows were opened since the last one.
 */
#define KPY_WINDOWS_MAX (16)
extern int kpy_windows;
#define KPY_SAFE_POLL(n)                                                \
	{                                                               \
		if (__builtin_expect(kpy_windows > KPY_WINDOWS_MAX, 0)) \
			kpy_long_op();                                  \
		KPY_COUNT_DOWN(kpy_work, n, kpy_long_op)                \
	}
#define MPZ_HOOK_LOOP(n) KPY_COUNT_DOWN(kpy_work, (n) / 2 + 1, kpy_long_op)
#define MP_MAP_HOOK_LOOP KPY_WORK(1)
#define MP_SORT_HOOK_LOOP KPY_SAFE_POLL(4)
/* A map lost a key or its table (patches/0007): what kmod/ffi/globals.c remembers may be wrong. */
extern unsigned int kpy_names_epoch;
#define MP_MAP_HOOK_REMOVE kpy_names_epoch++;
/* The collector's loops count blocks up, or the words of an object down to 1. */
#define MICROPY_GC_HOOK_LOOP(i) \
	if (((i)&0xff) == 1) {  \
		KPY_WORK(128)   \
	}

#ifndef NO_QSTR
/*
 * objtool sees the whole module, and finds out itself which functions never return, only
 * where the kernel runs it after linking; elsewhere it knows none but the kernel's own.
 */
#if !defined(CONFIG_X86_KERNEL_IBT) && !defined(CONFIG_LTO_CLANG)
#define NORETURN
#define MP_NORETURN
#endif
#define MP_NOINLINE __attribute__((__noinline__))
#define MP_UNREACHABLE __builtin_trap();
#endif
