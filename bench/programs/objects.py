# SPDX-License-Identifier: GPL-2.0-or-later
"""Instances, methods, attributes, lists of them."""


class Point:
    """A point."""

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def add(self, other):
        """Return the sum."""
        return Point(self.x + other.x, self.y + other.y)


class Shifted(Point):
    """A point that inherits."""

    def __add__(self, other):
        return self.add(other)


def run():
    """Make many objects."""
    points = []
    step = Point(1, 2)
    at = Shifted(0, 0)
    for _ in range(8000):
        moved = at + step
        at = Shifted(moved.x, moved.y)
        points.append(moved)
    return sum([p.x for p in points])
