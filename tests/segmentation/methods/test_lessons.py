"""What the student of a semi-supervised method is shown, and what it is to say of it, pixel by pixel.

Every image is of one grey value, from which a pixel's origin can be told wherever it was pasted.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.scans import CPU, scans
from tests.support.trainings import XRAY
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods import fixmatch, semi_supervised, ust_run
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.fixmatch import FixMatch
from xssr_strategy.segmentation.methods.semi_supervised import (
    BOX_ASPECT,
    COLLAPSED_AFTER,
    EMA_DECAY,
    Guess,
    Lesson,
    SemiSupervised,
    Views,
    copy_paste_box,
    ramp_up,
)
from xssr_strategy.segmentation.methods.ust_run import AMPLITUDES, QUEUE, Example, UstRun
from xssr_strategy.segmentation.plan import plan_from

SIDES = (24, 20)
LABELLED, WEAK, STRONG = (0.1, 0.2), (0.6, 0.8), (0.65, 0.85)


def label_of(image: Tensor) -> Tensor:
    """Labelled images hold 1 everywhere, the first unlabelled one 2, the other nothing."""
    return torch.where(image < 0.5, 1, torch.where(image < 0.7, 2, 0))


def constant(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, *SIDES).clone()


VIEWS = Views(constant(LABELLED), label_of(constant(LABELLED)), constant(WEAK), constant(STRONG))


class Oracle(nn.Module):
    """Is sure of ``label_of``."""

    def forward(self, image: Tensor) -> Tensor:
        return 50.0 * nn.functional.one_hot(label_of(image[:, 0]), 3).movedim(-1, 1).float()


class Noting(nn.Module):
    """Finds nothing, and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.shown.append(image.clone())
        return torch.zeros(len(image), 3, *image.shape[2:])


class WithoutStyle(UstRun):
    parts = UstRun.parts - {AMPLITUDES}


class WithoutQueue(UstRun):
    parts = UstRun.parts - {QUEUE}


def lessons(
    kind: type[SemiSupervised], monkeypatch: pytest.MonkeyPatch, *times: float
) -> tuple[list[Lesson], list[Tensor], list[Guess]]:
    """What is learnt at these times of a training, what the student saw, and what it was to say; each loss is 1."""
    wanted: list[Guess] = []

    def noting(logits: Tensor, guess: Guess) -> Tensor:
        wanted.append(guess)
        return torch.ones(())

    for module in (fixmatch, ust_run):
        monkeypatch.setattr(module, "trusted_loss", noting)
    student = Noting()
    consistency = kind(10).consistency(student, Oracle(), np.random.default_rng(0))
    return [consistency.lesson(VIEWS, time) for time in times], student.shown, wanted


def is_box(region: Tensor) -> bool:
    places = region.nonzero()
    lengths = places.max(0).values - places.min(0).values + 1
    return 0 < int(region.sum()) == int(lengths.prod()) < region.numel()


def test_fixmatch_shows_a_box_of_the_other_image_with_the_guess_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ((*labelled, one, other),), (guess,) = lessons(FixMatch, monkeypatch, 0.5)
    assert torch.equal(torch.stack(labelled), VIEWS.image)
    assert torch.equal(guess.label, label_of(torch.stack([one, other])))
    assert guess.trusted.all()
    for image, own, foreign in ((one, *STRONG), (other, *reversed(STRONG))):
        assert set(image.unique().tolist()) == {np.float32(own), np.float32(foreign)}
        assert is_box(image[0] == np.float32(foreign))


def test_ust_run_shows_both_mixtures_and_the_strong_view(monkeypatch: pytest.MonkeyPatch) -> None:
    _, shown, (inside, around, plain) = lessons(WithoutStyle, monkeypatch, 0.5)
    labelled, pasted_in, pasted_around, strong = shown[0].split(2)
    assert torch.equal(labelled, VIEWS.image)
    assert torch.equal(strong, VIEWS.strong)
    for image, guess in ((pasted_in, inside), (pasted_around, around), (strong, plain)):
        assert torch.equal(guess.label, label_of(image))
        assert guess.trusted.all()
    for row in range(2):
        box = pasted_in[row, 0] < 0.5  # of a labelled image in the unlabelled one
        assert is_box(box)
        assert torch.equal(pasted_around[row, 0] < 0.5, ~box)
        assert (
            set(pasted_in[row, 0, ~box].tolist())
            == set(pasted_around[row, 0, box].tolist())
            == {VIEWS.strong[row].max().item()}
        )


def test_the_hardest_image_comes_once_more_with_a_labelled_one_over_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    _, shown, wanted = lessons(WithoutStyle, monkeypatch, 0.5, 0.5)
    first, kept, second, _ = shown
    assert [len(first), len(second)] == [8, 9]
    assert torch.equal(kept, VIEWS.weak)
    covered = second[8]
    assert covered.max() < 0.5  # a labelled image holds its label everywhere
    assert torch.equal(wanted[3].label[2], label_of(covered))

    consistency = UstRun(10).consistency(Noting(), Oracle(), np.random.default_rng(0))
    image = constant((0.6,))
    one, other = (
        Example(value, Guess(torch.zeros_like(value).long(), torch.ones_like(value).bool()))
        for value in (image, image / 6)
    )
    one.guess.label[:, :, 4, 5] = 2
    other.guess.label[:, :, 9, 3] = 1
    both = consistency._covered(one, other)  # type: ignore[attr-defined]
    box = torch.zeros(SIDES, dtype=torch.bool)
    box[4:10, 3:6] = True
    assert torch.equal(both.image[0, 0] < 0.5, box)
    assert torch.equal(both.guess.label, torch.where(box, other.guess.label, one.guess.label))


