/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GCC's internal headers, and what differs between GCC 10 and 14.
 *
 * The standard library comes first: GCC's system.h poisons names that it uses.
 */
#ifndef KPY_GCC_COMPAT_H
#define KPY_GCC_COMPAT_H

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gcc-plugin.h"
/* Defines a variable that only one of our files uses. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "plugin-version.h"
#pragma GCC diagnostic pop

#include "tree.h"
#include "diagnostic.h"
#include "langhooks.h"
#include "stor-layout.h"
#include "toplev.h"
#include "tree-pass.h"

#if GCCPLUGIN_VERSION_MAJOR < 10
#error "the kpy layout plugin needs GCC 10 or newer"
#endif

/* f(...) without a named parameter came with C23 in GCC 13. */
#if GCCPLUGIN_VERSION_MAJOR < 13
#define KPY_NO_NAMED_ARGS_STDARG_P(t) false
#else
#define KPY_NO_NAMED_ARGS_STDARG_P(t) TYPE_NO_NAMED_ARGS_STDARG_P(t)
#endif

/* _BitInt(N) came with GCC 14; before, no tree has that code. */
static inline bool kpy_is_bitint(const_tree type)
{
#if GCCPLUGIN_VERSION_MAJOR >= 14
	return TREE_CODE(type) == BITINT_TYPE;
#else
	(void)type;
	return false;
#endif
}

#endif /* KPY_GCC_COMPAT_H */
