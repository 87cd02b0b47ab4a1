/* SPDX-License-Identifier: GPL-2.0-or-later */
/* objtool accepts the VM's computed goto when its table lies in this section. */
#define entry_table __attribute__((__section__(".rodata..c_jump_table"))) entry_table
#include_next "py/vmentrytable.h"
#undef entry_table
