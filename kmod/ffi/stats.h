/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kernel_ffi.stats() tells. */
#pragma once
#include "py/obj.h"

MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_stats_obj);

#ifndef NO_QSTR
#include <linux/types.h>

/* TSC cycles; written under the GIL */
extern u64 kpy_irqs_off_max; /* kmod/gil.c: longest time with interrupts off */
extern u64 kpy_gc_pause_max; /* micropython/gc_roots.c: longest collection */

/* micropython/gc_roots.c: bytes of the heap, and of them in use. Under the GIL; takes a while. */
void kpy_heap_info(u64 *size, u64 *used);
#endif
