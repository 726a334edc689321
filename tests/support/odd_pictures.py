"""Broken and odd PNG, JPEG and TIFF files, and names that are hard to print."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.support.image_corpus import DAMAGED, EMBEDDED, FORGED, PASSED_OVER, Case

Writer = Callable[[Path], object]
Chunk = tuple[bytes, bytes]
FRAMES = "holds 3 pictures"
OTHER_FORMAT = "is damaged or of another format than its name says; export it again"


def noise(*shape: int, dtype: type = np.uint8, top: int = 256) -> np.ndarray:
    """Pixels that no compression makes small."""
    return np.random.default_rng(7).integers(0, top, shape).astype(dtype)


def picture(array: np.ndarray, mode: str | None = None, **options: Any) -> Writer:
    """Save with the format of the name."""
    image = Image.fromarray(array)
    return lambda path: (image if mode is None else image.convert(mode)).save(path, **options)


def content(data: bytes) -> Writer:
    """These bytes."""
    return lambda path: path.write_bytes(data)


def encoded(kind: str, array: np.ndarray | None = None, **options: Any) -> bytes:
    """The bytes of a picture."""
    file = io.BytesIO()
    Image.fromarray(noise(64, 48) if array is None else array).save(file, kind, **options)
    return file.getvalue()


def tiles(array: np.ndarray, **options: Any) -> bytes:
    """A TIFF that ITK does not read."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, tile=(16, 16), **options)
    return stream.getvalue()


def cut(data: bytes, share: float) -> Writer:
    """The first part of a file."""
    return content(data[: int(len(data) * share)])


def several(kind: str, count: int = 3, **options: Any) -> Writer:
    """Several pictures in one file."""
    frames = [Image.fromarray(noise(20, 24) // (number + 1)) for number in range(count)]
    return lambda path: frames[0].save(path, kind, save_all=True, append_images=frames[1:], **options)


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, interlaced: int = 0, before: Sequence[Chunk] = ()
) -> bytes:
    """A PNG file, chunk by chunk: ``rows`` with the filter byte of each row, ``before`` the chunks before them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def interlaced(array: np.ndarray) -> bytes:
    """A grey PNG in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + row.tobytes()
        for x, y, across, down in passes
        for row in array[y::down, x::across]
        if array[y::down, x::across].size
    )
    return png(array.shape[1], array.shape[0], 8, 0, rows, interlaced=1)


def rotated(path: Path) -> None:
    """A JPEG whose EXIF header asks to be turned by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(40, 30)).save(path, exif=exif)


def tiff(width: int, height: int, strip: bytes, samples: int = 1, bits: int = 8, compression: int = 1) -> bytes:
    """A little-endian TIFF of one strip, whatever it claims."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, compression), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, samples), (278, 4, height), (279, 4, len(strip))]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    padded = strip + bytes(len(strip) % 2)
    head = b"II*\0" + struct.pack("<I", 8 + len(padded))
    return head + padded + struct.pack("<H", len(tags)) + directory + bytes(4)


def looped(path: Path) -> None:
    """A TIFF whose list of pages leads in circles."""
    data = bytearray(tiff(8, 8, bytes(64)))
    data[-4:] = struct.pack("<I", struct.unpack("<I", data[4:8])[0])
    path.write_bytes(data)


def inside(name: str, writer: Writer) -> Writer:
    """A folder with one file in it."""

    def write(folder: Path) -> None:
        folder.mkdir()
        writer(folder / name)

    return write


