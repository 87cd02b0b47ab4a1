# SPDX-License-Identifier: GPL-2.0-or-later
"""Integers beyond one word."""


def run():
    """Addresses, masks, and a factorial."""
    total = 0
    base = 0xFFFF888000000000
    for i in range(15000):
        address = base + i * 64
        total ^= (address >> 12) & 0xFFFFFFFFFF
        total += address & 0xFFF
    product = 1
    for i in range(1, 300):
        product *= i
    return total, len(str(product)), pow(3, 1000, 10**30)
