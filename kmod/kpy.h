/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the module share. */
#pragma once
#ifndef NO_QSTR
#include <linux/printk.h>
#include <linux/types.h>

#define KPY_VERSION "0.1.0"

#undef pr_fmt
#define pr_fmt(fmt) "kpy: " fmt

extern bool kpy_tests_mode;
extern char *kpy_auth_token;
extern unsigned long kpy_heap_size;
extern void *kpy_heap;

/* kmod/ffi/kallsyms.c: address of a kernel symbol, 0 when there is none. Any context, no locks. */
int kpy_kallsyms_init(void);
extern unsigned long (*kpy_kallsyms_lookup)(const char *name);
/* Name (KSYM_NAME_LEN) of the symbol that begins at the address; false: none does. Any context. */
bool kpy_name_of(unsigned long address, char *name);
/* The symbol that an address lies in, its size and the offset in it. */
bool kpy_symbol_around(unsigned long address, char *name, unsigned long *size,
		       unsigned long *offset);

/* kmod/ffi/memory.c */
int kpy_memory_init(void);

/* kmod/repl/tcp.c */
int kpy_tcp_start(const char *server_addr);
void kpy_tcp_stop(void);

/* kmod/repl/chardev.c */
int kpy_chardev_start(void);
void kpy_chardev_stop(void);
/* Tells dmesg who has /dev/kpy open, and so holds the module. */
void kpy_chardev_report(void);

/* micropython/interp.c: one life of the interpreter, from load or soft reset to the next. Under the GIL. */
void kpy_interpreter_start(void);
void kpy_interpreter_stop(void);

/*
 * micropython/threads.c: makes Python threads stop and waits for them to have left the
 * module, at most until a time in jiffies. -EBUSY: some are left, and named in dmesg.
 */
int kpy_threads_stop(unsigned long until);
#endif
