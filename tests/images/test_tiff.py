"""Every kind of TIFF gives the values that were written, or a sentence that names the kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image, TiffImagePlugin

from tests.support.odd_pictures import tiff
from xssr_strategy.images.preprocessing import spacing_of
from xssr_strategy.images.reading import UnreadableImage, read_image

GREY = np.arange(24 * 40).reshape(24, 40)  # more than 8 bits; neither side is a multiple of a tile's
COLOUR = np.stack([GREY, GREY + 1000, GREY + 30_000], axis=-1)
VOLUME = np.arange(5 * 24 * 40).reshape(5, 24, 40)
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda rows: rows,
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
}
KEPT = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def stored(path: Path) -> np.ndarray:
    """What is read, as (rows, columns), (rows, columns, channels) or (slices, rows, columns)."""
    pixels = read_image(path).numpy()
    if pixels.ndim == 4:
        return pixels[0].transpose(2, 1, 0)
    rows = pixels.transpose(2, 1, 0)
    return rows[..., 0] if rows.shape[-1] == 1 else rows


def of_type(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bool":
        return array % 3 == 0
    centred = array - 100 if dtype[0] in "if" else array
    return (centred % 256 - 128 if dtype == "i1" else centred % 256 if dtype == "u1" else centred).astype(dtype)


def turned(orientation: int) -> dict[str, Any]:
    return {"extratags": [(274, "H", 1, orientation, False)]}


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"}])
@pytest.mark.parametrize("dtype", KEPT)
def test_every_type_of_number_in_strips_and_tiles(tmp_path: Path, dtype: str, layout: dict[str, Any]) -> None:
    array = of_type(GREY, dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", **layout)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), array.astype(np.float32))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), array)


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}])
@pytest.mark.parametrize("dtype", ["u2", "f8"])
def test_a_volume_of_pages(tmp_path: Path, dtype: str, layout: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOLUME.astype(dtype), photometric="minisblack", **layout)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), VOLUME)


def test_pages_of_strips_and_of_tiles_are_one_volume(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(VOLUME[0].astype(np.uint16))
        file.write(VOLUME[1].astype(np.uint16), tile=(16, 16))
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), VOLUME[:2])


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_colours_side_by_side_and_in_planes(tmp_path: Path, dtype: str, planes: str, layout: dict[str, Any]) -> None:
    array = (COLOUR % 256 if dtype == "u1" else COLOUR).astype(dtype)
    written = array if planes == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="rgb", planarconfig=planes, **layout)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), array)


@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_alpha_beside_grey_is_dropped_and_beside_colours_is_a_channel(tmp_path: Path, dtype: str, alpha: str) -> None:
    array = np.concatenate([COLOUR % 200, np.full((24, 40, 1), 255)], axis=-1).astype(dtype)
    tifffile.imwrite(tmp_path / "colour.tif", array, photometric="rgb", extrasamples=[alpha])
    np.testing.assert_array_equal(stored(tmp_path / "colour.tif"), array)
    grey = array[..., [0, 3]]
    tifffile.imwrite(tmp_path / "grey.tif", grey, photometric="minisblack", planarconfig="contig", extrasamples=[alpha])
    np.testing.assert_array_equal(stored(tmp_path / "grey.tif"), grey[..., 0])


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}])
def test_mirrored_rows_and_columns_are_put_upright(tmp_path: Path, orientation: int, layout: dict[str, Any]) -> None:
    for name, array in (("grey", GREY), ("colour", COLOUR), ("volume", VOLUME)):
        kind = "rgb" if name == "colour" else "minisblack"
        file = tmp_path / f"{name}.tif"
        tifffile.imwrite(file, array.astype(np.uint16), photometric=kind, **layout, **turned(orientation))
        turn = TURNS[orientation]
        wanted = np.stack([turn(plane) for plane in array]) if name == "volume" else turn(array)
        np.testing.assert_array_equal(stored(file), wanted)


@pytest.mark.parametrize("orientation", TURNS)
def test_eight_bits_lie_as_the_viewer_shows_them(tmp_path: Path, orientation: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (GREY % 256).astype(np.uint8), **turned(orientation))
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.tif")))
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), shown[..., 0] if shown.ndim == 3 else shown)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_rows_exchanged_with_columns_are_refused(tmp_path: Path, orientation: int) -> None:
    """Viewers differ: ITK mirrors them and does not exchange them."""
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.uint16), **turned(orientation))
    refused(tmp_path / "a.tif", rf"\(TIFF orientation {orientation}\), .*; save it upright")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_white_is_zero_is_inverted_within_its_depth(tmp_path: Path, dtype: str) -> None:
    array = of_type(GREY, dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), np.iinfo(dtype).max - array)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_lzw", "packbits", None])
def test_one_bit_is_0_and_1_with_black_as_0(tmp_path: Path, compression: str | None) -> None:
    """The fax compressions write WhiteIsZero."""
    Image.fromarray(GREY % 5 == 0).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), GREY % 5 == 0)


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_few_and_odd_bits_count_from_0(tmp_path: Path, bits: int) -> None:
    array = GREY % 2**bits
    digits = "".join(format(value, f"0{bits}b") for value in array.ravel())  # 40 columns end with a byte
    strip = int(digits, 2).to_bytes(len(digits) // 8, "big")
    (tmp_path / "a.tif").write_bytes(tiff(40, 24, strip, bits=bits))
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), array)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
def test_lzw_which_tifffile_alone_does_not_unpack(tmp_path: Path, dtype: str, orientation: int) -> None:
    array, tags = of_type(GREY, dtype), TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    Image.fromarray(array).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo=tags)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), TURNS[orientation](array))


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 65_536, (3, 256)).astype(np.uint16)
    indices = (GREY % 256).astype(np.uint8)
    for name, layout in (("strips", {}), ("tiles", {"tile": (16, 16)})):
        tifffile.imwrite(tmp_path / f"{name}.tif", indices, photometric="palette", colormap=colours, **layout)
        np.testing.assert_array_equal(stored(tmp_path / f"{name}.tif"), np.moveaxis(colours[:, indices], 0, -1))


@pytest.mark.parametrize(("mode", "rounding"), [("CMYK", 1), ("YCbCr", 4), ("LAB", 32)])
def test_other_colours_of_8_bits_become_rgb(tmp_path: Path, mode: str, rounding: int) -> None:
    """By libtiff, which converts L*a*b* for a display of its own."""
    colour = np.zeros((24, 40, 3), np.uint8)
    colour[:, 20:] = (200, 60, 30)
    Image.fromarray(colour).convert(mode).save(tmp_path / "a.tif")
    assert stored(tmp_path / "a.tif").shape == (24, 40, 3)
    np.testing.assert_allclose(stored(tmp_path / "a.tif"), colour, atol=rounding)


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER", "NONE", "MILLIMETER"])
def test_the_spacing_is_that_of_itk(tmp_path: Path, unit: str) -> None:
    found = []
    for layout in ({}, {"tile": (16, 16)}):
        file = tmp_path / f"{len(found)}.tif"
        tifffile.imwrite(file, GREY.astype(np.uint16), resolution=(100, 50), resolutionunit=unit, **layout)
        found.append(spacing_of(read_image(file)))
    assert found[1] == pytest.approx(found[0])
    assert found[0] == pytest.approx(sitk.ReadImage(str(tmp_path / "0.tif")).GetSpacing())


def test_smaller_copies_and_thumbnails_marked_as_such_do_not_count(tmp_path: Path) -> None:
    for name, layout in (("strips", {}), ("tiles", {"tile": (16, 16)})):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            file.write(GREY.astype(np.uint16), **layout)
            file.write(GREY[::2, ::2].astype(np.uint16), subfiletype=1, **layout)
        np.testing.assert_array_equal(stored(tmp_path / f"{name}.tif"), GREY)


@pytest.mark.parametrize(
    ("array", "options", "sentence"),
    [
        (GREY.astype(np.complex64), {}, "holds complex numbers; export the magnitude"),
        (GREY.astype(np.float32), {"photometric": "miniswhite"}, "counts from white in 32-bit numbers; save it with"),
        (GREY.astype(np.uint16), {"photometric": "cfa"}, r"kind that is not read \(photometric interpretation 32803"),
        (np.stack([COLOUR[..., 0]] * 4, -1).astype(np.uint16), {"photometric": "separated"}, "16-bit colours that are"),
        (VOLUME.astype(np.uint16), {"tile": (16, 16, 16), "volumetric": True}, "keeps a volume in one page; save"),
        (VOLUME.astype(np.uint16), {"imagej": True, "metadata": {"axes": "TYX"}}, "holds several time points as pages"),
        (VOLUME.astype(np.uint16), {"imagej": True, "metadata": {"axes": "CYX"}}, "holds several channels as pages"),
        (VOLUME.astype(np.uint16), {"ome": True, "metadata": {"axes": "TYX"}}, "holds several time points as pages"),
        (VOLUME.astype(np.uint16), {"metadata": {"axes": "TYX"}}, "holds several time points as pages"),
        (np.stack([VOLUME] * 2).astype(np.uint16), {"imagej": True, "metadata": {"axes": "TZYX"}}, "time points"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, array: np.ndarray, options: dict[str, Any], sentence: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, **{"photometric": "minisblack", **options})
    refused(tmp_path / "a.tif", sentence)


@pytest.mark.parametrize("bits", [10, 14])
def test_odd_bits_that_nothing_here_unpacks_are_named(tmp_path: Path, bits: int) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(40, 24, bytes(24 * 40 * bits // 8), bits=bits))
    refused(tmp_path / "a.tif", f"holds {bits}-bit numbers, compression NONE, in a form that is not read; save it")


def test_depth_named_by_imagej_and_ome_is_a_volume(tmp_path: Path) -> None:
    for name in ("imagej", "ome"):
        file = tmp_path / f"{name}.tif"
        tifffile.imwrite(file, VOLUME.astype(np.uint16), **{name: True}, metadata={"axes": "ZYX"})
        np.testing.assert_array_equal(stored(file), VOLUME)


def test_pictures_of_several_sizes_or_depths_are_no_volume(tmp_path: Path) -> None:
    for name, other in (("size", GREY[:, :20].astype(np.uint16)), ("depth", (GREY % 256).astype(np.uint8))):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            file.write(GREY.astype(np.uint16), photometric="minisblack")
            file.write(other, photometric="minisblack")
        refused(tmp_path / f"{name}.tif", "holds 2 pictures of several sizes or kinds; save each as a file of its own")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_tiles_that_are_cut_off_are_damaged(tmp_path: Path, compression: str | None, share: float) -> None:
    """tifffile writes the directory first, so it is whole."""
    noise = np.random.default_rng(0).integers(0, 65_536, (64, 64)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", noise, tile=(16, 16), compression=compression)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: int(len(data) * share)])
    refused(tmp_path / "a.tif", "is damaged")


def test_nothing_is_logged_of_what_tags_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.uint16), tile=(16, 16), description="Mrs Smith")
    data = (tmp_path / "a.tif").read_bytes().replace(b"Mrs Smith", b"Mrs Sm\xffth")
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif"), GREY)
    assert not caplog.text


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(UnreadableImage, match=rf"{path.name}: .*{sentence}") as caught:
        pytest.fail(f"read as {read_image(path).shape}")
    assert "; " in str(caught.value)
