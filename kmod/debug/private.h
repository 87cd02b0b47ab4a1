/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects that the files which make them keep to themselves, as a debugger must know them.
 * tests/gdb/test_object_layouts.py compares each with the debug info of the real one.
 */
#pragma once
#include <linux/stddef.h>
#include "py/bc.h"
#include "ffi/hook.h"
#include "ffi/buffer_memory.h"
#include "structs/ctype.h"

struct private_range {
	mp_obj_base_t base;
	mp_int_t start, stop, step;
};

struct private_set {
	mp_obj_base_t base;
	mp_set_t set;
};

struct private_deque {
	mp_obj_base_t base;
	size_t alloc, i_get, i_put;
	mp_obj_t *items;
};

struct private_bound_meth {
	mp_obj_base_t base;
	mp_obj_t meth, self;
};

struct private_closure {
	mp_obj_base_t base;
	mp_obj_t fun;
	size_t n_closed;
	mp_obj_t closed[];
};

struct private_gen_instance {
	mp_obj_base_t base;
	mp_obj_t pend_exc;
	mp_code_state_t code_state;
};

struct private_singleton {
	mp_obj_base_t base;
	qstr name;
};

struct private_property {
	mp_obj_base_t base;
	mp_obj_t proxy[3];
};

struct private_super {
	mp_obj_base_t base;
	mp_obj_t type, obj;
};

struct private_dict_view {
	mp_obj_base_t base;
	mp_obj_t dict;
	int kind;
};

struct private_enum_value {
	mp_obj_base_t base;
	struct kpy_ctype type;
	long value;
};

struct private_hook_object {
	mp_obj_base_t base;
	struct kpy_hook *hook;
};

struct private_buffer {
	mp_obj_base_t base;
	struct kpy_buffer *memory;
};

struct private_original {
	mp_obj_base_t base;
	unsigned long hook, target;
	char name[sizeof_field(struct kpy_hook, target)];
};

struct private_registers {
	mp_obj_base_t base;
	struct pt_regs *regs;
};

struct private_file {
	mp_obj_base_t base;
	mp_obj_t name;
	void *handle;
};

struct private_stdio {
	mp_obj_base_t base;
	int fd;
};

struct private_match {
	mp_obj_base_t base;
	int num_matches;
};

struct private_uctypes {
	mp_obj_base_t base;
	mp_obj_t desc;
	byte *addr;
};

struct private_var {
	mp_obj_base_t base;
	mp_obj_t symbol;
	mp_int_t cpu;
};

struct private_memory {
	mp_obj_base_t base;
	size_t size;
};

/* What a KernelFault's args are. */
enum { PRIVATE_FAULT_TEXT = 1, PRIVATE_FAULT_ARGS = 7 };

/* Types that no header declares. */
extern const mp_obj_type_t mp_type_closure, mp_type_singleton;
extern const mp_obj_type_t kpy_type_stdio_text, kpy_type_stdio_binary;
extern const mp_obj_type_t kpy_type_fileio, kpy_type_textio;