_GREY = picture(noise(40, 30))
_PNG = encoded("PNG")
_JPEG = encoded("JPEG", quality=95)
_TIFF = encoded("TIFF")
_LZW = encoded("TIFF", noise(64, 48) // 32, compression="tiff_lzw")

PICTURES = [
    Case("grey.png", _GREY, EMBEDDED),
    Case("UPPER.PNG", _GREY, EMBEDDED),
    Case("palette.png", picture(noise(40, 30, 3), "P"), EMBEDDED),
    Case("transparent palette.png", picture(noise(40, 30, 3), "P", transparency=0), EMBEDDED),
    Case("16 bit.png", picture(noise(40, 30, dtype=np.uint16, top=65_536)), EMBEDDED),
    Case(
        "16 bit colour.png", content(png(4, 3, 16, 2, b"".join(b"\0" + bytes(range(24)) for _ in range(3)))), EMBEDDED
    ),
    Case("bits.png", picture(noise(40, 30), "1"), EMBEDDED),
    Case("alpha.png", picture(noise(40, 30, 4)), EMBEDDED),
    Case("interlaced.png", content(interlaced(noise(40, 30))), EMBEDDED),
    Case("constant.png", picture(np.full((40, 30), 9, np.uint8)), EMBEDDED),
    Case("one pixel.png", picture(noise(1, 1)), EMBEDDED),
    Case("30000 wide.png", picture(noise(20, 30_000)), EMBEDDED),
    Case("30000 high.tif", picture(noise(30_000, 20)), EMBEDDED),
    Case("animated.png", several("PNG"), FRAMES),
    Case("gif.png", content(encoded("GIF")), OTHER_FORMAT),
    Case("animated gif.png", several("GIF"), OTHER_FORMAT),
    Case("jpeg.png", content(_JPEG), OTHER_FORMAT),
    Case("png.jpg", content(_PNG), OTHER_FORMAT),
    Case("png.tif", content(_PNG), OTHER_FORMAT),
    Case("bomb.png", content(png(60_000, 60_000, 8, 0, bytes(1000))), "too many pixels"),
    Case("big bomb.png", content(png(2**31 - 1, 2**31 - 1, 8, 0, bytes(10))), "too many pixels"),
    Case("no width.png", content(png(0, 20, 8, 0, bytes(20))), DAMAGED),
    Case("broken.png", content(b"\x89PNG\r\n\x1a\n and nothing more"), DAMAGED),
    Case("zeros.png", content(bytes(5000)), DAMAGED),
    Case("empty.png", content(b""), "is an empty file"),
    *(Case(f"cut at {share:.0%}.png", cut(_PNG, share), DAMAGED) for share in (0.005, 0.1, 0.5, 0.95)),
    Case("flipped.png", content(_PNG[:900] + bytes([_PNG[900] ^ 64]) + _PNG[901:]), DAMAGED),
    Case("cmyk.jpg", picture(noise(40, 30, 3), "CMYK"), EMBEDDED),
    Case("progressive.jpg", picture(noise(40, 30), progressive=True), EMBEDDED),
    Case("rotated.jpg", rotated, EMBEDDED),
    Case("colour.jpeg", picture(noise(40, 30, 3)), EMBEDDED),
    *(Case(f"cut at {share:.0%}.jpg", cut(_JPEG, share), DAMAGED) for share in (0.005, 0.1, 0.5, 0.95)),
    Case("plain.tif", content(_TIFF), EMBEDDED),
    Case("lzw.tif", content(_LZW), EMBEDDED),
    Case("float.tif", picture(noise(40, 30).astype(np.float32)), EMBEDDED),
    Case("nan.tif", picture(np.full((40, 30), np.nan, np.float32)), "contains NaN"),
    Case("pages.tif", several("TIFF"), "is a 3-D image but preset 'xray'"),
    Case("palette.tif", picture(noise(40, 30, 3), "P"), EMBEDDED),
    Case("bits.tif", picture(noise(40, 30), "1"), EMBEDDED),
    Case("claims much.tif", content(tiff(2**31 - 1, 2**31 - 1, bytes(100))), "would need .* of memory"),
    Case("claims more than there is.tif", content(tiff(3000, 3000, bytes(100))), DAMAGED),
    Case("packed, claims more.tif", content(tiff(300, 300, zlib.compress(bytes(range(200))), compression=8)), DAMAGED),
    Case("circle.tif", looped, "leads in circles"),
    *(Case(f"cut at {share:.0%}.tif", cut(_TIFF, share), DAMAGED) for share in (0.1, 0.5, 0.95)),
    *(Case(f"lzw cut at {share:.0%}.tif", cut(_LZW, share), DAMAGED) for share in (0.1, 0.5, 0.95)),
]

NAMES = [
    Case(" a name  with spaces .png", _GREY, EMBEDDED),
    Case("""quotes ' " ` \\.png""", _GREY, EMBEDDED),
    Case("Thorax Übersicht ß é 胸部 🫁.png", _GREY, EMBEDDED),
    Case(f"newline\n{FORGED}.png", _GREY, EMBEDDED),
    Case(f"return\r{FORGED}.png", _GREY, EMBEDDED),
    Case(f"newline, broken\n{FORGED}.png", content(b"\x89PNG"), DAMAGED),
    Case("tab\tescape\x1b[31mred\x07.png", content(b"\x89PNG"), DAMAGED),
    Case("line\u2028separator\u202egnp.png", content(b"\x89PNG"), DAMAGED),
    Case("<script>alert(1)<\u2215script>.png", content(b"\x89PNG"), DAMAGED),
    Case("<img src=x onerror=alert(1)>.png", _GREY, EMBEDDED),
    Case("100%25 %s {0} $(reboot) & ; #?.png", _GREY, EMBEDDED),
    Case("-rf.png", _GREY, EMBEDDED),
    Case("dots..and...more.png", _GREY, EMBEDDED),
    Case("x" * 200 + ".png", _GREY, EMBEDDED),
    Case(os.fsdecode(b"not UTF-8 \xff\xfe.png"), _GREY, PASSED_OVER),
]

NO_IMAGES = [
    Case("folder.png", inside("a.txt", content(b"text")), PASSED_OVER),
    Case("pipe.png", os.mkfifo, PASSED_OVER),
    Case("dangling.png", lambda path: path.symlink_to(path.with_name("gone")), PASSED_OVER),
    Case("to itself.png", lambda path: path.symlink_to(path), PASSED_OVER),
    Case("image.bmp", content(encoded("BMP")), PASSED_OVER),
    Case(".hidden.png", _GREY, PASSED_OVER),
]
