/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sending calls of kernel functions to stubs. */
#pragma once
#include <linux/types.h>

struct kpy_hook;

void kpy_ftrace_anchor(void);

/* Where ftrace can catch calls of the function at address, or 0. */
unsigned long kpy_ftrace_site(unsigned long address);
/*
 * Sends calls to the stub of h->slot; 0 or -errno. Without the GIL, under the arming lock. May sleep.
 */
int kpy_ftrace_arm(struct kpy_hook *h);
void kpy_ftrace_disarm(struct kpy_hook *h);

int kpy_ftrace_init(void);
void kpy_ftrace_exit(void);
