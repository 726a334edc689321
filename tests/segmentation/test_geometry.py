from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.support.phantoms import AFFINES, ellipsoids, oblique, write_nifti
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.geometry import network_image, network_label, original_label
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from

MRI, XRAY = PRESETS["mri"], PRESETS["xray"]
PLAN_2D = plan_from([LabelledImage("", "", (10, 10), (1.0, 1.0))], XRAY, ("a",))


def plan_3d(*spacing: float) -> SegmentationPlan:
    return plan_from([LabelledImage("", "", (32, 32, 32), spacing)], MRI, ("a", "b"))


def logits_of(label: torch.Tensor, classes: int) -> torch.Tensor:
    return 20.0 * torch.nn.functional.one_hot(label[0].long(), classes).movedim(-1, 0)


@pytest.mark.parametrize("affine", [*AFFINES.values(), oblique(), oblique((0.7, 0.9, 2.5))])
@pytest.mark.parametrize("shape", [(9, 10, 11), (12, 7, 20)])
def test_at_the_plans_spacing_the_way_back_is_exact(tmp_path: Path, affine: np.ndarray, shape: tuple[int, ...]) -> None:
    """Random labels: a single voxel out of place would show."""
    drawn = np.random.default_rng(0).integers(0, 3, shape)
    original = read_image(write_nifti(tmp_path / "label.nii.gz", drawn.astype(np.float32), affine))
    conformed = conform(original, MRI)
    plan = plan_3d(*(float(step) for step in nib.affines.voxel_sizes(conformed.affine.numpy())))
    assert network_image(conformed, MRI, plan).shape == conformed.shape
    back = original_label(logits_of(conformed.as_tensor(), 3), original.affine.numpy(), shape)
    np.testing.assert_array_equal(back.numpy(), drawn)


@pytest.mark.parametrize("spacing", [(1.4, 1.1, 2.0), (0.8, 0.9, 0.6)])
def test_through_another_spacing_the_label_stays_in_place(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    affine = oblique((1.0, 0.7, 1.6))
    _, drawn = ellipsoids((40, 44, 24), 2, np.random.default_rng(0))
    original = read_image(write_nifti(tmp_path / "label.nii.gz", drawn.astype(np.float32), affine))
    conformed = conform(original, MRI)
    grid = plan_3d(*spacing).grid_of(conformed.shape[1:], nib.affines.voxel_sizes(conformed.affine.numpy()))
    small = network_label(conformed.as_tensor().to(torch.uint8), grid)
    back = original_label(logits_of(small, 3), original.affine.numpy(), drawn.shape).numpy()
    for label in (1, 2):
        overlap = 2 * ((back == label) & (drawn == label)).sum() / ((back == label).sum() + (drawn == label).sum())
        assert overlap > 0.9
        shift = np.mean(np.nonzero(back == label), axis=1) - np.mean(np.nonzero(drawn == label), axis=1)
        assert np.abs(shift).max() < 0.25  # voxels


def test_running_argmax_equals_argmax_of_interpolated_probabilities() -> None:
    logits = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    probabilities = torch.softmax(logits, 0)[None]
    size = (13, 21)
    wanted = torch.nn.functional.interpolate(probabilities, size=size, mode="bilinear", antialias=True)[0].argmax(0)
    torch.testing.assert_close(original_label(logits, np.eye(4), size).long(), wanted)


def test_probabilities_are_interpolated_not_labels() -> None:
    """Between a sure voxel and an unsure one the border moves towards the unsure one."""
    foreground = torch.tensor([[5.0, 0.2, -5.0, -5.0]])
    logits = torch.stack([-foreground, foreground])
    label = original_label(logits, np.eye(4), (1, 16))
    assert label.sum() == 7  # nearest neighbour would give 8


def test_2d_images_are_resized_to_the_square_without_aliasing(tmp_path: Path) -> None:
    stripes = np.zeros((1024, 600), dtype=np.float32)
    stripes[::2] = 1  # finer than the network's grid: it can only be grey there
    original = read_image(write_nifti(tmp_path / "image.nii.gz", stripes, np.eye(4)))
    seen = network_image(original, XRAY, PLAN_2D)
    assert seen.shape == (1, *PLAN_2D.roi)
    assert seen[:, 4:-4].sub(0.5).abs().max() < 0.1


def test_labels_are_resized_to_labels() -> None:
    label = torch.randint(0, 3, (1, 50, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8) * 2
    resized = network_label(label, (32, 32))
    assert resized.shape == (1, 32, 32)
    assert set(resized.unique().tolist()) == {0, 2, 4}
