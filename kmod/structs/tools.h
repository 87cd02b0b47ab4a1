/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of struct_access. */
#pragma once
#include "py/obj.h"

MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_sizeof_obj);
MP_DECLARE_CONST_FUN_OBJ_2(kpy_offsetof_obj);
MP_DECLARE_CONST_FUN_OBJ_3(kpy_container_of_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_dump_struct_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_pahole_obj);
MP_DECLARE_CONST_FUN_OBJ_3(kpy_list_for_each_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_xa_for_each_obj);
MP_DECLARE_CONST_FUN_OBJ_1(kpy_this_cpu_obj);
MP_DECLARE_CONST_FUN_OBJ_2(kpy_per_cpu_obj);