@pytest.mark.parametrize("time", [0.0, 0.3, 0.9])
def test_the_weight_of_a_lesson_rises_and_that_of_guidance_with_its_square(
    time: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = ramp_up(time)
    (lesson,), _, _ = lessons(UstRun, monkeypatch, time)
    found = {name: loss.item() for name, loss in lesson.losses.items()}
    assert found == pytest.approx({"pasted_in": weight, "pasted_around": weight, "guided": weight**2})
    (lesson,), _, _ = lessons(FixMatch, monkeypatch, time)
    assert lesson.losses["consistency"].item() == pytest.approx(weight)


def test_amplitudes_are_mixed_by_a_share_up_to_that_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def noting(image: Tensor, towards: Tensor, share: Tensor) -> Tensor:
        assert torch.equal(towards, VIEWS.weak)
        shares.extend(share.tolist())
        return image

    monkeypatch.setattr(ust_run, "amplitude_mix", noting)
    lessons(WithoutQueue, monkeypatch, 0.0)
    assert shares == [0.0, 0.0]
    lessons(WithoutQueue, monkeypatch, *[0.6] * 40)
    assert 0.5 < max(shares) <= 0.6
    assert np.mean(shares[2:]) == pytest.approx(0.3, abs=0.05)


def test_half_of_what_is_pasted_comes_from_the_queue() -> None:
    consistency = UstRun(10).consistency(Noting(), Oracle(), np.random.default_rng(0))
    known = Example(VIEWS.image, Guess(VIEWS.label, torch.ones_like(VIEWS.label, dtype=torch.bool)))
    pasted = consistency._to_paste(known, 4)  # type: ignore[attr-defined]
    assert (pasted.image < 0.5).all()
    reliable = Example(VIEWS.weak, Guess(label_of(VIEWS.weak), torch.ones(2, 1, *SIDES, dtype=torch.bool)))
    consistency._reliable.offer(reliable, torch.zeros(2))  # type: ignore[attr-defined]
    pasted = consistency._to_paste(known, 4)  # type: ignore[attr-defined]
    assert int((pasted.image[:, 0, 0, 0] > 0.5).sum()) == 2
    assert torch.equal(pasted.guess.label, label_of(pasted.image))


@pytest.mark.parametrize("name", ["fixmatch", "ust_run"])
def test_what_is_published_is_the_average_of_the_students(name: str, tmp_path: Path) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    usable, _ = usable_pairs(found.pairs, XRAY, found.labels)
    data = TrainingData(XRAY, usable, found.unlabelled)
    (stage,) = METHODS[name](8, steps_per_epoch=4).stages(data, plan_from(usable, XRAY, found.labels), 0, CPU)
    wanted: dict[str, Any] = {}
    for step, batch in enumerate(islice(stage.batches, 3)):
        stage.optimiser.zero_grad()
        sum(stage.update(batch).losses.values()).backward()  # type: ignore[union-attr]
        stage.optimiser.step()
        stage.after_step()
        kept = min(1 - 1 / (step + 1), EMA_DECAY)
        for key, value in stage.network.state_dict().items():
            wanted[key] = value.clone() if step == 0 else kept * wanted[key] + (1 - kept) * value
    published = stage.published.state_dict()
    torch.testing.assert_close(published, wanted)
    assert any(not torch.equal(published[key], value) for key, value in stage.network.state_dict().items())


def test_a_teacher_has_collapsed_after_200_steps_in_a_row_without_a_label() -> None:
    nothing = Guess(torch.zeros(1, 1, 4, 4).long(), torch.ones(1, 1, 4, 4).bool())
    unsure = Guess(torch.ones(1, 1, 4, 4).long(), torch.zeros(1, 1, 4, 4).bool())
    something = Guess(torch.ones(1, 1, 4, 4).long(), torch.ones(1, 1, 4, 4).bool())
    assert COLLAPSED_AFTER == 200
    watch = semi_supervised._CollapseWatch()
    for _ in range(300):
        watch.see(nothing, 0.05)  # before the unlabelled images count
    for guess in [nothing] * 199 + [something] + [unsure] * 199:
        watch.see(guess, 0.5)
        assert not watch.collapsed
    watch.see(nothing, 0.5)
    assert watch.collapsed


def test_boxes_are_long_and_wide() -> None:
    rng, ratios = np.random.default_rng(0), []
    for _ in range(400):
        places = copy_paste_box((300, 300), rng)[0].nonzero()
        high, wide = (places.max(0).values - places.min(0).values + 1).tolist()
        ratios.append(high / wide)
    assert BOX_ASPECT[0] - 0.02 <= min(ratios) < 0.4
    assert 2.5 < max(ratios) <= BOX_ASPECT[1] + 0.1
