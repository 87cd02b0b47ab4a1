# SPDX-License-Identifier: GPL-2.0-or-later
"""While loop and small integers."""


def run():
    """Add up."""
    i = total = 0
    while i < 150000:
        if i & 3:
            total += i * 2
        else:
            total -= i
        i += 1
    for j in range(100000):
        total ^= j
    return total
