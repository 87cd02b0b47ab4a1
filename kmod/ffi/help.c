// SPDX-License-Identifier: GPL-2.0-or-later
/* help(symbol): its declaration in C, and where it is. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/module.h>
#endif
#include "py/builtin.h"
#include "py/runtime.h"
#include "ffi/ffi.h"
#include "ffi/prototype.h"

MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_upstream_help_obj); /* kmod/Kbuild renames it */

#ifdef NO_QSTR
#define describe(symbol)
#else
#include "ffi/ksyms.h"
#include "ffi/modules.h"

static void describe(const kpy_symbol_t *symbol)
{
	const char *name = mp_obj_str_get_str(symbol->name);
	char buf[512], module[MODULE_NAME_LEN];
	struct kpy_text text = { buf, sizeof(buf) };
	bool in_module = kpy_module_of(symbol->value, module);
	struct kpy_ctype decl;

	if (kpy_decl_find(name, symbol->value, &decl) == 1) {
		kpy_ctype_declare(&text, decl, "");
		mp_printf(&mp_plat_print, "%s;\n", buf);
	} else {
		mp_printf(&mp_plat_print, "%s: nothing is known of its type\n", name);
	}
	mp_printf(&mp_plat_print, "    at 0x%lx in %s%s\n", (unsigned long)symbol->value,
		  in_module ? module : "vmlinux",
		  kpy_ksym_exported(name, symbol->value) ? ", exported" : "");
}
#endif

static mp_obj_t help(size_t n_args, const mp_obj_t *args)
{
	if (!n_args || !mp_obj_is_exact_type(args[0], &kpy_type_symbol))
		return mp_call_function_n_kw(MP_OBJ_FROM_PTR(&kpy_upstream_help_obj), n_args, 0,
					     args);
	describe(MP_OBJ_TO_PTR(args[0]));
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(mp_builtin_help_obj, 0, 1, help);
