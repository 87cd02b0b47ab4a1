# SPDX-License-Identifier: GPL-2.0-or-later
"""The GDB extension: sees and uses the Python that runs inside the kernel.

``core`` decodes bytes, ``target`` talks to GDB and the guest, ``commands`` parses and prints.
Imports go one way only: commands -> target -> core.
"""
