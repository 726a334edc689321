"""Refinement on the voxels of a file: whatever its axes are, the same is refined at the same places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.phantoms import AFFINES, oblique, write_nifti
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.segmentation.refinement.files import refine_mask
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter

TURNED = oblique((1.0, 1.0, 1.0))


class Bright(BoxSegmenter):
    """Finds what is bright in the box, and remembers the shapes of what it saw."""

    name = "bright"

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def segment(self, picture: NDArray[np.float32], boxes: NDArray[np.int64]) -> NDArray[np.float32]:
        self.seen.append(picture.shape[-2:])
        found = np.zeros((len(boxes), *picture.shape[-2:]), np.float32)
        grey = picture if picture.ndim == 2 else picture[0]
        for one, (top, left, bottom, right) in zip(found, boxes, strict=True):
            one[top:bottom, left:right] = grey[top:bottom, left:right]
        return found


def block(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A box off the middle, of other sides along each axis."""
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(side // 5, side // 5 + side // (2 + place)) for place, side in enumerate(shape))] = True
    return inside


@pytest.mark.parametrize(
    "affine", [*AFFINES.values(), oblique((1.0, 1.0, 2.5)), TURNED], ids=[*AFFINES, "oblique", "turned"]
)
def test_a_volume_is_refined_on_its_own_voxels(affine: NDArray[np.float64], tmp_path: Path) -> None:
    truth = block((30, 26, 34))
    coarse = truth & np.roll(truth, 2, axis=0) & np.roll(truth, -1, axis=1)
    path = write_nifti(tmp_path / "volume.nii.gz", 200 * truth.astype(np.float32), affine)
    found = refine_mask(read_image(path), path, coarse.astype(np.uint8), Bright(), PRESETS["mri"])
    assert found.mask.shape == truth.shape
    held = coarse.any(axis=_others(affine))  # nothing is found on slices where nothing was
    kept = np.moveaxis(truth, _across(affine), 0) & held[:, None, None]
    np.testing.assert_array_equal(np.moveaxis(found.mask, _across(affine), 0) > 0, kept)
    assert (found.mask > 0).sum() > coarse.sum()


def _across(affine: NDArray[np.float64]) -> int:
    """The file's axis with the widest spacing; of equals the one that runs along S."""
    spacing = np.round(np.linalg.norm(affine[:3, :3], axis=0), 2)
    along = np.abs(affine[2, :3]) / spacing
    return int(np.lexsort((along, spacing))[-1])


def _others(affine: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple({0, 1, 2} - {_across(affine)})


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_refined_on_their_own_pixels(channels: int, tmp_path: Path) -> None:
    truth = block((50, 36))
    coarse = (truth & np.roll(truth, 3, axis=0)).astype(np.uint8)
    values = 200 * truth.astype(np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(values.T if channels == 1 else np.repeat(values.T[..., None], 3, axis=-1)).save(path)
    segmenter = Bright()
    preset = PRESETS["xray" if channels == 1 else "fundus"]
    image = read_image(path)
    assert image.shape[1:] == truth.shape
    found = refine_mask(image, path, coarse, segmenter, preset)
    np.testing.assert_array_equal(found.mask > 0, truth)
    assert segmenter.seen == [truth.shape]
