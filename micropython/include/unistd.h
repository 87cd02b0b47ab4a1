/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <linux/types.h>

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
