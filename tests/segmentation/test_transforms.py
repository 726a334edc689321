from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from tests.support.phantoms import ellipsoids, oblique, write_nifti, write_png
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.transforms import ReadPair, read_for_network, training_transforms

Case = tuple[dict[str, str], Preset, SegmentationPlan]


@pytest.fixture(params=["xray", "mri"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    preset = PRESETS[request.param]
    rng = np.random.default_rng(0)
    if preset.spatial_dims == 2:
        image, mask = ellipsoids((70, 50), 2, rng)
        paths = write_png(tmp_path / "image.png", 100 + 50 * image), write_png(tmp_path / "label.png", mask)
    else:
        image, mask = ellipsoids((30, 26, 20), 2, rng)
        affine = oblique((1.0, 1.2, 1.5))
        paths = (
            write_nifti(tmp_path / "image.nii.gz", image.astype(np.float32), affine),
            write_nifti(tmp_path / "label.nii.gz", mask, affine),
        )
    pair = {"image": str(paths[0]), "label": str(paths[1])}
    good, _ = usable_pairs([pair], preset, ("a", "b"))
    return pair, preset, plan_from(good, preset, ("a", "b"))


def one(result: object) -> dict[str, torch.Tensor]:
    """RandCrop returns a list of one."""
    return result[0] if isinstance(result, list) else result  # type: ignore[return-value]


def test_training_and_inference_share_the_preprocessing(case: Case) -> None:
    pair, preset, plan = case
    validation = ReadPair(preset, plan)(pair)
    seen, _ = read_for_network(pair["image"], preset, plan)
    torch.testing.assert_close(validation["image"], seen)
    first = training_transforms(preset, plan, seed=0).transforms[0](pair)
    torch.testing.assert_close(first["image"], seen)


def test_training_samples_fit_the_network_and_are_plain_tensors(case: Case) -> None:
    pair, preset, plan = case
    sample = one(training_transforms(preset, plan, seed=0)(pair))
    assert sample["image"].shape == (preset.channels, *plan.roi)
    assert sample["label"].shape == (1, *plan.roi)
    assert not isinstance(sample["image"], MetaTensor)
    assert set(sample["label"].unique().tolist()) <= {0, 1, 2}


def test_augmentation_moves_image_and_label_together(case: Case) -> None:
    """The phantom is dark outside its labels, so brightness under the moved label tells."""
    pair, preset, plan = case
    transforms = training_transforms(preset, plan, seed=0)
    for _ in range(10):
        sample = one(transforms(pair))
        inside = sample["label"] > 0
        if inside.any() and (~inside).any():
            assert sample["image"][inside].mean() > sample["image"][~inside].mean() + 0.2


def test_augmentation_varies_and_the_seed_fixes_it(case: Case) -> None:
    pair, preset, plan = case
    first, again, other = (training_transforms(preset, plan, seed=seed) for seed in (0, 0, 1))
    series = [[one(transforms(pair))["image"] for _ in range(3)] for transforms in (first, again, other)]
    assert not torch.equal(series[0][0], series[0][1])
    for a, b in zip(series[0], series[1], strict=True):
        assert torch.equal(a, b)
    assert not all(torch.equal(a, b) for a, b in zip(series[0], series[2], strict=True))


def test_an_empty_label_can_be_cropped(case: Case, tmp_path: Path) -> None:
    pair, preset, plan = case
    if preset.spatial_dims == 3:
        empty = write_nifti(tmp_path / "empty.nii.gz", np.zeros((30, 26, 20), dtype=np.uint8), oblique((1.0, 1.2, 1.5)))
    else:
        empty = write_png(tmp_path / "empty.png", np.zeros((70, 50)))
    sample = one(training_transforms(preset, plan, seed=0)({**pair, "label": str(empty)}))
    assert not sample["label"].any()
