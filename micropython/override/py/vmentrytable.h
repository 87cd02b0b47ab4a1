/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NO_QSTR
/*
 * objtool accepts the VM's computed goto when its table lies in the section of jump
 * tables, whose name is the kernel's to know: it moved in commit c5b1184decc8 (v6.14).
 */
#include <linux/compiler.h>
#define entry_table __annotate_jump_table entry_table
#include_next "py/vmentrytable.h"
#undef entry_table
#endif
