/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structs that a debugger has pushed: known to debug information alone, written into memory
 * of ours as BTF that goes on that of vmlinux. A push is never overwritten, so that types in
 * use stay what they are; popping one only hides its names.
 */
#pragma once
#include "structs/btf.h"

#define KPY_PUSHES 64
#define KPY_PUSHED_BYTES (192 << 10)
/* Of one push: its types can be counted without giving others their turn. */
#define KPY_PUSHED_MOST (32 << 10)

/* Written by a debugger while the guest stands still, `n` last. */
struct kpy_pushed {
	u32 n;
	struct kpy_push {
		u32 at, size; /* within data; at is a multiple of 8 */
		u32 first_id; /* of its types: those of its base are below */
		u32 shown;
	} pushes[KPY_PUSHES];
	u8 data[KPY_PUSHED_BYTES] __aligned(8);
};
extern struct kpy_pushed kpy_pushed;

/* The type of that name and kind that was pushed last; no source: there is none. Under the GIL. */
struct kpy_ctype kpy_pushed_find(enum kpy_ckind kind, const char *name);
bool kpy_is_pushed(struct kpy_ctype t);
