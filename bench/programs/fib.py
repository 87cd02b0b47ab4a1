# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of Python functions."""


def fib(n):
    """Return the nth Fibonacci number."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def run():
    """Recurse."""
    return fib(20)
