# SPDX-License-Identifier: GPL-2.0-or-later
"""Dictionaries with keys that are numbers and strings."""


def run():
    """Fill, look up, count, delete."""
    d = {}
    for i in range(3000):
        d[i * 7] = i
    total = 0
    for _ in range(4):
        for i in range(3000):
            total += d[i * 7]
    words = {}
    for i in range(12000):
        key = "word%d" % (i % 97)  # noqa: UP031
        words[key] = words.get(key, 0) + 1
    for i in range(0, 3000, 2):
        del d[i * 7]
    return total, len(d), sum(words.values())
