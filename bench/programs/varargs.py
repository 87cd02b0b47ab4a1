# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls with *args, while the heap is full of holes too small for a tuple of three."""

pairs = []


def pack(*args):
    """Return a tuple."""
    return args


def run():
    """Make tuples of two blocks."""
    if not pairs:
        pairs.extend([(i, i) for i in range(60000)])
        pairs[:] = pairs[::2]
    total = 0
    for i in range(2000):
        total += len(pack(i, i, i))
    return total
