/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a debugger must know of this module, as a table of names and numbers that it
 * finds through the kernel's export table of the module and reads in one piece.
 * Decoders take addresses, offsets and configuration from here and assume nothing.
 */
#pragma once
#include <linux/types.h>

#define KPY_DEBUG_ABI 1

struct kpy_debug_field {
	char name[48];
	u64 value;
};

struct kpy_debug_info {
	char magic[8]; /* "KPYDEBUG" */
	u32 abi;
	u32 n_fields;
	u32 field_size;
	u32 reserved;
	char version[16]; /* of kpy */
	char release[64]; /* of the kernel that the module was built for */
	struct kpy_debug_field fields[];
};

/* Counters that the module keeps for a reader outside. */
struct kpy_debug_state {
	u64 entries; /* ways into Python that were taken */
	u64 gc_count; /* collections */
	u64 heap_size; /* bytes */
	u64 sessions; /* REPL sessions that are open */
};

extern struct kpy_debug_state kpy_debug_state;
extern const struct kpy_debug_info kpy_debug_info;
