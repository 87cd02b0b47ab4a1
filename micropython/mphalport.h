/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "py/mpconfig.h"

void mp_hal_set_interrupt_char(int c);
