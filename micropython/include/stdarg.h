/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Since kernel commit c0891ac15f04 (v5.16) -nostdinc hides GCC's own header. */
#if __has_include(<linux/stdarg.h>)
#include <linux/stdarg.h>
#else
#include_next <stdarg.h>
#endif
