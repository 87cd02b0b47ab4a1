/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel memory that Python allocates. */
#pragma once
#include "py/obj.h"

MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_kmalloc_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_kfree_obj);
extern const mp_obj_type_t kpy_type_buffer;

#ifndef NO_QSTR
#include <linux/gfp.h>

/* The flags that fit where the current entry runs. Under the GIL. */
gfp_t kpy_gfp(void);

/* The interpreter died, and with it the objects of its buffers. Under the GIL. */
void kpy_buffers_forget_objects(void);
void kpy_buffers_exit(void);
#endif
