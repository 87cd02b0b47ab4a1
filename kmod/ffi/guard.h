/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guarded calls: a fault of the callee makes the call return instead of the kernel oops.
 * See kmod/ffi/guard.c; docs/faults.md tells what cannot be guarded.
 */
#pragma once
#include "py/obj.h"

#define KPY_CALL_ARGS_MAX 12

#ifndef NO_QSTR
#include <linux/types.h>
#include "entry.h"

enum kpy_fault_kind {
	KPY_FAULT_NULL, /* an access near address 0 */
	KPY_FAULT_PAGE, /* an access to a bad address */
	KPY_FAULT_USER, /* an access to memory of a process that the kernel must not make */
	KPY_FAULT_EXEC, /* a jump to what is not code */
	KPY_FAULT_GP, /* general protection: a non-canonical address, a privileged register */
	KPY_FAULT_BUG, /* BUG() */
	KPY_FAULT_OPCODE,
	KPY_FAULT_DIVIDE,
	KPY_FAULT_STACK, /* overflow */
	KPY_FAULT_OTHER,
};

#define KPY_FAULT_TRACE 24
#define KPY_FAULT_TEXT 2048

/* What is known of a fault: filled in where it happens, turned into words outside the GIL. */
struct kpy_fault {
	enum kpy_fault_kind kind;
	const char *what; /* in place of what the kind says, or NULL */
	bool has_address, write;
	unsigned long address, ip;
	unsigned int n_trace; /* of trace[]: from the fault to the call */
	bool cut; /* there are more */
	unsigned long trace[KPY_FAULT_TRACE];
	/* Texts, each with its NUL: what happened, what is locked, one for each of trace[]. */
	char text[KPY_FAULT_TEXT];
};

/*
 * Calls target with n <= KPY_CALL_ARGS_MAX words; words[] has room for 6, or for all when n > 6.
 * Not under the GIL. False: it faulted, and the task's state is what it was before;
 * take the GIL and call kpy_raise_kernel_fault().
 */
bool kpy_guarded_call(struct kpy_entry *e, unsigned long target, size_t n,
		      const unsigned long *words, unsigned long *result);

extern bool kpy_guard_on;
int kpy_guard_init(void);
void kpy_guard_exit(void);

void kpy_fault_put(struct kpy_fault *f);
#endif

/* Raises KernelFault for e->fault, the call being name(args). Under the GIL. */
void kpy_raise_kernel_fault(struct kpy_entry *e, mp_obj_t name, size_t n, const mp_obj_t *args);
extern const mp_obj_type_t kpy_type_KernelFault;
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_guard_obj);
