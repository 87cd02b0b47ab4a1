/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table is a file here. */
#pragma once
#include <linux/types.h>

extern const u8 *kpy_layout_table, *kpy_layout_table_end;
