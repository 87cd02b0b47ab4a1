// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/stddef.h>
#include <generated/utsrelease.h>
#include "py/bc.h"
#include "py/builtin.h"
#include "py/gc.h"
#include "py/mpz.h"
#include "py/objarray.h"
#include "py/objexcept.h"
#include "py/objfun.h"
#include "py/objint.h"
#include "py/objlist.h"
#include "py/objmodule.h"
#include "py/objnamedtuple.h"
#include "py/objstr.h"
#include "py/objtype.h"
#include "kpy.h"
#include "entry.h"
#include "debug/eval.h"
#include "debug/info.h"
#include "debug/private.h"
#include "ffi/alloc.h"
#include "ffi/ffi.h"
#include "ffi/guard.h"
#include "ffi/pointer.h"
#include "ffi/stats.h"
#include "structs/btf.h"
#include "structs/layout.h"
#include "structs/object.h"
#include "structs/pushed.h"
#include "structs/table.h"

struct kpy_debug_state kpy_debug_state;

extern s32 kpy_gil_cpu;

/* clang-format off */
#define NUMBER(name, value) { name, (u64)(value) }
#define ADDRESS(name, symbol) { "addr." name, (u64)(uintptr_t)&(symbol) }
#define TYPE(name, symbol) { "type." name, (u64)(uintptr_t)&(symbol) }
#define OFFSET(name, type, member) { "off." name, offsetof(type, member) }
/* clang-format on */

const struct kpy_debug_info kpy_debug_info = {
	.magic = "KPYDEBUG",
	.abi = KPY_DEBUG_ABI,
	.field_size = sizeof(struct kpy_debug_field),
	.version = KPY_VERSION,
	.release = UTS_RELEASE,
	.fields = {
#include "debug/fields.h"
#include "debug/fields_objects.h"
	},
	/* A second pass over the same list counts it. */
	.n_fields = sizeof((struct kpy_debug_field[]){
#include "debug/fields.h"
#include "debug/fields_objects.h"
	}) / sizeof(struct kpy_debug_field),
};
EXPORT_SYMBOL_GPL(kpy_debug_info);
