"""Voxels that nobody has looked at count in neither loss nor Dice, whatever trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from monai.networks import one_hot
from monai.transforms import RandCropByPosNegLabeld
from torch.nn import functional as F

from tests.support.phantoms import ellipsoids, write_nifti, write_png
from tests.support.trainings import MRI, XRAY
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.labels.reading import labelled_pair, usable_pairs
from xssr_strategy.labels.values import IGNORED
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import StepResult, Work
from xssr_strategy.segmentation.methods.catalogue import METHODS, method_names
from xssr_strategy.segmentation.methods.mask_autoencoding import MaskAutoencoding
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.pair_cache import NoCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import EpochReport, Validation, _RunningDice, train
from xssr_strategy.segmentation.transforms import _PlacesOfWindows, training_transforms

CPU = torch.device("cpu")
NAMES = ("blob", "ignore")


def partly_seen(folder: Path, dims: int = 2, count: int = 2) -> list[dict[str, str]]:
    """Labelled phantoms whose last third was not looked at, and has the number 2."""
    rng, pairs = np.random.default_rng(0), []
    for number in range(count):
        image, mask = ellipsoids((60, 48) if dims == 2 else (24, 20, 18), 1, rng)
        mask[-mask.shape[0] // 3 :] = 2
        if dims == 2:
            files = folder / f"{number}.png", folder / f"{number}_label.png"
            write_png(files[0], np.clip(60 + 120 * image, 0, 255))
            write_png(files[1], mask)
        else:
            files = folder / f"{number}.nii.gz", folder / f"{number}_label.nii.gz"
            write_nifti(files[0], image.astype(np.float32), np.eye(4))
            write_nifti(files[1], mask, np.eye(4))
        pairs.append(labelled_pair(str(files[0]), str(files[1]), NAMES))
    return pairs


@pytest.mark.parametrize("labels", [1, 3])
def test_the_loss_is_that_of_the_voxels_that_were_seen(labels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, labels + 1, 12, 10), generator=generator, requires_grad=True)
    label = torch.randint(0, labels + 1, (2, 1, 12, 10), generator=generator, dtype=torch.uint8)
    label[:, :, 8:] = IGNORED
    loss = build_loss()(logits, label)
    seen, known = logits[:, :, :8], label[:, :, :8]
    dice = DiceLoss(include_background=False, batch=True)(torch.softmax(seen, 1), one_hot(known, labels + 1))
    ignoring = F.cross_entropy(logits, label[:, 0].long(), ignore_index=IGNORED)
    torch.testing.assert_close(loss, ignoring + dice)
    torch.testing.assert_close(loss, build_loss()(seen, known))
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 8:].any()
    assert logits.grad[:, :, :8].any()


def test_a_batch_that_nobody_has_looked_at_teaches_nothing() -> None:
    logits = torch.randn((1, 2, 4, 4), requires_grad=True)
    loss = build_loss()(logits, torch.full((1, 1, 4, 4), IGNORED, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", method_names())
def test_every_method_trains_on_labels_of_which_a_part_was_not_looked_at(tmp_path: Path, name: str) -> None:
    usable, left_out = usable_pairs(partly_seen(tmp_path), XRAY, ("blob",))
    assert left_out == []
    plan = METHODS[name].planned(plan_from(usable, XRAY, ("blob",)), XRAY)
    encoder = METHODS[name].encoder
    weights = None if encoder is None else build_encoder(encoder, XRAY).state_dict()
    others = {pair["image"]: Path(pair["image"]) for pair in partly_seen(tmp_path / "others")}
    method = METHODS[name](6, steps_per_epoch=3)
    gradients, reports = [], list[EpochReport]()

    for stage in method.stages(TrainingData(XRAY, usable, others, encoder=weights), plan, 0, CPU):
        if isinstance(stage, Work):
            assert list(stage.parts)
            continue
        for batch in stage.batches if stage.segments else ():
            result: StepResult = stage.update(batch)
            assert result.logits is not None
            result.logits.retain_grad()
            sum(result.losses.values()).backward()
            assert result.label is not None
            ignored = (result.label == IGNORED).expand_as(result.logits)
            assert ignored.any()
            assert (result.label <= 1).any()
            gradients.append(result.logits.grad)
            assert not gradients[-1][ignored].any()
            assert gradients[-1][~ignored].any()
    validation = Validation(usable, 0)
    train(method, TrainingData(XRAY, usable, others, encoder=weights), plan, 0, CPU, validation, reports.append)
    assert all(0.0 <= (report.validation_dice or 0.0) <= 1.0 for report in reports)


def test_labels_that_end_where_nobody_has_looked_do_not_teach_what_masks_look_like(tmp_path: Path) -> None:
    partly = partly_seen(tmp_path, count=2)
    image, mask = ellipsoids((60, 48), 1, np.random.default_rng(5))
    write_png(tmp_path / "whole.png", np.clip(60 + 120 * image, 0, 255))
    write_png(tmp_path / "whole_label.png", mask)
    whole = labelled_pair(str(tmp_path / "whole.png"), str(tmp_path / "whole_label.png"), NAMES)
    for pairs, expected in (([*partly, whole], {whole["image"]}), (partly, {pair["image"] for pair in partly})):
        usable, _ = usable_pairs(pairs, XRAY, ("blob",))
        read: set[str] = set()

        class Noting(NoCache):
            def dataset(self, items: Any, *more: Any, noted: set[str] = read) -> Any:
                noted.update(item["image"] for item in items)
                return super().dataset(items, *more)

        MaskAutoencoding(2).judging(
            TrainingData(XRAY, usable, cache=Noting()), plan_from(usable, XRAY, ("blob",)), 0, CPU
        )
        assert read == expected


def test_the_dice_of_a_training_is_that_of_the_voxels_that_were_seen() -> None:
    label = torch.tensor([[[[0, 1, 1, IGNORED, IGNORED]]]], dtype=torch.uint8)
    logits = torch.tensor([[[[0.0, 0, 1, 0, 0]], [[1.0, 1, 0, 1, 1]]]])  # 1 1 0 1 1
    dice = _RunningDice()
    dice.add(logits, label)
    assert dice.mean() == pytest.approx(2 * 1 / (2 + 2))


def test_windows_are_centred_on_what_was_seen(tmp_path: Path) -> None:
    shape = (64, 40, 40)
    label = np.full(shape, 2, np.uint8)
    label[:20] = 0
    label[8, 20, 20] = 1
    write_nifti(tmp_path / "image.nii.gz", np.zeros(shape, np.float32), np.eye(4))
    write_nifti(tmp_path / "label.nii.gz", label, np.eye(4))
    pair = labelled_pair(str(tmp_path / "image.nii.gz"), str(tmp_path / "label.nii.gz"), NAMES)
    usable, _ = usable_pairs([pair], MRI, ("blob",))
    plan = plan_from(usable, MRI, ("blob",))
    small = type(plan)(**{**vars(plan), "roi": (16, 16, 16)})
    chain = training_transforms(MRI, small, 0)
    shares = [float((chain(pair)[0]["label"] == IGNORED).float().mean()) for _ in range(12)]
    assert max(shares) < 0.7  # a window around what was not looked at would hold nothing else


def test_windows_of_a_label_that_was_seen_as_a_whole_are_monais_own() -> None:
    label = torch.zeros((1, 20, 20, 20), dtype=torch.uint8)
    label[:, 3:6, 4:9, 5:9] = 1
    item = {"image": torch.arange(8000.0).reshape(1, 20, 20, 20), "label": label}
    numbers = {"label_key": "label", "spatial_size": (8, 8, 8), "pos": 2, "neg": 1, "num_samples": 1}
    theirs = RandCropByPosNegLabeld(("image", "label"), **numbers).set_random_state(seed=1)
    keys = {"fg_indices_key": "drawn", "bg_indices_key": "anywhere"}
    ours = RandCropByPosNegLabeld(("image", "label"), **numbers, **keys).set_random_state(seed=1)
    for _ in range(20):
        assert torch.equal(ours(_PlacesOfWindows()(item))[0]["image"], theirs(item)[0]["image"])
