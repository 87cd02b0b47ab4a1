# SPDX-License-Identifier: GPL-2.0-or-later
"""The port of MicroPython to the kernel; its one Python module gets the upstream sources."""
