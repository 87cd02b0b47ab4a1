# SPDX-License-Identifier: GPL-2.0-or-later
"""Shortens names: bytes that no identifier has stand for the words of a dictionary.

The words come from joining the most frequent pair of bytes into one, again and again; bytes
that stand for words take part in later pairs. Which pairs are frequent, a sample of the names
tells as well as all of them, and counting is what takes time.
"""

from __future__ import annotations

import sys
from collections import Counter

from struct_layout.table_format import PLAIN, WORD_BYTES, WORD_ESCAPE, WORD_NUMBERS, WORDS_MAX

_SAMPLE = 150_000  # bytes of names, beyond which not all are counted
_AT_ONCE = 16  # pairs joined per count
_WORTH = 6  # uses at even places, of which there are half, that make a word pay
_LONGEST = 100  # bytes of a word, after which no more are made
_END = WORD_ESCAPE  # between the names while they are searched for pairs


def shorten(names: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the names with pairs replaced by bytes, and the pairs."""
    plain = [name if PLAIN.issuperset(name) else b"" for name in names]
    end = bytes([_END])
    text = end.join(plain)
    sample = end.join(plain[:: 1 + len(text) // _SAMPLE])
    pairs: list[bytes] = []
    lengths: list[int] = []
    while len(pairs) < WORDS_MAX:
        chosen = _pairs(sample, WORDS_MAX - len(pairs))
        for pair in chosen:
            sample = sample.replace(pair, WORD_BYTES[len(pairs) : len(pairs) + 1])
            pairs.append(pair)
            lengths.append(
                sum(1 if byte in PLAIN else lengths[WORD_NUMBERS[byte]] for byte in pair)
            )
        if not chosen or max(lengths) > _LONGEST:
            break
    for number, pair in enumerate(pairs):
        text = text.replace(pair, WORD_BYTES[number : number + 1])
    codes = [
        code if whole is short else _escaped(whole)
        for whole, short, code in zip(names, plain, text.split(end))
    ]
    return codes, pairs


def _pairs(text: bytes, room: int) -> list[bytes]:
    """Return the most frequent pairs, none of which takes a byte from another."""
    # As numbers, they are counted faster than as pairs.
    counts = Counter(memoryview(text[: len(text) & ~1]).cast("H"))
    often = [
        (-count, *word.to_bytes(2, sys.byteorder))
        for word, count in counts.items()
        if count >= _WORTH
    ]
    chosen: list[bytes] = []
    first, second = set(), set()
    for _, a, b in sorted(often):
        if len(chosen) == min(_AT_ONCE, room):
            break
        if a not in second and b not in first and a != b and _END not in (a, b):
            chosen.append(bytes((a, b)))
            first.add(a)
            second.add(b)
    return chosen


def _escaped(name: bytes) -> bytes:
    return b"".join(bytes([byte]) if byte in PLAIN else bytes([WORD_ESCAPE, byte]) for byte in name)
