"""PNG and JPEG of every depth and colour type: the stored values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from tests.support.odd_pictures import Chunk, noise, png
from xssr_strategy.images.reading import UnreadableImage, read_image

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGB_ALPHA: 4}


def stored(path: Path) -> np.ndarray:
    """(rows, columns, channels)."""
    return read_image(path).numpy().transpose(2, 1, 0)


def unfiltered(array: np.ndarray) -> bytes:
    """Rows of whole bytes, big-endian, each after its filter byte."""
    return b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array)


def packed(array: np.ndarray, bits: int) -> bytes:
    """Rows of fewer than eight bits a pixel, which fill whole bytes."""
    rows = ("".join(format(value, f"0{bits}b") for value in row) for row in array)
    return b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)


@pytest.mark.parametrize("colour", SAMPLES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_8_and_16_bits_of_every_colour_type_without_alpha(tmp_path: Path, colour: int, dtype: type) -> None:
    array = noise(6, 5, SAMPLES[colour], dtype=dtype, top=np.iinfo(dtype).max + 1)
    (tmp_path / "a.png").write_bytes(png(5, 6, array.itemsize * 8, colour, unfiltered(array)))
    seen = array[..., : 1 if colour in (GREY, GREY_ALPHA) else 3]
    np.testing.assert_array_equal(stored(tmp_path / "a.png"), seen)
    if colour != GREY_ALPHA:  # which SimpleITK does not read
        shown = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png")))
        np.testing.assert_array_equal(shown.reshape(array.shape), array)


@pytest.mark.parametrize(
    "chunk", [(b"gAMA", b"\0\0\xb1\x8f"), (b"pHYs", b"\0\0\1\0\0\0\2\0\1"), (b"tRNS", b"\0\5" * 3)]
)
def test_what_a_file_says_beside_16_bit_colours_changes_neither_values_nor_place(tmp_path: Path, chunk: Chunk) -> None:
    array = noise(6, 5, 3, dtype=np.uint16, top=65_536)
    (tmp_path / "a.png").write_bytes(png(5, 6, 16, RGB, unfiltered(array), before=[chunk]))
    np.testing.assert_array_equal(stored(tmp_path / "a.png"), array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").affine, np.eye(4))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_16_bit_colours_that_are_cut_off_are_damaged(tmp_path: Path, share: float) -> None:
    data = png(50, 60, 16, RGB, unfiltered(noise(60, 50, 3, dtype=np.uint16, top=65_536)))
    (tmp_path / "a.png").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableImage, match="is damaged"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey_reach_from_0_to_255_as_viewers_show_them(tmp_path: Path, bits: int) -> None:
    """PNG, section 13.12: a sample is a share of the largest."""
    array = np.arange(48).reshape(3, 16) % 2**bits
    (tmp_path / "a.png").write_bytes(png(16, 3, bits, GREY, packed(array, bits)))
    np.testing.assert_array_equal(stored(tmp_path / "a.png")[..., 0], array * 255 // (2**bits - 1))
    np.testing.assert_array_equal(
        stored(tmp_path / "a.png")[..., 0], sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png")))
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_gives_its_colours(tmp_path: Path, bits: int) -> None:
    indices, colours = np.arange(48).reshape(3, 16) % 2**bits, noise(2**bits, 3)
    palette = (b"PLTE", colours.tobytes())
    (tmp_path / "a.png").write_bytes(png(16, 3, bits, PALETTE, packed(indices, bits), before=[palette]))
    np.testing.assert_array_equal(stored(tmp_path / "a.png"), colours[indices])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_exif_does_not_turn_the_grid_that_viewers_show(tmp_path: Path, extension: str, orientation: int) -> None:
    exif, file = Image.Exif(), tmp_path / f"a.{extension}"
    exif[0x0112] = orientation
    Image.fromarray(noise(16, 24)).save(file, exif=exif)
    np.testing.assert_array_equal(stored(file)[..., 0], sitk.GetArrayFromImage(sitk.ReadImage(str(file))))


@pytest.mark.slow
def test_a_plain_picture_needs_no_itk(tmp_path: Path) -> None:
    """Which takes seconds and 270 MB to load in every process that reads an image."""
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    script = (
        "import sys; from pathlib import Path; from xssr_strategy.images.reading import read_image;"
        f"read_image(Path({str(tmp_path / 'a.png')!r}));"
        "print([name for name in sys.modules if name.startswith('itk.ITK')])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
