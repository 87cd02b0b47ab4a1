/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of structs, for the line editor. */
#pragma once
#include "py/obj.h"

/*
 * When the line ends with a path of members from a global that is a StructPtr: true, and *result is
 * as of mp_repl_autocomplete(). Under the GIL; reads no kernel memory.
 */
bool kpy_complete_member(const char *line, size_t n, const mp_print_t *print, const char **add,
			 size_t *result);
