/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the machine as Python objects. Everything here gives the GIL up around its
 * kernel calls, and raises RuntimeError where the code may not sleep.
 */
#pragma once
#include "py/obj.h"
#ifndef NO_QSTR
#include <linux/fs.h>
#include "entry.h"
#include "kpy.h"

/* Raises RuntimeError where the code may not sleep. */
void kpy_sleep_check(void);
/* Enters a stretch without the GIL that may sleep, after the same check. */
struct kpy_entry *kpy_sleep_begin(void);
/* Its end. Raises what a Ctrl-C meanwhile asks for. */
void kpy_sleep_end(struct kpy_entry *e);

/* Raises OSError for a negative errno of the kernel. */
void kpy_raise_errno(long err, const char *path);
#endif

/*
 * The path that a name of the Python code stands for: relative ones start at the
 * interpreter's own working directory. The result lives in the GC heap.
 */
const char *kpy_path(const char *name);
MP_DECLARE_CONST_FUN_OBJ_0(kpy_getcwd_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_chdir_obj);

/* An open file in the mode of open(): a TextIOWrapper or, with a 'b' in it, a FileIO. */
mp_obj_t kpy_file_open(const char *name, const char *mode);
/* The next byte, or -1 at the end and on errors. */
int kpy_file_getc(mp_obj_t file);

#ifndef NO_QSTR
/*
 * micropython/file_io.c, without the GIL: bytes done, or a negative errno. A file that copies to
 * user memory only gives KPY_ONLY_IN_THREADS where the entry has no kernel thread to itself.
 */
#define KPY_ONLY_IN_THREADS (-MAX_ERRNO)
ssize_t kpy_file_io_read(struct kpy_entry *e, struct file *file, void *buf, size_t n);
ssize_t kpy_file_io_write(struct kpy_entry *e, struct file *file, const void *buf, size_t n);
int kpy_file_io_close(struct file *file);

/* Looks up the kernel functions that the os module, and files, call. */
void kpy_os_init(void);
void kpy_file_io_init(void);
/* Unload: closes what finalisers left. The interpreter has stopped. */
void kpy_files_exit(void);
/* Hard interrupt, GIL not held: sees to it that files left by finalisers are closed. */
void kpy_files_kick(void);
#endif
