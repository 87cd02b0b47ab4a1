# SPDX-License-Identifier: GPL-2.0-or-later
"""What is needed of ELF files: build-ids, and the DWARF sections without reading the whole file."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Union

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection, SymbolTableSection

from struct_layout.model import LayoutError

Buffer = Union[bytes, memoryview]


class Sections(NamedTuple):
    """The DWARF sections that describe types."""

    info: Buffer
    abbrev: bytes
    str: bytes
    line_str: bytes
    str_offsets: bytes
    big_endian: bool


@contextlib.contextmanager
def _elf(path: Path) -> Iterator[ELFFile]:
    """Open an ELF file; whatever is wrong with it becomes one line."""
    try:
        with path.open("rb") as file:
            yield ELFFile(file)
    except OSError as error:
        raise LayoutError(f"cannot read {path}: {error.strerror or error}") from None
    # pyelftools lets plain Python errors through when offsets point nowhere.
    except (
        ELFError, ConstructError, ValueError, KeyError, IndexError, AttributeError,
        AssertionError, OverflowError, TypeError, MemoryError, UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise LayoutError(
            f"{path} is not a sound ELF file ({error or type(error).__name__})"
        ) from None


def _build_id(elf: ELFFile) -> str | None:
    for section in elf.iter_sections("SHT_NOTE"):
        if not isinstance(section, NoteSection):
            continue
        for note in section.iter_notes():
            # vmlinux keeps Xen's notes, with the same numbers, in the same section.
            if note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_BUILD_ID":
                return str(note["n_desc"])
    return None


def elf_build_id(path: str | Path) -> str | None:
    """Return the GNU build-id of an ELF file in hex, None when it has none."""
    with _elf(Path(path)) as elf:
        return _build_id(elf)


def section_bytes(path: Path, name: str) -> bytes | None:
    """Return what is in a section, None when there is no such section or nothing in it."""
    with _elf(path) as elf:
        section = elf.get_section_by_name(name)
        if section is None or section["sh_type"] == "SHT_NOBITS":
            return None
        data = bytes(section.data())
        if len(data) < section.data_size:
            raise LayoutError(f"{path} is cut: {name} ends beyond the end of the file")
        return data


def load_segments(path: Path) -> list[tuple[int, int, int]]:
    """Return (address, size, offset in the file) of the memory that a core has."""
    with _elf(path) as elf:
        return [
            (segment["p_vaddr"], segment["p_filesz"], segment["p_offset"])
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_filesz"]
        ]


def elf_table(path: Path, symbol: str) -> bytes:
    """Return the layout table that a module carries: the object called `symbol`."""
    with _elf(path) as elf:
        names = elf.get_section_by_name(".symtab")
        if isinstance(names, SymbolTableSection):
            for found in names.get_symbol_by_name(symbol) or ():
                if not isinstance(found["st_shndx"], int):
                    continue
                section = elf.get_section(found["st_shndx"])
                start = found["st_value"] - section["sh_addr"]
                # The header says the total size; the symbol of .incbin'ed bytes may have none.
                data = bytes(section.data()[start:])
                return data[: int.from_bytes(data[16:20], "little")]
    raise LayoutError(
        f"{path} carries no layout table (no symbol {symbol}): give kpy.ko or a table"
    )


def describes(path: Path, symbol: str) -> str:
    """Say by what an ELF file describes types: "table" (the object `symbol`), "dwarf" or "btf"."""
    with _elf(path) as elf:
        names = elf.get_section_by_name(".symtab")
        if isinstance(names, SymbolTableSection) and elf["e_type"] == "ET_REL":
            for found in names.get_symbol_by_name(symbol) or ():
                if isinstance(found["st_shndx"], int):
                    return "table"
        for kind, sections in (("dwarf", (".debug_info", ".zdebug_info")), ("btf", (".BTF",))):
            for name in sections:
                section = elf.get_section_by_name(name)
                if section is not None and section["sh_type"] != "SHT_NOBITS":
                    return kind
    raise LayoutError(f"{path} has neither a layout table nor DWARF nor BTF: nothing to compare")


_R_X86_64_64, _R_X86_64_32 = 1, 10


def _relocated(elf: ELFFile, name: str, data: bytes) -> bytes:
    """Apply the relocations of a DWARF section that say where in others something is."""
    section = elf.get_section_by_name(f".rela{name}")
    symbols = elf.get_section_by_name(".symtab")
    if section is None or symbols is None or not data:
        return data
    raw = symbols.data()
    values = [value for (value,) in struct.iter_unpack("<8xQ8x", raw[: len(raw) // 24 * 24])]
    patched = bytearray(data)
    rela = section.data()
    for at, info, addend in struct.iter_unpack("<QQq", rela[: len(rela) // 24 * 24]):
        kind, symbol = info & 0xFFFFFFFF, info >> 32
        width = 4 if kind == _R_X86_64_32 else 8 if kind == _R_X86_64_64 else 0
        if not width:
            continue
        if symbol >= len(values) or at + width > len(patched):
            raise LayoutError(f"{name} has a relocation that points nowhere")
        value = values[symbol] + addend & ((1 << 8 * width) - 1)
        patched[at : at + width] = value.to_bytes(width, "little")
    return bytes(patched)


class DwarfFile:
    """An ELF file whose DWARF sections are at hand; large ones stay mapped, not read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        with _elf(path) as elf:
            self.build_id = _build_id(elf)
            self.pointer_size = elf.elfclass // 8
            if elf.get_section_by_name(".debug_types") is not None:
                raise LayoutError(
                    f"{path} has type units of DWARF 4 (.debug_types), which are not supported: "
                    "compile with -gdwarf-5"
                )
            parts = [s for s in elf.iter_sections() if s.name in (".debug_info", ".zdebug_info")]
            if len(parts) > 1:
                raise LayoutError(
                    f"{path} has its DWARF in {len(parts)} sections (type units): link it first"
                )
            if elf.get_section_by_name(".debug_info") is None:
                if elf.get_section_by_name(".zdebug_info") is None:
                    raise LayoutError(
                        f"{path} has no debug information (.debug_info): "
                        "give the vmlinux of the -dbg package"
                    )
                self.sections = self._read(elf)
                return
            names = (".debug_info", ".debug_abbrev", ".debug_str", ".debug_line_str")
            packed = any(
                section is not None and section.compressed
                for section in map(elf.get_section_by_name, names)
            )
            if packed or elf["e_type"] == "ET_REL":
                self.sections = self._read(elf)
            else:
                self.sections = self._mapped(elf)

    def _read(self, elf: ELFFile) -> Sections:
        """Let pyelftools decompress; and relocate, where that cannot be done faster."""
        relocated = elf["e_type"] == "ET_REL"
        quick = relocated and elf["e_machine"] == "EM_X86_64"
        dwarf = elf.get_dwarf_info(relocate_dwarf_sections=relocated and not quick)

        def data(section: object) -> bytes:
            stream = getattr(section, "stream", None)
            found = b"" if stream is None else bytes(stream.getvalue())
            return _relocated(elf, getattr(section, "name", ""), found) if quick else found

        return Sections(
            data(dwarf.debug_info_sec),
            data(dwarf.debug_abbrev_sec),
            data(dwarf.debug_str_sec),
            data(dwarf.debug_line_str_sec),
            data(dwarf.debug_str_offsets_sec),
            not elf.little_endian,
        )

    def _mapped(self, elf: ELFFile) -> Sections:
        # The final link has applied the relocations; .rela.debug_* of a vmlinux is left over.
        self._file = self.path.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        view = memoryview(self._map)

        def window(name: str) -> memoryview:
            section = elf.get_section_by_name(name)
            if section is None or section["sh_type"] == "SHT_NOBITS":
                return memoryview(b"")
            start, size = section["sh_offset"], section["sh_size"]
            if start + size > len(view):
                raise LayoutError(f"{self.path} is cut: {name} ends beyond the end of the file")
            return view[start : start + size]

        return Sections(
            window(".debug_info"),
            bytes(window(".debug_abbrev")),
            bytes(window(".debug_str")),
            bytes(window(".debug_line_str")),
            bytes(window(".debug_str_offsets")),
            not elf.little_endian,
        )

    def close(self) -> None:
        """Give the mapping back."""
        if isinstance(self.sections.info, memoryview):
            self.sections.info.release()
        self.sections = Sections(b"", b"", b"", b"", b"", False)
        if self._map is not None:
            with contextlib.suppress(BufferError):
                self._map.close()
            self._map = None
        if self._file is not None:
            self._file.close()
            self._file = None
