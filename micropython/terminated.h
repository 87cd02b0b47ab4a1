/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For objarray.c: the memory of a bytearray has room for one more byte than it holds, so
 * that the kernel can be given it as a string (kmod/ffi/convert.c stores the NUL).
 */
#pragma once
#include "py/mpconfig.h"
#include "py/misc.h"

#undef m_new
#define m_new(type, num) ((type *)m_malloc(sizeof(type) * (num) + 1))
#undef m_renew
#define m_renew(type, ptr, old_num, new_num) ((type *)m_realloc(ptr, sizeof(type) * (new_num) + 1))
