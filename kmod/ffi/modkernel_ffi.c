// SPDX-License-Identifier: GPL-2.0-or-later
/* The module kernel_ffi. */
#ifndef NO_QSTR
#include <linux/sched.h>
#endif
#include "py/obj.h"
#include "py/runtime.h"
#include "ffi/alloc.h"
#include "ffi/ffi.h"
#include "ffi/guard.h"
#include "ffi/hook.h"
#include "ffi/pointer.h"
#include "ffi/resolve.h"
#include "ffi/stats.h"
#include "ffi/variable.h"
#include "structs/lookup.h"

#ifdef NO_QSTR
#define current 0
#endif

/* current(): address of the task_struct of the task that runs this code. */
static mp_obj_t this_task(void)
{
	return mp_obj_new_int_from_uint((uintptr_t)current);
}
MP_DEFINE_CONST_FUN_OBJ_0(kpy_current_obj, this_task);

static const mp_rom_map_elem_t globals_table[] = {
	{ MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_kernel_ffi) },
	{ MP_ROM_QSTR(MP_QSTR_Symbol), MP_ROM_PTR(&kpy_type_symbol) },
	{ MP_ROM_QSTR(MP_QSTR_symbol), MP_ROM_PTR(&kpy_symbol_obj) },
	{ MP_ROM_QSTR(MP_QSTR_auto_globals), MP_ROM_PTR(&kpy_auto_globals_obj) },
	{ MP_ROM_QSTR(MP_QSTR_symbols), MP_ROM_PTR(&kpy_symbols_obj) },
	{ MP_ROM_QSTR(MP_QSTR_lookup), MP_ROM_PTR(&kpy_lookup_obj) },
	{ MP_ROM_QSTR(MP_QSTR_var), MP_ROM_PTR(&kpy_var_obj) },
	{ MP_ROM_QSTR(MP_QSTR_is_err), MP_ROM_PTR(&kpy_is_err_obj) },
	{ MP_ROM_QSTR(MP_QSTR_str), MP_ROM_PTR(&kpy_str_obj) },
	{ MP_ROM_QSTR(MP_QSTR_bytes), MP_ROM_PTR(&kpy_bytes_obj) },
	{ MP_ROM_QSTR(MP_QSTR_p8), MP_ROM_PTR(&kpy_p8_obj) },
	{ MP_ROM_QSTR(MP_QSTR_p16), MP_ROM_PTR(&kpy_p16_obj) },
	{ MP_ROM_QSTR(MP_QSTR_p32), MP_ROM_PTR(&kpy_p32_obj) },
	{ MP_ROM_QSTR(MP_QSTR_p64), MP_ROM_PTR(&kpy_p64_obj) },
	{ MP_ROM_QSTR(MP_QSTR_stats), MP_ROM_PTR(&kpy_stats_obj) },
	{ MP_ROM_QSTR(MP_QSTR_current), MP_ROM_PTR(&kpy_current_obj) },
	{ MP_ROM_QSTR(MP_QSTR_kmalloc), MP_ROM_PTR(&kpy_kmalloc_obj) },
	{ MP_ROM_QSTR(MP_QSTR_kfree), MP_ROM_PTR(&kpy_kfree_obj) },
	{ MP_ROM_QSTR(MP_QSTR_buffer), MP_ROM_PTR(&kpy_type_buffer) },
	{ MP_ROM_QSTR(MP_QSTR_KernelFault), MP_ROM_PTR(&kpy_type_KernelFault) },
	{ MP_ROM_QSTR(MP_QSTR_guard), MP_ROM_PTR(&kpy_guard_obj) },
	{ MP_ROM_QSTR(MP_QSTR_context), MP_ROM_PTR(&kpy_context_obj) },
	{ MP_ROM_QSTR(MP_QSTR_hooks), MP_ROM_PTR(&kpy_hooks_obj) },
	{ MP_ROM_QSTR(MP_QSTR_callback), MP_ROM_PTR(&kpy_callback_obj) },
	{ MP_ROM_QSTR(MP_QSTR_kprobe), MP_ROM_PTR(&kpy_kprobe_obj) },
	{ MP_ROM_QSTR(MP_QSTR_KP_ARGS_WATCH), MP_ROM_INT(KPY_ARGS_WATCH) },
	{ MP_ROM_QSTR(MP_QSTR_KP_ARGS_MODIFY), MP_ROM_INT(KPY_ARGS_MODIFY) },
	{ MP_ROM_QSTR(MP_QSTR_KP_REGS_WATCH), MP_ROM_INT(KPY_REGS_WATCH) },
	{ MP_ROM_QSTR(MP_QSTR_KP_REGS_MODIFY), MP_ROM_INT(KPY_REGS_MODIFY) },
	{ MP_ROM_QSTR(MP_QSTR_KP_RETURN), MP_ROM_INT(KPY_RETURN) },
	{ MP_ROM_QSTR(MP_QSTR_tracepoint), MP_ROM_PTR(&kpy_tracepoint_obj) },
	{ MP_ROM_QSTR(MP_QSTR_ftrace), MP_ROM_PTR(&kpy_ftrace_obj) },
	{ MP_ROM_QSTR(MP_QSTR_timer), MP_ROM_PTR(&kpy_timer_obj) },
	{ MP_ROM_QSTR(MP_QSTR_irq_work), MP_ROM_PTR(&kpy_irq_work_obj) },
	{ MP_ROM_QSTR(MP_QSTR_layout_report), MP_ROM_PTR(&kpy_layout_report_obj) },
	{ MP_ROM_QSTR(MP_QSTR_allow_mismatch), MP_ROM_PTR(&kpy_allow_mismatch_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t kpy_module_kernel_ffi = {
	.base = { &mp_type_module },
	.globals = (mp_obj_dict_t *)&globals,
};
MP_REGISTER_MODULE(MP_QSTR_kernel_ffi, kpy_module_kernel_ffi);
