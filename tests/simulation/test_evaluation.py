from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from tests.support.phantoms import ellipsoids, oblique, write_nifti, write_png
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.segmentation.transforms import ReadPair
from xssr_strategy.simulation.evaluation import KeptPairs, score, scores, train

CPU = torch.device("cpu")
XRAY = replace(PRESETS["xray"], segmentation_size=48)


def phantoms(folder: Path, count: int, dims: int, labels: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        ending = "png" if dims == 2 else "nii.gz"
        image_file, label_file = folder / f"{index}.{ending}", folder / "labels" / f"{index}.{ending}"
        image, mask = ellipsoids((60, 48) if dims == 2 else (24, 20, 18), labels, rng)
        if dims == 2:
            write_png(image_file, np.clip(60 + 120 * image, 0, 255))
            write_png(label_file, mask)
        else:
            write_nifti(image_file, image.astype(np.float32), oblique((1.0, 1.0, 1.2)))
            write_nifti(label_file, mask, oblique((1.0, 1.0, 1.2)))
        pairs.append({"image": str(image_file), "label": str(label_file)})
    return pairs


@pytest.mark.parametrize(
    ("preset", "labels"), [(XRAY, ("blob",)), (XRAY, ("a", "b")), (PRESETS["mri"], ("anterior", "posterior"))]
)
def test_a_network_learns_and_the_same_seed_gives_the_same_network(
    tmp_path: Path, preset: Preset, labels: tuple[str, ...]
) -> None:
    pairs = phantoms(tmp_path, 4, preset.spatial_dims, len(labels))
    kept = KeptPairs(CPU)

    def mean_dice(steps: int, seed: int) -> float:
        network, plan = train(pairs[:3], preset, labels, steps, seed, kept, CPU)
        scored = score(network, plan, preset, pairs[3], CPU)
        assert len(scored.dice) == len(scored.hd95) == len(labels)
        assert scored.prediction.shape == scored.truth.shape == scored.image.shape[1:]
        return float(np.mean(scored.dice))

    assert mean_dice(60, 0) > mean_dice(1, 0) + 0.2
    assert mean_dice(5, 0) == mean_dice(5, 0) != mean_dice(5, 1)


def test_pairs_are_read_once_and_cannot_be_changed_by_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = phantoms(tmp_path, 2, 2, 1)
    kept = KeptPairs(CPU)
    from xssr_strategy.labels.reading import usable_pairs
    from xssr_strategy.segmentation.plan import plan_from

    plan = plan_from(usable_pairs(pairs, XRAY, ("blob",))[0], XRAY, ("blob",))
    reader = kept.reader(XRAY, plan)
    first = reader(pairs[0])
    expected = first["image"].clone()
    first["image"].zero_()
    Path(pairs[0]["image"]).unlink()
    assert torch.equal(reader(pairs[0])["image"], expected)
    assert torch.equal(Compose([reader])(pairs[0])["image"], expected)
    assert KeptPairs(CPU, room=0).reader(XRAY, plan)(pairs[1]).keys() == {"image", "label"}
    with pytest.raises(UserError, match="does not exist"):
        KeptPairs(CPU, room=0).reader(XRAY, plan)(pairs[0])
    assert isinstance(reader, ReadPair)


def test_a_label_that_cannot_be_used_ends_the_training_with_its_name(tmp_path: Path) -> None:
    pairs = phantoms(tmp_path, 2, 2, 1)
    write_png(Path(pairs[1]["label"]), np.zeros((10, 10), dtype=np.uint8))
    with pytest.raises(UserError, match=r"labels/1.png: the label is 10 x 10 but its image is"):
        train(pairs, XRAY, ("blob",), 1, 0, KeptPairs(CPU), CPU)


def test_scores_are_those_that_can_be_worked_out_by_hand() -> None:
    truth = torch.zeros(20, 10, dtype=torch.uint8)
    truth[5:15, 2:8] = 1
    moved = torch.roll(truth, 3, dims=0)
    assert scores(truth, truth, 1, (1.0, 1.0)) == ((1.0,), (0.0,))
    dice, hd95 = scores(moved, truth, 1, (2.0, 1.0))
    assert dice[0] == pytest.approx(0.7)
    assert hd95[0] == pytest.approx(6.0)  # three rows of 2 mm


def test_a_label_that_was_missed_costs_the_diagonal_and_one_that_is_not_there_does_not_count() -> None:
    truth = torch.zeros(30, 40, dtype=torch.uint8)
    truth[10:20, 10:20] = 1
    dice, hd95 = scores(torch.zeros_like(truth), truth, 2, (1.0, 1.0))
    assert dice[0] == 0.0
    assert hd95[0] == pytest.approx(50.0)
    assert math.isnan(dice[1])
    assert math.isnan(hd95[1])
    with_extra = truth.clone()
    with_extra[0, 0] = 2  # found where there is none: counts for neither
    assert math.isnan(scores(with_extra, truth, 2, (1.0, 1.0))[0][1])


def test_a_nearly_empty_test_label_keeps_its_score(tmp_path: Path) -> None:
    pairs = phantoms(tmp_path, 3, 2, 1)
    network, plan = train(pairs[:1], XRAY, ("blob",), 1, 0, KeptPairs(CPU), CPU)
    write_png(Path(pairs[2]["label"]), np.zeros((60, 48), dtype=np.uint8))
    assert math.isnan(score(network, plan, XRAY, pairs[2], CPU).dice[0])
    assert not math.isnan(score(network, plan, XRAY, pairs[1], CPU).dice[0])
