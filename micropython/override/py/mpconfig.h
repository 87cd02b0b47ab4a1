/* SPDX-License-Identifier: GPL-2.0-or-later */
#include_next "py/mpconfig.h"

/* Upstream writes __attribute__((fallthrough)), but the kernel makes that word a macro. */
#undef MP_FALLTHROUGH
#define MP_FALLTHROUGH __attribute__((__fallthrough__));
