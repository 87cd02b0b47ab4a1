/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/linkage.h>

	.section .rodata, "a"
	.balign 16
SYM_DATA_START(kpy_layout_table)
	.incbin KPY_LAYOUT_TABLE
SYM_DATA_END_LABEL(kpy_layout_table, SYM_L_GLOBAL, kpy_layout_table_end)

	.balign 16
SYM_DATA_START(kpy_layout_prints)
	.incbin KPY_LAYOUT_PRINTS
SYM_DATA_END_LABEL(kpy_layout_prints, SYM_L_GLOBAL, kpy_layout_prints_end)
