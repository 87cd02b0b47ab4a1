/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sending what comes to an instruction to stubs. */
#pragma once

struct kpy_hook;

/* 0 or -errno. Without the GIL, under the arming lock. May sleep. */
int kpy_probe_arm(struct kpy_hook *h);
void kpy_probe_disarm(struct kpy_hook *h);
/* Before a disarmed hook is freed. Under the arming lock. */
void kpy_probe_free(struct kpy_hook *h);

/* What comes to the probe with this stack pointer passes it; or what this task calls next. */
void kpy_probe_pass(struct kpy_hook *h, unsigned long sp);
void kpy_probe_pass_call(struct kpy_hook *h);
