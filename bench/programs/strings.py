# SPDX-License-Identifier: GPL-2.0-or-later
"""Strings: formatting, joining, splitting, searching."""


def run():
    """Do what scripts do with text."""
    total = 0
    for i in range(2500):
        line = "pid=%d comm=%s state=%x" % (i, "worker", i * 3)  # noqa: UP031
        fields = dict(part.split("=") for part in line.split(" "))
        total += int(fields["pid"])
        text = ",".join([fields["comm"].upper(), "{:>8}".format(i), str(i)])  # noqa: UP032
        total += text.find("8") + len(text.replace("o", "00"))
        if text.startswith("WORK") and text[-1] == "7":
            total += 1
    return total
