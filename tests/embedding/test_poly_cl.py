"""PolyCL: what is drawn together and what is pushed apart, and that scans are told apart by it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.phantoms import write_nifti, write_png
from xssr_strategy.embedding.augmentation import crops
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.encoder import TrainingBatch, TrainingSettings
from xssr_strategy.embedding.poly_cl import PolyCL, contrastive_loss, drawn_examples
from xssr_strategy.embedding.training import COLLAPSED, encode_all, mean_cosine, train_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    one, same, other = torch.randn(3, 8, 16).double()
    expected = []
    for a, p, n in zip(one.numpy(), same.numpy(), other.numpy(), strict=True):
        near, far = (float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in (p, n))
        expected.append(-math.log(math.exp(near / 0.5) / (math.exp(near / 0.5) + math.exp(far / 0.5))))
    assert float(contrastive_loss(one, same, other, 0.5)) == pytest.approx(np.mean(expected))


SCANS = torch.tensor([7, 7, 3, 5])  # an image may be twice in a batch


def drawn(rule: str, slices: int, organ: torch.Tensor | None = None, times: int = 1500) -> torch.Tensor:
    """(3, n) anchors, positives and negatives of many draws."""
    torch.manual_seed(0)
    return torch.cat([drawn_examples(SCANS, slices, rule, organ) for _ in range(times)], dim=1)


def test_by_scan_positives_are_other_slices_of_it_and_negatives_slices_of_others() -> None:
    found = drawn("scan", 5)
    anchors, positives, negatives = (SCANS[part // 5] for part in found)
    assert found.shape == (3, 4 * 1500)
    assert (anchors == positives).all()
    assert (found[0] != found[1]).all()
    assert (anchors != negatives).all()
    third = found[:, found[0] // 5 == 2]
    assert len(set(zip(*third[:2].tolist(), strict=True))) == 5 * 4  # each other slice comes up
    assert len(set(third[2].tolist())) == 15


def test_by_organ_the_scan_does_not_matter() -> None:
    organ = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 1, -1], [-1, -1, -1]], dtype=torch.int8)
    found = drawn("organ", 3, organ)
    anchors, positives, negatives = (organ.flatten()[part] for part in found)
    assert (anchors == positives).all()
    assert (anchors + negatives == 1).all()
    assert (found[0] != found[1]).all()
    assert set(found.flatten().tolist()) == set(range(8))  # not what nobody knows
    assert bool((SCANS[found[0] // 3] != SCANS[found[1] // 3]).any())


def test_mixed_takes_both_and_leaves_out_whom_it_finds_none_for() -> None:
    organ = torch.tensor([[1, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, -1]], dtype=torch.int8)
    found = drawn("mixed", 3, organ)
    anchors, positives, negatives = found
    holds, scan = organ.flatten(), SCANS.repeat_interleave(3)
    assert (scan[anchors] == scan[positives]).all()
    assert (holds[anchors] == holds[positives]).all()
    assert (anchors != positives).all()
    assert (scan[anchors] != scan[negatives]).all()
    assert (holds[anchors] + holds[negatives] == 1).all()
    assert 9 not in anchors  # the one slice of scan 5 without the organ has no other
    assert not {8, 11} & set(anchors.tolist())
    assert {0, 3} <= set(anchors.tolist())


def test_of_a_picture_both_are_the_picture() -> None:
    anchors, positives, negatives = drawn("scan", 1)
    assert (SCANS[anchors] == SCANS[positives]).all()
    assert (SCANS[anchors] != SCANS[negatives]).all()


def test_a_picture_belongs_to_others_of_its_scan_and_to_itself_only_without_one() -> None:
    torch.manual_seed(0)
    scans = torch.tensor([7, 7, 7, 3, 5])
    found = torch.cat([drawn_examples(scans, 1, "scan") for _ in range(300)], dim=1)
    pairs = set(zip(*found[:2].tolist(), strict=True))
    assert pairs == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (3, 3), (4, 4)}
    assert (scans[found[0]] != scans[found[2]]).all()


def test_batches_hold_two_pictures_of_a_patient_each_picture_once_an_epoch(tmp_path: Path) -> None:
    class Watched(PolyCL):
        def training_loss(self, batch: TrainingBatch, settings: TrainingSettings) -> torch.Tensor:
            seen.append((batch.images[:, 0, 0, 0, 0].mul(1024).round().long().tolist(), batch.scans.tolist()))
            return super().training_loss(batch, settings)

    seen: list[tuple[list[int], list[int]]] = []
    inputs = (np.arange(24)[:, None, None, None, None] / 1024 * np.ones((1, 1, 1, 32, 32))).astype(np.float16)
    of_whom = np.array([3, 1, 2, 0] * 6)
    train_encoder(Watched(1, 1), inputs, TrainingSettings(steps=6, batch_size=8), tmp_path / "state", scans=of_whom)
    for epoch in (seen[:3], seen[3:]):
        assert sorted(image for images, _ in epoch for image in images) == list(range(24))
    for images, patients in seen:
        assert patients == of_whom[images].tolist()
        assert patients[::2] == patients[1::2]
    assert seen[0] != seen[3]


def test_a_batch_without_any_example_changes_nothing(tmp_path: Path) -> None:
    encoder = PolyCL(1, 2, "organ")
    inputs, organ = np.random.default_rng(0).random((4, 2, 1, 32, 32)).astype(np.float16), np.ones((4, 2), np.int8)
    settings = TrainingSettings(steps=2, batch_size=4, weight_decay=0.0)
    before = encode_all(encoder.eval(), inputs)
    assert train_encoder(encoder, inputs, settings, tmp_path / "state", organ=organ) == 0.0
    np.testing.assert_array_equal(encode_all(encoder, inputs), before)


def test_a_single_image_has_nothing_to_be_told_apart_from(tmp_path: Path) -> None:
    inputs = np.zeros((1, 1, 1, 32, 32), np.float16)
    with pytest.raises(UserError, match="a contrastive encoder needs two images at least"):
        train_encoder(PolyCL(1, 1), inputs, TrainingSettings(steps=1), tmp_path / "state")
    many = np.zeros((4, 1, 1, 32, 32), np.float16)
    with pytest.raises(UserError, match="a contrastive encoder needs two images at least"):
        train_encoder(PolyCL(1, 1), many, TrainingSettings(steps=1), tmp_path / "state", scans=np.zeros(4, np.intp))


def test_a_batch_of_one_patient_among_several_does_not_end_the_training(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).random((20, 1, 1, 32, 32)).astype(np.float16)
    of_whom = np.array([0] * 18 + [1] * 2)
    losses: list[int] = []
    settings = TrainingSettings(steps=10, batch_size=4)
    encoder = PolyCL(1, 1)
    train_encoder(encoder, inputs, settings, tmp_path / "state", "", lambda step, _: losses.append(step), scans=of_whom)
    assert losses == list(range(1, 11))


def test_a_training_that_was_told_otherwise_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xssr_strategy.embedding.training._SAVE_EVERY", 0.0)
    inputs = np.random.default_rng(0).random((6, 1, 1, 32, 32)).astype(np.float16)
    settings, state = TrainingSettings(steps=2, batch_size=4), tmp_path / "state"
    halves, thirds = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    organ, none = np.array([[1], [0]] * 3, np.int8), np.array([[0], [1]] * 3, np.int8)
    for told in (
        {"scans": halves},
        {"scans": thirds},
        {"scans": thirds, "organ": organ},
        {"scans": thirds, "organ": none},
    ):
        for expected in ([1, 2], []):
            steps: list[int] = []
            note = steps.append
            train_encoder(PolyCL(1, 1, "mixed"), inputs, settings, state, "", lambda step, _, n=note: n(step), **told)
            assert steps == expected


def test_crops_stay_inside_the_picture_and_in_its_range() -> None:
    """Of a picture without a dark pixel none becomes dark, as beyond the border it would."""
    torch.manual_seed(0)
    pictures = torch.full((64, 1, 24, 24), 0.5)
    seen = crops(pictures)
    assert seen.shape == pictures.shape
    inner = seen[:, :, 3:-3, 3:-3]  # the corners of a rotated part may lie outside
    assert float(inner.min()) >= 0.8 * 0.5**1.4 - 1e-4
    assert float(seen.max()) <= min(1.0, 1.2 * 0.5**0.7) + 1e-4
    assert len({round(float(one.mean()), 4) for one in inner}) > 50  # each of its own contrast


def test_a_crop_is_a_part_that_may_be_mirrored_left_to_right_and_never_upside_down() -> None:
    torch.manual_seed(0)
    columns = torch.linspace(0.1, 0.9, 32).expand(1, 1, 32, 32)
    rising = [float(one[0, :, -8:].mean() - one[0, :, :8].mean()) > 0 for one in crops(columns.repeat(200, 1, 1, 1))]
    assert 60 < sum(rising) < 140
    downwards = columns.transpose(-1, -2)
    lower = [float(one[0, -8:].mean() - one[0, :8].mean()) > 0 for one in crops(downwards.repeat(200, 1, 1, 1))]
    assert all(lower)


def test_the_vector_of_a_volume_is_the_mean_over_its_slices_read_upright(tmp_path: Path) -> None:
    preset = PRESETS["mri"]
    encoder = build_encoder("poly_cl", preset)
    assert isinstance(encoder, PolyCL)
    volume = np.zeros((20, 24, 30), np.float32)
    volume[12:, :6] = 100.0  # at the patient's right, posterior
    path = write_nifti(tmp_path / "x.nii.gz", volume, np.eye(4))
    seen = encoder.read(path, preset)
    assert seen.shape == encoder.input_shape(preset) == (9, 1, 128, 128)
    picture = encoder.picture(seen)[0]
    assert picture[104:, 16:44].mean() > 0.9  # on the left, at the bottom
    assert picture[:, 70:].max() == picture[:80].max() == 0
    each = torch.stack([encoder.encode(one[None, None])[0] for one in seen])
    torch.testing.assert_close(encoder.encode(seen[None])[0], each.mean(dim=0))


def test_pictures_are_read_as_one_slice(tmp_path: Path) -> None:
    preset = PRESETS["xray"]
    encoder = build_encoder("poly_cl", preset)
    seen = encoder.read(write_png(tmp_path / "x.png", np.arange(64 * 48).reshape(64, 48) % 256), preset)
    assert seen.shape == (1, 1, 128, 128)


def textured_scans(count: int = 8, slices: int = 5) -> np.ndarray:
    """Slices of a scan share the width of its stripes; place and noise are each slice's own."""
    rng = np.random.default_rng(0)
    axis = np.arange(32)
    scans = []
    for width in np.linspace(2, 7, count):
        waves = [0.5 + 0.4 * np.sin(axis / width + rng.uniform(0, 6)) for _ in range(slices)]
        scans.append([np.tile(wave, (32, 1)) + rng.normal(0, 0.05, (32, 32)) for wave in waves])
    return np.clip(scans, 0, 1)[:, :, None].astype(np.float16)


