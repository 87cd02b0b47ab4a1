// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Upstream's line editor keeps its state in one static struct called rl. Sessions need
 * one each: here the name becomes a pointer, set before a session's input is processed.
 */
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include "py/mpstate.h"
#include "py/repl.h"
#include "py/mphal.h"
#include "shared/readline/readline.h"

#ifdef NO_QSTR
#include "shared/readline/readline.c"
#else
#define rl (*kpy_readline)
#include "shared/readline/readline.c"
#undef rl

const size_t kpy_readline_size = sizeof(*kpy_readline);

void kpy_readline_select(void *state);
void kpy_readline_select(void *state)
{
	kpy_readline = state;
}
#endif
