// SPDX-License-Identifier: GPL-2.0-or-later
#include "entry.h"
#include "ffi/chain.h"

struct hlist_head kpy_chains[1 << KPY_CHAIN_BITS];

struct kpy_hook *kpy_chain_push(struct kpy_hook *h)
{
	unsigned long flags = kpy_gil_lock_raw();

	h->below = kpy_chain_top(h->site);
	if (h->below) {
		h->original = kpy_chain_entrance(h->below);
		hlist_replace_rcu(&h->below->chain_node, &h->chain_node);
		INIT_HLIST_NODE(&h->below->chain_node);
	} else {
		hlist_add_head_rcu(&h->chain_node, kpy_chain_bucket(h->site));
	}
	kpy_gil_unlock_raw(flags);
	return h->below;
}

void kpy_chain_drop(struct kpy_hook *h)
{
	unsigned long flags = kpy_gil_lock_raw();
	struct kpy_hook *above = kpy_chain_top(h->site);

	if (above != h) {
		while (above->below != h)
			above = above->below;
		WRITE_ONCE(above->below, h->below);
		WRITE_ONCE(above->original, h->original);
	} else if (h->below) {
		hlist_replace_rcu(&h->chain_node, &h->below->chain_node);
		INIT_HLIST_NODE(&h->chain_node);
	} else {
		hlist_del_init_rcu(&h->chain_node);
	}
	kpy_gil_unlock_raw(flags);
}

bool kpy_chain_is_last(struct kpy_hook *h)
{
	return kpy_chain_top(h->site) == h && !h->below;
}
