/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for a Tab, in columns. */
#pragma once
#include "py/obj.h"

/* *column is where the line stands, at first 0. */
void kpy_print_column(const mp_print_t *print, const char *name, int *column);
