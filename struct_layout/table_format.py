# SPDX-License-Identifier: GPL-2.0-or-later
"""The format of layout tables, which `table.py` reads and `table_writer.py` writes.

It is documented, byte by byte, in docs/layout-table.md; in short:

- a header: magic "KPYLAYT2", version, total size, CRC-32, identity (kernel release, compiler,
  SHA-256 of the header set), and where the sections are;
- *types*, each a few bytes long, numbered from 0 with the most used first, and a block index
  with the place of every 16th;
- *bodies*: the members of records and the constants of enums, one after the other;
- an index of type names and the declarations, both sorted by name;
- the names, sorted, those with several uses first, each without what it shares with the one
  before, and shortened by words.
"""

from __future__ import annotations

import struct
import zlib
from typing import Union

from struct_layout.model import LayoutError

MAGIC = b"KPYLAYT2"
VERSION = 2

# magic, version, header size, total size, CRC-32, flags, sections, digest, release, compiler
HEADER = struct.Struct("<8sIIIIII32sIIII")
CRC_AT = 20
SECTION = struct.Struct("<II")
FLAG_BIG_ENDIAN = 1
POINTER_SHIFT = 8

# The sections in their order, and the size of an entry of each.
NAMES, BLOCKS, TYPES, BODIES, DECLS, TEXT_BLOCKS, TEXT, PAIRS = range(8)
ENTRY_SIZES = (3, 8, 1, 1, 8, 4, 1, 2)
HEADER_SIZE = HEADER.size + len(ENTRY_SIZES) * SECTION.size
BLOCK = 16  # types, or names, per entry of the block index

# Kinds of types: the low four bits of an entry's first byte; the flags are above.
(
    T_VOID,
    T_BASE,
    T_STRUCT,
    T_UNION,
    T_ENUM,
    T_TYPEDEF,
    T_POINTER,
    T_ARRAY,
    T_FUNCTION,
    T_QUALIFIED,
    T_SPACE,
    T_VECTOR,
    T_COMPLEX,
    T_OPAQUE,
    T_VARIABLE,
) = range(15)
KIND = 15
FLAG_SHIFT = 4
QUALS = "cvra"  # the flags of T_QUALIFIED, from the lowest
ENCODINGS = ("unsigned", "signed", "bool", "float")  # the flags of T_BASE
F_VARIADIC, F_UNPROTOTYPED = 1, 2  # the flags of T_FUNCTION
# The info number of records: log2 of the alignment in the low 6 bits, then flags.
R_PACKED, R_INCOMPLETE, R_LOCAL, R_REVERSE, R_TRANSPARENT, R_OPAQUE = (1 << n for n in range(6, 12))
# The same of enums.
E_SIGNED, E_INCOMPLETE, E_LOCAL = (1 << n for n in range(6, 9))
ALIGN = 63
NO_SIZE = 0xFFFFFFFF  # too large for a table

# A member's first byte: flags, and how far it is from the one before.
M_TYPE, M_NAME, M_BITS = 1, 2, 4  # a type other than the one before has; a name; a bitfield
M_STEP_SHIFT = 3
# Distances in bits that a step stands for; 0: written out, 31: the width of the bitfield before.
STEPS = (
    None, 0, 8, 16, 32, 64, 128, 192, 256, 320, 384, 448, 512, 24, 48, 96, 40, 56, 80, 160, 224,
    288, 640, 1024, 2048, 768, 1, 2, 4, 12, 144,
)  # fmt: skip
STEP_WIDTH = 31

# A constant's first byte: how its value and its name differ from those before.
C_VALUE, C_PREFIX = 1, 2
C_LENGTH_SHIFT = 2
C_LONG = 63  # the length is written out
# A name's first byte: what it shares with the one before, and how long its code is, less 1.
N_LENGTH_SHIFT = 5
N_LENGTHS = 8
N_LONG = 31  # both are written out
# In names, bytes that no C identifier has stand for words: pairs of bytes, words in turn perhaps.
WORD_ESCAPE = 0xFF  # the next byte stands for itself
PLAIN = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
WORD_BYTES = bytes(byte for byte in range(WORD_ESCAPE) if byte not in PLAIN)
WORDS_MAX = len(WORD_BYTES)
WORD_NUMBERS = {byte: number for number, byte in enumerate(WORD_BYTES)}

# Flags over the name of declarations.
D_STATIC, D_INLINE, D_NORETURN, D_PERCPU = (1 << n for n in range(31, 27, -1))
D_NAME = (1 << 28) - 1

Buffer = Union[bytes, bytearray, memoryview]


class LayoutTableError(LayoutError):
    """The data is not a layout table that this version can read."""


def checksum(data: Buffer) -> int:
    """Return the CRC-32 of a table, its own field counted as zero."""
    view = memoryview(data)
    crc = zlib.crc32(view[:CRC_AT])
    return zlib.crc32(view[CRC_AT + 4 :], zlib.crc32(bytes(4), crc))


def unzigzag(number: int) -> int:
    """Return the signed number that an unsigned one stands for."""
    return number >> 1 ^ -(number & 1)


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place and where it ends; `IndexError` beyond the end of data."""
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise LayoutTableError("layout table with a number of more than 64 bits")
