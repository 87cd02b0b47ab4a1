/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/types.h>
#include <linux/stddef.h>
#include <linux/compiler_attributes.h>
#include <stdarg.h>

__printf(3, 4) int snprintf(char *buf, size_t size, const char *fmt, ...);
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
__printf(1, 2) int kpy_printf(const char *fmt, ...);
#define printf kpy_printf
