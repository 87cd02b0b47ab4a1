/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layout table that struct_layout/ made for this kernel, and its fingerprints, in rodata. */
#pragma once
#include <linux/types.h>

extern const u8 kpy_layout_table[], kpy_layout_table_end[];
extern const u8 kpy_layout_prints[], kpy_layout_prints_end[];
