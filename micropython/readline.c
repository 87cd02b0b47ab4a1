// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Upstream's line editor keeps its state in one static struct called rl. Sessions need
 * one each, and another session may run whenever the GIL is given up within: here every
 * use of the name asks for the state of the entry that runs.
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
#include "entry.h"

size_t kpy_autocomplete(const char *line, size_t n, const mp_print_t *print, const char **add);

/* "static readline_t rl;" becomes the declaration of a function. */
#define rl (*line_editor())
#define mp_repl_autocomplete kpy_autocomplete /* kmod/ffi/listing.c */
#include "shared/readline/readline.c"
#undef rl

const size_t kpy_readline_size = sizeof(readline_t);

static readline_t *line_editor()
{
	return kpy_current->readline;
}
#endif
