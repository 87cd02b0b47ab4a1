/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names that no MP_QSTR_ in the sources mentions: none. */
