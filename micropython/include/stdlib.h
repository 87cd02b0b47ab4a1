/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/types.h>
#include <linux/stddef.h>

#ifndef alloca
#define alloca __builtin_alloca
#endif
void abort(void) __attribute__((__noreturn__));
