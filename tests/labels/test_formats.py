"""A label in a format that changes its numbers is refused wherever it comes from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fastapi import HTTPException
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from tests.support.odd_dicom import dataset
from tests.support.odd_pictures import png
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label, usable_pairs
from xssr_strategy.labels.source import read_source_labels
from xssr_strategy.simulation.domains import read_domain

XRAY = PRESETS["xray"]
MASK = np.zeros((32, 24), np.uint8)
MASK[8:20, 6:15] = 1

Writer = Callable[[Path], object]
JPEG: Writer = Image.fromarray(255 * MASK).save


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """(rows, columns)."""
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def dicom(path: Path, pixels: np.ndarray = MASK, **tags: str) -> None:
    dataset(pixels.astype(np.uint16), **tags).save_as(path, write_like_original=False)


def jpeg_dicom(path: Path) -> None:
    one, stream = dataset(MASK.astype(np.uint16), BitsAllocated=8, BitsStored=8, HighBit=7), io.BytesIO()
    Image.fromarray(255 * MASK).save(stream, "JPEG")
    one.PixelData = encapsulate([stream.getvalue()])
    one["PixelData"].is_undefined_length = True
    one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    one.save_as(path, write_like_original=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_png(tmp_path / "image.png", np.arange(MASK.size).reshape(MASK.shape) % 251)


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("a.jpg", JPEG, "the label is a JPEG, whose compression changes the numbers along every edge; draw or export"),
        ("a.JPEG", JPEG, "the label is a JPEG"),
        (
            "a.tif",
            lambda path: Image.fromarray(255 * MASK).save(path, compression="jpeg"),
            "the label is compressed as JPEG, which changes",
        ),
        ("a.tif", lambda path: tifffile.imwrite(path, MASK, photometric="miniswhite"), "counts from white"),
        ("a.dcm", jpeg_dicom, "the label is DICOM with lossy compression, which changes"),
        ("a.dcm", lambda path: dicom(path, LossyImageCompression="01"), "the label is DICOM with lossy compression"),
    ],
)
def test_refused_by_its_format(tmp_path: Path, image: Path, name: str, write: Writer, sentence: str) -> None:
    write(tmp_path / name)
    for names in (("disc",), ("a", "b")):
        with pytest.raises(UserError, match=rf"{name}: .*{sentence}"):
            read_label(tmp_path / name, names, read_image(image))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("tiles.tif", lambda path: tifffile.imwrite(path, MASK, tile=(16, 16))),
        ("mirrored.tif", lambda path: tifffile.imwrite(path, MASK[:, ::-1], extratags=[(274, "H", 1, 2, True)])),
        ("double.tif", lambda path: tifffile.imwrite(path, MASK.astype(np.float64))),
        ("bits.tif", lambda path: Image.fromarray(MASK > 0).save(path)),
        ("fax.tif", lambda path: Image.fromarray(MASK > 0).save(path, compression="group4")),
        ("16 bits.png", lambda path: Image.fromarray(MASK.astype(np.uint16)).save(path)),
        ("plain.dcm", lambda path: dicom(path, LossyImageCompression="00")),
        ("alpha.png", lambda path: Image.fromarray(np.stack([MASK, 255 + 0 * MASK], -1)).save(path)),
    ],
)
def test_lossless_kinds_give_the_mask_that_was_drawn(tmp_path: Path, image: Path, name: str, write: Writer) -> None:
    write(tmp_path / name)
    for names in (("disc",), ("a", "b")):
        np.testing.assert_array_equal(read_label(tmp_path / name, names, read_image(image))[0].numpy(), MASK.T)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_png_of_few_bits_gives_the_numbers_that_it_stores(tmp_path: Path, image: Path, depth: int) -> None:
    bits = np.unpackbits(MASK[..., None], axis=-1)[..., -depth:].reshape(MASK.shape[0], -1)
    raw = b"".join(b"\0" + bytes(row) for row in np.packbits(bits, axis=1))
    (tmp_path / "few.png").write_bytes(png(*MASK.shape[::-1], depth, 0, raw))
    for names in (("disc",), ("a", "b")):
        np.testing.assert_array_equal(read_label(tmp_path / "few.png", names, read_image(image))[0].numpy(), MASK.T)


def test_refused_when_it_is_submitted_and_left_out_of_a_training(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", np.arange(MASK.size).reshape(MASK.shape) % 251)
    (tmp_path / "sent").mkdir()
    JPEG(tmp_path / "sent/a.jpg")
    datastore = StudiesDatastore(str(tmp_path), watch=False, preset=XRAY, labels=("disc",))
    with pytest.raises(HTTPException) as refused:
        datastore.save_label("a", str(tmp_path / "sent/a.jpg"), "final", {})
    assert refused.value.status_code == 422
    assert refused.value.detail.startswith("the label is a JPEG, ")
    assert not datastore.get_labeled_images()
    final = tmp_path / "labels" / "final"
    JPEG(final / "a.jpg")
    write_png(final / "b.png", MASK)
    datastore.refresh()
    good, bad = usable_pairs(datastore.datalist(), XRAY, ("disc",))
    assert [Path(pair.label).name for pair in good] == ["b.png"]
    assert [(Path(path).name, "is a JPEG" in reason) for path, reason in bad] == [("a.jpg", True)]


def test_labels_of_the_source_that_are_jpeg_are_left_out_by_name(tmp_path: Path) -> None:
    for folder, write in (("images", lambda path: write_png(path, MASK + 7)), ("labels", JPEG)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / ("a.png" if folder == "images" else "a.jpg"))
    source = read_source_labels(tmp_path, {}, ("disc",))
    with pytest.raises(UserError, match=r"no usable label .* the first problem: .*a\.jpg: the label is a JPEG"):
        usable_pairs(source.pairs, XRAY, ("disc",))


def test_a_simulation_refuses_them_before_anything_is_read(tmp_path: Path) -> None:
    for name in ("images/a.png", "images/b.png", "labels/a.png", "labels/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"--target .*b\.jpg: the label is a JPEG"):
        read_domain(tmp_path, "--target")
    assert read_domain(tmp_path, "--source", labelled=False).pool == ("a", "b")
