"""What the native libraries would believe of a header, though they should not, or do not tell of it."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

from xssr_strategy.images.refusal import Refused

_HEAD = 1 << 16  # bytes; our choice: a header of NRRD or MetaImage is a few hundred
_VOXELS = {
    ".nrrd": re.compile(rb"data ?file\s*:=?\s*([^\r\n]*)", re.IGNORECASE),
    ".mha": re.compile(rb"ElementDataFile\s*[=:]\s*([^\r\n]*)", re.IGNORECASE),
}
_VOXELS[".mhd"] = _VOXELS[".mha"]
_LOCAL = re.compile(rb"ElementDataFile\s*[=:]\s*LOCAL\s*?\n", re.IGNORECASE)
_DIMENSIONS = re.compile(rb"NDims\s*[=:]\s*([^\r\n]*)", re.IGNORECASE)
_PACKED = re.compile(rb"CompressedData\s*[=:]\s*[T1]", re.IGNORECASE)
_ANY_HEADER = 47  # zlib's or gzip's
_BLOCK = 1 << 20  # bytes
_BZIP2 = re.compile(rb"^encoding\s*:\s*bz(ip)?2\s*$", re.IGNORECASE | re.MULTILINE)
_PLAIN = re.compile(rb"[^/\\%\0]+")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")

PNG_GREY = 0
"""Kind of colour of a grey PNG without alpha (PNG specification, 11.2.1)."""


def png_kind(path: Path) -> tuple[int, int]:
    """Bits of a value, and the kind of colour, of a PNG, which begins with its header."""
    with path.open("rb") as file:
        depth, colours = file.read(26)[24:]
    return depth, colours


def refuse_voxels_elsewhere(path: Path, extension: str) -> None:
    """A header of NRRD or MetaImage may name one file of its own folder, and no other.

    Raises:
        Refused: it names a file in another folder, or several.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    end = _BLANK_LINE.search(head) if extension == ".nrrd" else _LOCAL.search(head)
    for match in _VOXELS[extension].finditer(head, 0, end.end() if end else len(head)):
        name = match[1].strip()
        if name.upper().startswith(b"LIST") or (name and not _PLAIN.fullmatch(name)):
            raise Refused("keeps its voxels in another folder or in several files; save it as a single file")


def refuse_bzip2(path: Path) -> None:
    """ITK's reader of NRRD is built without bzip2.

    Raises:
        Refused: the voxels are packed with it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    end = _BLANK_LINE.search(head)
    if _BZIP2.search(head, 0, end.end() if end else len(head)):
        raise Refused("is packed with bzip2, which is not read; save it with gzip")


def refuse_odd_dimensions(path: Path) -> None:
    """MetaIO, told of no or thousands of dimensions, writes where it must not, which ends the process.

    Raises:
        Refused: a header of MetaImage has not one to nine.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    end = _LOCAL.search(head)
    for match in _DIMENSIONS.finditer(head, 0, end.end() if end else len(head)):
        if not re.fullmatch(rb"[1-9]", match[1].strip()):
            raise Refused("is damaged: its header names no number of dimensions; export it again")


def refuse_short_packing(path: Path, needed: int) -> None:
    """Packed voxels of MetaImage that are fewer than the header says, which MetaIO fills up with what was in memory.

    Args:
        path: of a ``.mha`` or ``.mhd`` file.
        needed: bytes of all voxels.

    Raises:
        Refused: they are fewer or damaged.
        OSError: they are not there.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    voxels = _VOXELS[".mha"].search(head)
    if voxels is None or not _PACKED.search(head, 0, voxels.start()):
        return
    local = voxels[1].strip().upper() == b"LOCAL"
    with (path if local else path.with_name(os.fsdecode(voxels[1].strip()))).open("rb") as file:
        if local:
            file.seek(voxels.end())
            file.readline()
        unpacking, found = zlib.decompressobj(_ANY_HEADER), 0
        try:
            while found < needed and not unpacking.eof and (block := unpacking.unconsumed_tail or file.read(_HEAD)):
                found += len(unpacking.decompress(block, _BLOCK))
        except zlib.error:
            found = 0
    if found < needed:
        raise Refused("is damaged: it holds fewer voxels than its header says; export it again")


def refuse_circle(path: Path) -> None:
    """The pages of a TIFF file are a chain, which the library would follow round and round.

    Raises:
        Refused: the chain leads back to where it was.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        if head[2:4] == struct.pack(f"{order}H", 43):
            first, count, size, offset = 8, "Q", 20, "Q"
        else:
            first, count, size, offset = 4, "H", 12, "I"
        seen: set[int] = set()
        place = _number(head[first:], order + offset)
        while place:
            if place in seen:
                raise Refused("is damaged: its list of pages leads in circles; export it again")
            seen.add(place)
            file.seek(place)
            entries = _number(file.read(struct.calcsize(count)), order + count)
            file.seek(entries * size, 1)
            place = _number(file.read(struct.calcsize(offset)), order + offset)


def _number(data: bytes, kind: str) -> int:
    """The number at the start of the data; zero, which ends a chain, if the file ends before it."""
    size = struct.calcsize(kind)
    return int(struct.unpack(kind, data[:size])[0]) if len(data) >= size else 0
