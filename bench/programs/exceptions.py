# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions: raised, caught, passed on, and try that does not raise."""


def risky(i):
    """Raise now and then."""
    if i % 4 == 0:
        raise ValueError(i)
    try:
        return {1: 2}[i % 4]
    except KeyError:
        return 0


def run():
    """Count what was caught."""
    caught = total = 0
    for i in range(12000):
        try:
            total += risky(i)
        except ValueError as error:
            caught += error.args[0] & 1
        finally:
            total += 1
    return caught, total
