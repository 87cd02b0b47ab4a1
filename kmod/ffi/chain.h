/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several hooks of one function or instruction: the newest gets what comes; where it goes on,
 * and its original, is the next one.
 */
#pragma once
#include <linux/hash.h>
#include <linux/rculist.h>
#include "ffi/hook.h"
#include "ffi/stub.h"

#define KPY_CHAIN_BITS 9

/* The newest hooks by their site; changed under the GIL, read under RCU. */
extern struct hlist_head kpy_chains[1 << KPY_CHAIN_BITS];

static __always_inline struct hlist_head *kpy_chain_bucket(unsigned long site)
{
	return &kpy_chains[hash_long(site, KPY_CHAIN_BITS)];
}

static __always_inline struct kpy_hook *kpy_chain_top(unsigned long site)
{
	struct kpy_hook *h;

	hlist_for_each_entry_rcu(h, kpy_chain_bucket(site), chain_node,
				 true) if (h->site == site) return h;
	return NULL;
}

/* The address to send to it what comes to its site. */
static __always_inline unsigned long kpy_chain_entrance(const struct kpy_hook *h)
{
	return h->kind->wants_regs || h->by_probe ? kpy_reg_stub_address(h->slot)
						  : kpy_stub_address(h->slot);
}

/* What comes to the site of h, which is on top, goes on unhooked: no hook there sees it. */
static __always_inline void kpy_chain_missed(struct kpy_hook *h, enum kpy_miss why)
{
	for (; h; h = READ_ONCE(h->below))
		kpy_hook_count_miss(h, why);
}

/* Puts h on top; the hook that was there, or NULL. Under the arming lock, as all below. */
struct kpy_hook *kpy_chain_push(struct kpy_hook *h);
void kpy_chain_drop(struct kpy_hook *h);
/* Has the site no other hook? */
bool kpy_chain_is_last(struct kpy_hook *h);
