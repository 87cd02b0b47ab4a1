/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/compiler_attributes.h>

typedef unsigned long jmp_buf[8];
int kpy_setjmp(jmp_buf env) __attribute__((returns_twice));
void kpy_longjmp(jmp_buf env, int value) __attribute__((__noreturn__));
#define setjmp kpy_setjmp
#define longjmp kpy_longjmp