def test_training_brings_slices_of_a_scan_together_and_does_not_collapse(tmp_path: Path) -> None:
    scans = textured_scans()
    torch.manual_seed(0)
    encoder = PolyCL(1, 5)
    loss = train_encoder(encoder, scans, TrainingSettings(steps=120), tmp_path / "state", device=torch.device("cpu"))
    assert loss < 0.8 * math.log(2)  # of an encoder that tells nothing apart
    vectors = encode_all(encoder, scans)
    assert vectors.shape == (8, 256)
    assert mean_cosine(vectors) < COLLAPSED - 0.05
    alone = encode_all(encoder, scans.reshape(40, 1, 1, 32, 32))
    alone -= alone.mean(axis=0)
    alone /= np.linalg.norm(alone, axis=1, keepdims=True)
    alike = (alone @ alone.T).reshape(8, 5, 8, 5).mean(axis=(1, 3))  # of slices of two scans
    assert np.diag(alike).mean() > alike[~np.eye(8, dtype=bool)].mean() + 0.4


def test_by_organ_slices_of_unlike_scans_come_together(tmp_path: Path) -> None:
    """Every second slice holds a bright disc, its own place and size each time, on the texture of its scan."""
    scans = textured_scans(slices=6)
    rows, columns = np.ogrid[:32, :32]
    rng = np.random.default_rng(1)
    for scan in scans:
        for one in scan[::2]:
            row, column = rng.uniform(10, 22, 2)
            one[0][(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(4, 6) ** 2] = 1.0
    organ = np.tile(np.array([1, 0] * 3, np.int8), (8, 1))
    torch.manual_seed(0)
    encoder = PolyCL(1, 6, "organ")
    cpu = torch.device("cpu")
    loss = train_encoder(encoder, scans, TrainingSettings(steps=120), tmp_path / "state", device=cpu, organ=organ)
    assert loss < 0.8 * math.log(2)
    alone = encode_all(encoder, scans.reshape(48, 1, 1, 32, 32))
    alone -= alone.mean(axis=0)
    alone /= np.linalg.norm(alone, axis=1, keepdims=True)
    alike = alone @ alone.T
    holds = organ.flatten() == 1
    other_scan = np.repeat(np.arange(8), 6)[:, None] != np.repeat(np.arange(8), 6)
    same, unlike = holds[:, None] == holds, holds[:, None] != holds
    assert alike[same & other_scan].mean() > alike[unlike & other_scan].mean() + 0.2


def test_its_input_does_not_depend_on_the_presets_cube() -> None:
    small = replace(PRESETS["mri"], encoder_size=16)
    assert build_encoder("poly_cl", small).input_shape(small) == (9, 1, 128, 128)
