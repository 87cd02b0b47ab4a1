/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Seconds that rmmod gives Python to stop. */
#define KPY_QUIESCE_SECONDS 5

void kpy_unload_init(void);
void kpy_unload_exit(void);

/*
 * Closes the ways in, and stops sessions and threads. -EBUSY when one does not stop in
 * time: it is named in dmesg, and the ways in are open again.
 */
int kpy_quiesce(void);
