from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from tests.support.phantoms import phantom_pairs, write_png
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.segmentation.methods.catalogue import SUPERVISED
from xssr_strategy.segmentation.methods.recipe import RECIPE
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.simulation.evaluation import score, scores
from xssr_strategy.simulation.work import Training, trained_network, training_of

CPU = torch.device("cpu")
XRAY = replace(PRESETS["xray"], segmentation_size=48)


def training(
    pairs: Sequence[Mapping[str, str]],
    preset: Preset,
    labels: tuple[str, ...],
    steps: int,
    seed: int,
    min_spacing: float = 0.0,
) -> Training:
    """A training without test cases."""
    return training_of(
        pairs=pairs,
        cases={},
        preset=preset,
        labels=labels,
        method=SUPERVISED,
        recipe=RECIPE,
        steps=steps,
        seed=seed,
        threads=1,
        out=Path("unused"),
        unlabelled={},
        min_spacing=min_spacing,
        entropy_of={},
        features_of={},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "labels"), [(XRAY, ("blob",)), (XRAY, ("a", "b")), (PRESETS["mri"], ("anterior", "posterior"))]
)
def test_a_network_learns_and_the_same_seed_gives_the_same_network(
    tmp_path: Path, preset: Preset, labels: tuple[str, ...]
) -> None:
    pairs = phantom_pairs(tmp_path, 4, preset.spatial_dims, len(labels))
    kept = MemoryCache(CPU)

    def mean_dice(steps: int, seed: int) -> float:
        network, plan = trained_network(training(pairs[:3], preset, labels, steps, seed), kept, CPU)
        scored = score(network, plan, preset, pairs[3], CPU)
        assert len(scored.dice) == len(scored.hd95) == len(labels)
        assert scored.prediction.shape == scored.truth.shape == scored.image.shape[1:]
        return float(np.mean(scored.dice))

    assert mean_dice(60, 0) > mean_dice(1, 0) + 0.2
    assert mean_dice(5, 0) == mean_dice(5, 0) != mean_dice(5, 1)


def test_a_network_that_sees_coarse_voxels_is_scored_on_those_of_the_image(tmp_path: Path) -> None:
    preset = PRESETS["mri"]
    pairs = phantom_pairs(tmp_path, 2, 3, 1)
    fine = training(pairs[:1], preset, ("blob",), steps=1, seed=0)
    assert training(pairs[:1], preset, ("blob",), 1, 0, min_spacing=0.0).digest == fine.digest
    coarse = training(pairs[:1], preset, ("blob",), 1, 0, min_spacing=4.0)
    assert coarse.digest != fine.digest
    network, plan = trained_network(coarse, MemoryCache(CPU), CPU)
    assert min(plan.spacing) == 4.0
    scored = score(network, plan, preset, pairs[1], CPU)
    truth = nib.load(pairs[1]["label"])
    assert tuple(scored.prediction.shape) == tuple(scored.truth.shape) == truth.shape
    assert int((scored.truth > 0).sum()) == int((truth.get_fdata() > 0).sum())


def test_a_label_that_cannot_be_used_ends_the_training_with_its_name(tmp_path: Path) -> None:
    pairs = phantom_pairs(tmp_path, 2, 2, 1)
    write_png(Path(pairs[1]["label"]), np.zeros((10, 10), dtype=np.uint8))
    with pytest.raises(UserError, match=r"labels/1.png: the label is 10 x 10 but its image is"):
        trained_network(training(pairs, XRAY, ("blob",), 1, 0), MemoryCache(CPU), CPU)


def surface_distance(found: torch.Tensor, truth: torch.Tensor, spacing: tuple[float, float]) -> float:
    """Mean distance of the found contour's pixels to the true contour, by SimpleITK."""
    contours = []
    for mask in (found, truth):
        image = sitk.GetImageFromArray(mask.numpy())
        image.SetSpacing(spacing[::-1])
        contours.append(sitk.LabelContour(image, fullyConnected=False))
    far = sitk.SignedMaurerDistanceMap(contours[1], insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    distances = np.maximum(sitk.GetArrayFromImage(far), 0.0)
    return float(distances[sitk.GetArrayFromImage(contours[0]) > 0].mean())


def test_scores_are_those_that_can_be_worked_out_by_hand() -> None:
    truth = torch.zeros(20, 10, dtype=torch.uint8)
    truth[5:15, 2:8] = 1
    moved = torch.roll(truth, 3, dims=0)
    assert scores(truth, truth, 1, (1.0, 1.0)) == ((1.0,), (0.0,), (0.0,))
    dice, hd95, asd = scores(moved, truth, 1, (2.0, 1.0))
    assert dice[0] == pytest.approx(0.7)
    assert hd95[0] == pytest.approx(6.0)  # three rows of 2 mm
    assert asd[0] == pytest.approx(surface_distance(moved, truth, (2.0, 1.0)))


def test_a_label_that_was_missed_costs_the_diagonal_and_one_that_is_not_there_does_not_count() -> None:
    truth = torch.zeros(30, 40, dtype=torch.uint8)
    truth[10:20, 10:20] = 1
    dice, hd95, asd = scores(torch.zeros_like(truth), truth, 2, (1.0, 1.0))
    assert dice[0] == 0.0
    assert hd95[0] == asd[0] == pytest.approx(50.0)
    assert math.isnan(dice[1])
    assert math.isnan(hd95[1])
    assert math.isnan(asd[1])
    with_extra = truth.clone()
    with_extra[0, 0] = 2  # found where there is none: counts for neither
    assert math.isnan(scores(with_extra, truth, 2, (1.0, 1.0))[0][1])


def test_a_nearly_empty_test_label_keeps_its_score(tmp_path: Path) -> None:
    pairs = phantom_pairs(tmp_path, 3, 2, 1)
    network, plan = trained_network(training(pairs[:1], XRAY, ("blob",), 1, 0), MemoryCache(CPU), CPU)
    write_png(Path(pairs[2]["label"]), np.zeros((60, 48), dtype=np.uint8))
    assert math.isnan(score(network, plan, XRAY, pairs[2], CPU).dice[0])
    assert not math.isnan(score(network, plan, XRAY, pairs[1], CPU).dice[0])


def test_masks_may_be_boolean_and_hold_no_fractions() -> None:
    truth = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0]])
    prediction = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    expected = scores(prediction, truth, 1, (1.0, 1.0))
    assert scores(prediction.bool(), truth.bool(), 1, (1.0, 1.0)) == expected
    assert scores(prediction.float(), truth.to(torch.uint8), 1, (1.0, 1.0)) == expected
    for soft in ((0.9 * prediction, truth), (prediction, 0.9 * truth)):
        with pytest.raises(ValueError, match="must hold label numbers, not fractions: take the argmax first"):
            scores(*soft, 1, (1.0, 1.0))
