# SPDX-License-Identifier: GPL-2.0-or-later
"""The stopped guest behind GDB: packets, registers, memory, symbols, calls into it."""
