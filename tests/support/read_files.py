"""Files of every format, plain and odd, and a digest of what is read of each.

``python -m tests.support.read_files VERSION`` notes the digests in ``tests/versions/readings.json`` as those of a
version of the reading; with the package of an earlier checkout first in ``PYTHONPATH``, and ``-P``, that one reads.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import SegmentationStorage

from xssr_strategy.images.reading import UnreadableImage, read_image

NOTED = Path(__file__).parents[1] / "versions" / "readings.json"
"""version -> file -> digest of what that version reads."""

REFUSED = "refused"
_GREY = np.arange(24 * 40).reshape(24, 40).astype(np.uint16)
_COLOUR = np.stack([_GREY, _GREY + 1000, _GREY + 30_000], axis=-1)


def write_all(folder: Path) -> list[Path]:
    """Every file or series, sorted; all of them lose nothing, so that each machine reads the same."""
    folder.mkdir(exist_ok=True)
    _pictures(folder)
    _tiffs(folder)
    _volumes(folder)
    _dicom(folder)
    return sorted(path for path in folder.iterdir() if path.suffix != ".raw")


def digest(path: Path) -> str:
    """Of values, shape, and geometry to 0.01 mm; or that nothing is read."""
    try:
        image = read_image(path)
    except UnreadableImage:
        return REFUSED
    affine = np.round(image.affine.numpy(), 2) + 0.0
    return hashlib.sha256(repr((image.numpy().tobytes(), tuple(image.shape), affine.tolist())).encode()).hexdigest()[
        :12
    ]


def _pictures(folder: Path) -> None:
    from tests.support.odd_pictures import png

    grey, colour = (_GREY % 256).astype(np.uint8), (_COLOUR % 256).astype(np.uint8)
    for name, picture in {
        "grey": Image.fromarray(grey),
        "grey16": Image.fromarray(_GREY * 60),
        "bits": Image.fromarray(grey > 99),
        "palette": Image.fromarray(colour).quantize(16),
        "rgb": Image.fromarray(colour),
        "rgba": Image.fromarray(np.dstack([colour, grey])),
        "alpha": Image.fromarray(np.dstack([grey, 255 - grey]), "LA"),
    }.items():
        picture.save(folder / f"{name}.png")
    rows = {2: 6, 4: 4, 6: 8}  # kind of colour: bytes of a pixel
    for kind, size in rows.items():
        line = bytes(range(1, 1 + 16 * size))
        (folder / f"deep{kind}.png").write_bytes(png(16, 20, 16, kind, (b"\0" + line) * 20))


def _tiffs(folder: Path) -> None:
    def write(name: str, array: np.ndarray, photometric: str = "minisblack", turn: int = 1, **options: object) -> None:
        turned = [(274, "H", 1, turn, False)]
        tifffile.imwrite(folder / f"{name}.tif", array, photometric=photometric, extratags=turned, **options)

    for kind in ("u1", "i2", "u2", "i4", "f2", "f4", "f8", "bool"):
        write(f"strips-{kind}", _GREY.astype(kind))
        write(f"tiles-{kind}", _GREY.astype(kind), tile=(16, 16))
    for turn in (2, 3, 4, 6):
        write(f"turn{turn}", _GREY, turn=turn)
    write("white", _GREY, "miniswhite")
    write("packed", _GREY, compression="zlib")
    write("pages", np.stack([_GREY, _GREY + 5]))
    write("rgb8", (_COLOUR % 256).astype(np.uint8), "rgb")
    write("rgb16", _COLOUR, "rgb")
    write("planes", np.moveaxis(_COLOUR, -1, 0), "rgb", planarconfig="separate")


def _volumes(folder: Path) -> None:
    from tests.support.geometries import random_nifti
    from tests.support.odd_volumes import nifti

    rng, voxels = np.random.default_rng(0), np.arange(11 * 9 * 7, dtype=np.int16).reshape(11, 9, 7)
    for number in range(24):
        ending = "nii.gz" if number % 2 else "nii"
        random_nifti(folder / f"random{number:02}.{ending}", voxels, rng, shear=number % 5 == 4)
    (folder / "plain.nii").write_bytes(nifti())
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing([0.5, 2.0, 3.0])
    image.SetDirection([0, 1, 0, -1, 0, 0, 0, 0, 1])
    for ending in ("nii.gz", "nrrd", "mha", "mhd"):
        sitk.WriteImage(image, str(folder / f"turned-{ending.partition('.')[0]}.{ending}"))


def _dicom(folder: Path) -> None:
    from tests.support.dicom_series import write_phantom
    from tests.support.enhanced_dicom import at, enhanced, written
    from tests.support.geometries import write_tilted
    from tests.support.odd_dicom import dataset, slices, stack, tilted

    above = {"BitsStored": 12, "HighBit": 15}
    signed = {"PixelRepresentation": 1, "PhotometricInterpretation": "MONOCHROME1"}
    for name, one in {
        "plain": dataset(),
        "inverted": dataset(PhotometricInterpretation="MONOCHROME1"),
        "above": dataset(slices() << 4, **above),
        "signed": dataset(**signed),
        "frames": enhanced(at([0, 2, 4, 6])),
        "interleaved": enhanced(at([0, 4, 2, 6])),
        "segmentation": dataset(SOPClassUID=SegmentationStorage),
        "mosaic": dataset(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]),
    }.items():
        written(folder / f"{name}.dcm", one)
        written(folder / f"{name}-alone" / "a.dcm", one)
    for name, files in {
        "stack": stack(),
        "shifted": tilted(),
        "mosaics": stack(ImageType=["DERIVED", "MOSAIC"]),
    }.items():
        for number, one in enumerate(files):
            written(folder / name / f"{number}.dcm", one)
    shutil.copy(get_testdata_file("SC_rgb_rle_16bit.dcm"), folder / "scrambled.dcm")
    write_tilted(folder / "gantry")
    write_phantom(folder / "oblique", 1)


def main(version: str) -> None:
    """Note the digests."""
    noted = json.loads(NOTED.read_text(encoding="utf-8")) if NOTED.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        noted[version] = {path.name: digest(path) for path in write_all(Path(temporary))}
    NOTED.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
