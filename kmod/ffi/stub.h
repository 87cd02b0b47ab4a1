/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stubs: the addresses in our text that the kernel calls or is sent to. There is a
 * fixed number of them, each bound to at most one hook. See stub.S.
 */
#pragma once

#ifndef KPY_STUBS
#define KPY_STUBS 512 /* make STUBS=N */
#endif
#if KPY_STUBS < 1 || KPY_STUBS > 16384
#error "STUBS= is the number of hooks that can be there at once: 1 to 16384"
#endif
#define KPY_STUB_SIZE 16

#ifndef __ASSEMBLY__
#include <linux/types.h>

struct kpy_hook;

/* What a stub puts on the stack: the registers that may hold arguments. */
struct kpy_stub_frame {
	unsigned long args[6]; /* rdi rsi rdx rcx r8 r9 */
	unsigned long ax; /* of variadic functions; the result is put here */
	unsigned long slot; /* replaced with the address to go on at */
	unsigned long return_address;
	unsigned long stack_args[];
};

struct pt_regs;

/* Calls target with twelve arguments; in stubs.S. */
unsigned long kpy_call_words(unsigned long target, const unsigned long *words);
void kpy_call_returns(void); /* where it returns to */

/* Binds a free slot to a hook: its number, or -1. Under the GIL. */
int kpy_stub_take(struct kpy_hook *h);
/* Calls of the slot return 0 from now on. */
void kpy_stub_unbind(int slot);
/* Nobody is in it any more: it may be taken again. Under the GIL. */
void kpy_stub_put(int slot);
/* Two entrances of each slot: one for calls, and one with all registers, at any instruction. */
extern const char kpy_stubs[], kpy_reg_stubs[];
static inline unsigned long kpy_stub_address(int slot)
{
	return (unsigned long)kpy_stubs + slot * KPY_STUB_SIZE;
}
static inline unsigned long kpy_reg_stub_address(int slot)
{
	return (unsigned long)kpy_reg_stubs + slot * KPY_STUB_SIZE;
}
/* How many are free. Under the GIL. */
unsigned int kpy_stubs_free(void);
void kpy_stubs_init(void);
#endif
