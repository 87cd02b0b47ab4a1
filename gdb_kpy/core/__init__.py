# SPDX-License-Identifier: GPL-2.0-or-later
"""Pure decoders over ``read(address, size) -> bytes``; nothing here knows GDB."""
