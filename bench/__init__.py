# SPDX-License-Identifier: GPL-2.0-or-later
"""Measurements: each compares two sides in one run, since only ratios hold on a busy machine."""
