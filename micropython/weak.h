/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Included before upstream files with functions that micropython/strings.c replaces. */
#pragma once
#pragma weak qstr_compute_hash
