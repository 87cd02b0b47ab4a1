# SPDX-License-Identifier: GPL-2.0-or-later
"""Make and run the guest: its kernel, its initramfs, QEMU, and the ways to talk to it."""
