"""The parts of UST-RUN, each against its formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from monai.networks import one_hot

from xssr_strategy.segmentation.methods import ust_run
from xssr_strategy.segmentation.methods.semi_supervised import Guess, Views
from xssr_strategy.segmentation.methods.ust_run import (
    HARDNESS_LIMIT,
    LEAST_LIMIT,
    LIMIT_GROWTH,
    Example,
    ReliableQueue,
    UstRun,
    UstRunWithoutAmplitudes,
    UstRunWithoutGuidance,
    UstRunWithoutQueue,
    amplitude_mix,
    covering_box,
    hardness,
    merge_guidance,
)


def images_and_labels() -> tuple[Views, list[str]]:
    torch.manual_seed(0)
    label = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    label[:, :, 8:24, 8:24] = 1
    return Views(torch.rand(2, 1, 32, 32), label, torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)), []


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (UstRun, set()),
        (UstRunWithoutAmplitudes, {"amplitude_mix"}),
        (UstRunWithoutGuidance, {"merge_guidance"}),
        (UstRunWithoutQueue, {"hardness", "covering_box"}),
    ],
)
def test_an_ablation_lacks_its_part_and_no_other(
    kind: type[UstRun], missing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    views, used = images_and_labels()
    for name in ("amplitude_mix", "merge_guidance", "hardness", "covering_box"):
        original = getattr(ust_run, name)

        def noting(*arguments: Any, name: str = name, original: Any = original) -> Any:
            used.append(name)
            return original(*arguments)

        monkeypatch.setattr(ust_run, name, noting)
    torch.manual_seed(0)
    student, teacher = (torch.nn.Conv2d(1, 2, 3, padding=1) for _ in range(2))
    consistency = kind(10).consistency(student, teacher, np.random.default_rng(0))
    for step in range(2):
        lesson = consistency.lesson(views, 0.5 + 0.1 * step)
    assert {"amplitude_mix", "merge_guidance", "hardness", "covering_box"} - set(used) == missing
    assert lesson.losses.keys() == {"pasted_in", "pasted_around", "guided"}
    assert lesson.logits.shape == (2, 2, 32, 32)


def test_a_teacher_that_is_sure_is_followed() -> None:
    """A student learns what the teacher says of unlabelled images, whatever they show."""
    views, _ = images_and_labels()
    teacher = torch.nn.Conv2d(1, 2, 1)
    teacher.weight.data = torch.tensor([-50.0, 50.0]).reshape(2, 1, 1, 1)
    teacher.bias.data = torch.tensor([25.0, -25.0])  # label 1 where the image is bright
    student = torch.nn.Conv2d(1, 2, 1)
    torch.nn.init.zeros_(student.weight)
    consistency = UstRun(10).consistency(student, teacher, np.random.default_rng(0))
    optimiser = torch.optim.Adam(student.parameters(), 0.1)
    for _ in range(60):
        optimiser.zero_grad()
        views = Views(views.image, views.label, views.weak, views.weak)
        torch.stack([*consistency.lesson(views, 0.99).losses.values()]).sum().backward()
        optimiser.step()
    found = student(views.weak).argmax(1, keepdim=True)
    assert (found == (views.weak > 0.5)).float().mean() > 0.9


def reference(image: np.ndarray, towards: np.ndarray, share: float) -> np.ndarray:
    """Amplitudes of the centred square, with the zero frequency in the middle, one channel at a time."""
    mixed = []
    for one, other in zip(image, towards, strict=True):
        spectrum, style = np.fft.fftn(one), np.fft.fftshift(np.abs(np.fft.fftn(other)))
        amplitude = np.fft.fftshift(np.abs(spectrum))
        half = max(1, int(0.01 * min(one.shape)))
        square = tuple(slice(side // 2 - half, side // 2 + half + 1) for side in one.shape)
        amplitude[square] = (1 - share) * amplitude[square] + share * style[square]
        mixed.append(np.fft.ifftn(np.fft.ifftshift(amplitude) * np.exp(1j * np.angle(spectrum))).real)
    return np.clip(mixed, 0, 1)


@pytest.mark.parametrize("shape", [(1, 32, 48), (3, 31, 24), (1, 12, 10, 9), (1, 250, 210)])
def test_amplitudes_are_mixed_as_by_numpy(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images, others = rng.uniform(0.2, 0.8, (2, *shape)), rng.uniform(0.1, 0.6, (2, *shape))
    shares = [0.3, 0.9]
    found = amplitude_mix(torch.tensor(images), torch.tensor(others), torch.tensor(shares, dtype=torch.float64))
    for image, other, share, one in zip(images, others, shares, found, strict=True):
        np.testing.assert_allclose(one.numpy(), reference(image, other, share), atol=1e-9)


def test_a_share_of_nothing_leaves_the_image_and_of_all_gives_the_others_mean() -> None:
    torch.manual_seed(0)
    image, other = 0.4 + 0.1 * torch.rand(2, 1, 1, 32, 32), None
    image, other = image[0], 0.2 + image[1]
    torch.testing.assert_close(amplitude_mix(image, other, torch.zeros(1)), image)
    styled = amplitude_mix(image, other, torch.ones(1))
    assert styled.mean().item() == pytest.approx(other.mean().item(), abs=1e-4)
    detail = np.corrcoef(styled.flatten(), image.flatten())[0, 1]
    assert detail > 0.9  # what it shows stays


def test_guidance_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)

    def any_guess() -> Guess:
        return Guess(torch.tensor(rng.integers(0, 3, (2, 1, 9, 7))), torch.tensor(rng.random((2, 1, 9, 7)) > 0.3))

    plain, inside, around = (any_guess() for _ in range(3))
    box = torch.tensor(rng.random((2, 1, 9, 7)) > 0.5)
    merged = merge_guidance(plain, inside, around, box)
    for place in np.ndindex(2, 1, 9, 7):
        mixed = around if box[place] else inside  # where the unlabelled image was
        assert merged.label[place] == mixed.label[place]
        agrees = mixed.trusted[place] and plain.trusted[place] and mixed.label[place] == plain.label[place]
        assert bool(merged.trusted[place]) == bool(agrees)


def test_hardness_is_what_dice_leaves() -> None:
    rng = np.random.default_rng(0)
    one, other = (torch.tensor(rng.integers(0, 4, (5, 1, 8, 8))) for _ in range(2))
    dice = compute_dice(one_hot(one, 4), one_hot(other, 4), include_background=False).mean(1)
    torch.testing.assert_close(hardness(one, other, 4), 1 - dice.float())


def test_hardness_where_labels_are_missing() -> None:
    def image(*values: int) -> torch.Tensor:
        return torch.tensor(values).reshape(1, 1, 1, -1)

    assert hardness(image(0, 0), image(0, 0), 3).tolist() == [1.0]  # nothing to paste
    assert hardness(image(1, 0), image(1, 0), 3).tolist() == [0.0]  # both say that there is no label 2
    assert hardness(image(1, 0), image(1, 2), 3).tolist() == [0.5]


def example(*values: int) -> Example:
    image = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)
    return Example(image, Guess(image.long(), torch.ones_like(image, dtype=torch.bool)))


def kept(queue: ReliableQueue) -> list[int]:
    return [int(one.guess.label) for one, _ in queue._kept]


def test_the_queue_keeps_the_newest_and_its_limit_follows_the_hardest_in_it() -> None:
    queue = ReliableQueue(LIMIT_GROWTH, length=3)
    queue.offer(example(1, 2), torch.tensor([0.08, 0.5]))
    assert kept(queue) == [1]
    assert queue.limit == pytest.approx(0.08)
    queue.offer(example(3, 4), torch.tensor([0.05, 0.02]))
    assert kept(queue) == [3, 4, 1]
    assert queue.limit == pytest.approx(0.08)
    queue.offer(example(5), torch.tensor([0.03]))
    assert kept(queue) == [5, 3, 4]
    assert queue.limit == pytest.approx(0.05)
    queue.offer(example(6), torch.tensor([0.06]))
    assert kept(queue) == [5, 3, 4]
    assert queue.limit == pytest.approx(0.05 * LIMIT_GROWTH)
    for _ in range(5000):
        queue.offer(example(7), torch.tensor([1.0]))
    assert queue.limit == HARDNESS_LIMIT  # and never above


def test_images_on_which_all_agree_do_not_end_the_queue() -> None:
    queue = ReliableQueue(length=2)
    queue.offer(example(1, 2), torch.tensor([0.0, 0.0]))
    assert queue.limit == LEAST_LIMIT
    queue.offer(example(3), torch.tensor([0.0]))
    assert kept(queue) == [3, 1]


def test_the_queue_gives_what_it_has() -> None:
    queue, rng = ReliableQueue(), np.random.default_rng(0)
    assert queue.draw(2, rng) == []
    queue.offer(example(1, 2), torch.tensor([0.01, 0.02]))
    assert {int(one.guess.label) for _ in range(50) for one in queue.draw(2, rng)} == {1, 2}
    assert len(queue.draw(5, rng)) == 2


@pytest.mark.parametrize("sides", [(6, 7), (4, 5, 6)])
def test_a_covering_box_holds_the_region_and_touches_it_on_every_side(sides: tuple[int, ...]) -> None:
    region = torch.zeros(1, 1, *sides, dtype=torch.bool)
    assert covering_box(region) is None
    first, second = tuple(1 for _ in sides), tuple(side - 2 for side in sides)
    region[(0, 0, *first)] = region[(0, 0, *second)] = True
    box = covering_box(region)
    assert box is not None
    wanted = torch.zeros_like(region)
    wanted[(0, 0, *(slice(1, side - 1) for side in sides))] = True
    assert torch.equal(box, wanted)
