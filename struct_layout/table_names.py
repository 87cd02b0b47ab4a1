# SPDX-License-Identifier: GPL-2.0-or-later
"""The names in a layout table: sorted, in blocks, shortened by the words of a dictionary."""

from __future__ import annotations

import struct

from struct_layout.table_format import (
    BLOCK,
    N_LENGTH_SHIFT,
    N_LONG,
    PLAIN,
    WORD_BYTES,
    WORD_ESCAPE,
    WORD_NUMBERS,
    LayoutTableError,
    read_number,
)

_MAX_WORD = 255  # bytes of a dictionary's word
_FEW = 400  # blocks that are read one by one, before all are


class Dictionary:
    """What the bytes of shortened names stand for; `pairs` has two bytes for each word."""

    def __init__(self, pairs: bytes) -> None:
        self._words: list[bytes] = []
        for at in range(0, len(pairs), 2):
            word = self._expanded(pairs[at : at + 2], escapes=False)
            if len(word) > _MAX_WORD:
                raise LayoutTableError("layout table with a word that is too long")
            self._words.append(word)
        #: By byte, but for those that take another look: `expand` does.
        self.parts = {byte: bytes([byte]) for byte in PLAIN}
        self.parts.update(zip(WORD_BYTES, self._words))

    def expand(self, code: bytes) -> bytes:
        """Return the text that a code stands for; raises LayoutTableError for unknown words."""
        return self._expanded(code, escapes=True)

    def _expanded(self, code: bytes, escapes: bool) -> bytes:
        out = bytearray()
        at = 0
        while at < len(code):
            byte = code[at]
            if byte in PLAIN:
                out.append(byte)
            elif byte == WORD_ESCAPE and escapes:
                at += 1
                out += code[at : at + 1]
            else:
                number = WORD_NUMBERS.get(byte, len(self._words))
                if number >= len(self._words):
                    raise LayoutTableError(f"layout table refers to word {number}")
                out += self._words[number]
            at += 1
        return bytes(out)


class Names:
    """The names by number, from 1; 0 is no name.

    `shared` names come first that have several uses, sorted, then the others, sorted.
    """

    def __init__(self, text: bytes, index: bytes, shared: int, words: Dictionary) -> None:
        self._text = text
        self._places = struct.unpack(f"<{len(index) // 4}I", index)  # of blocks in the text
        self._shared = shared
        self._words = words
        self._all: list[bytes] = []
        self._blocks: dict[int, list[bytes]] = {}

    def name(self, number: int) -> bytes:
        """Return the name of a number, b"" for 0."""
        if not number:
            return b""
        names, place = self._all, number
        if not names:
            block, place = divmod(number - 1, BLOCK)
            names = self._block(block)
        if place >= len(names):
            raise LayoutTableError(f"layout table refers to name {number}")
        return names[place]

    def all(self) -> list[bytes]:
        """Return the names by number; b"" is the first."""
        if not self._all:
            found = [b""]
            for block in range(len(self._places)):
                if len(found) % BLOCK != 1:
                    raise LayoutTableError("layout table with a wrong index of names")
                found += self._read_block(block)
            if self._text and not self._places:
                raise LayoutTableError("layout table with a wrong index of names")
            self._all = found
        return self._all

    def number(self, name: str) -> int:
        """Return the number of a name, 0 when there is none."""
        wanted = name.encode()
        middle = self._shared // BLOCK
        for first, end in ((0, middle), (middle, len(self._places))):
            low, high = first, end
            while low < high:
                block = (low + high) // 2
                if self._block(block)[0] <= wanted:
                    low = block + 1
                else:
                    high = block
            if low > first and wanted in self._block(low - 1):
                return 1 + (low - 1) * BLOCK + self._block(low - 1).index(wanted)
        return 0

    def _block(self, block: int) -> list[bytes]:
        if self._all:
            return self._all[1 + block * BLOCK : 1 + (block + 1) * BLOCK]
        names = self._blocks.get(block)
        if names is None:
            if len(self._blocks) == _FEW:
                self.all()
                self._blocks.clear()
                return self._block(block)
            names = self._blocks[block] = self._read_block(block)
        return names

    def _read_block(self, block: int) -> list[bytes]:
        places, size = self._places, len(self._text)
        at = places[block] if block < len(places) else size
        end = places[block + 1] if block + 1 < len(places) else size
        if (not block and at) or not at < end <= size:
            raise LayoutTableError("layout table with a wrong index of names")
        return self._read(at, end)

    def _read(self, at: int, end: int) -> list[bytes]:
        # There are 70,000 names: what can be is done here, in one go.
        data, part, join = self._text, self._words.parts.__getitem__, b"".join
        name = b""
        names = []
        try:
            while at < end:
                head = data[at]
                at += 1
                prefix = head & N_LONG
                if prefix == N_LONG:
                    prefix, at = read_number(data, at)
                    length, at = read_number(data, at)
                else:
                    length = (head >> N_LENGTH_SHIFT) + 1
                code = data[at : at + length]
                at += length
                try:
                    name = name[:prefix] + join(map(part, code))
                except KeyError:
                    name = name[:prefix] + self._words.expand(code)
                names.append(name)
        except IndexError:
            at = end + 1
        if at > end:
            raise LayoutTableError("layout table with a name that is cut")
        if len(names) > BLOCK:
            raise LayoutTableError("layout table with a wrong index of names")
        return names
