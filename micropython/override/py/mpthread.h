/* SPDX-License-Identifier: GPL-2.0-or-later */
#include_next "py/mpthread.h"

#ifndef NO_QSTR
/* Release must spill the registers of the very function that lets go: assembly, not a mutex call. */
struct kpy_entry;
struct kpy_entry *kpy_gil_release(void);
void kpy_gil_acquire_self(void);
#undef MP_THREAD_GIL_EXIT
#undef MP_THREAD_GIL_ENTER
#define MP_THREAD_GIL_EXIT() ((void)kpy_gil_release())
#define MP_THREAD_GIL_ENTER() kpy_gil_acquire_self()
#endif
