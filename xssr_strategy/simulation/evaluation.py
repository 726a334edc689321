"""The test cases: segmented as the server's inference does, and compared with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from monai.networks import one_hot
from torch import Tensor, nn

from xssr_strategy.images.preprocessing import conform, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import names_of, read_label
from xssr_strategy.segmentation.geometry import network_image, original_label
from xssr_strategy.segmentation.inference import build_inferer
from xssr_strategy.segmentation.network import without_ignored
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.refinement.refine import refine
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter

LabelScores = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""Dice, HD95 and ASD, a value per label."""


@dataclass(frozen=True)
class ScoredCase:
    """A test case.

    Attributes:
        dice, hd95, asd: per label; NaN where the case does not hold the label.
        image: (C, *spatial) grey values in [0, 1], conformed.
        truth, prediction: uint8 (*spatial); 0 where the label is ignored.
        refined: Dice, HD95 and ASD of the refined prediction; None where nothing refines it.
    """

    dice: tuple[float, ...]
    hd95: tuple[float, ...]
    asd: tuple[float, ...]
    image: Tensor
    truth: Tensor
    prediction: Tensor
    refined: LabelScores | None = None


def read_case(case: Mapping[str, str], preset: Preset, labels: Sequence[str]) -> tuple[MetaTensor, Tensor]:
    """A test case: its image, conformed, and its label (*spatial).

    Args:
        case: as ``labelled_pair`` makes it.

    Raises:
        UserError: the image or its label cannot be used.
    """
    image = conform(read_image(case["image"]), preset, case["image"])
    return image, read_label(case["label"], labels, image, names_of(case))[0]


def score(
    network: nn.Module,
    plan: SegmentationPlan,
    preset: Preset,
    case: Mapping[str, str],
    device: torch.device,
    segmenter: BoxSegmenter | None = None,
) -> ScoredCase:
    """Segment a test case as the server's inference does, and compare it on the case's own voxels.

    Args:
        case: as ``labelled_pair`` makes it.
        segmenter: refines the prediction, if there is one; both are compared.

    Raises:
        UserError: the image or its label cannot be used.
    """
    image, truth = read_case(case, preset, plan.labels)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits = build_inferer(plan)(network_image(image, preset, plan)[None].to(device), network)
    found = original_label(torch.as_tensor(logits)[0].float().cpu(), image.affine.numpy(), image.shape[1:])
    truth, seen = without_ignored(truth)
    prediction = found * seen  # what nobody has looked at is neither right nor wrong
    labels, spacing, grey = len(plan.labels), _spacing(image), scale_intensity(image, preset)
    refined = None
    if segmenter is not None:
        fine = refine(grey.numpy(), found.numpy().astype(np.uint8), segmenter, spacing).mask
        refined = scores(torch.from_numpy(fine) * seen, truth, labels, spacing)
    return ScoredCase(*scores(prediction, truth, labels, spacing), grey, truth, prediction, refined)


def scores(prediction: Tensor, truth: Tensor, labels: int, spacing: Sequence[float]) -> LabelScores:
    """Dice, HD95 and ASD of each label, by MONAI's metrics.

    ASD is the mean distance of the prediction's surface to the truth's, as in the tables of MiDSS (arXiv 2404.08951).
    Where the case holds the label and the prediction does not, distances would be infinite; the diagonal of the image
    stands for them (our choice), so that a missed label is never better than a poor one.

    Args:
        prediction, truth: (*spatial) label numbers.
        labels: their number, without the background.
        spacing: length of a voxel's sides.

    Returns:
        Three tuples with a value per label; NaN where ``truth`` does not hold the label.

    Raises:
        ValueError: the two differ in shape, or hold fractions, which would be cut off.

    >>> import torch
    >>> truth = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0]])
    >>> prediction = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])  # one pixel too far to the right
    >>> dice, hd95, asd = scores(prediction, truth, labels=1, spacing=(1.0, 1.0))
    >>> [round(value, 2) for value in (*dice, *hd95, *asd)]
    [0.5, 1.0, 0.5]
    """
    for mask in (prediction, truth):
        if mask.is_floating_point() and not torch.equal(mask, mask.round()):
            raise ValueError("prediction and truth must hold label numbers, not fractions: take the argmax first.")
    found_in, held_in = (one_hot(mask[None, None], labels + 1) for mask in (prediction, truth))
    dice = compute_dice(found_in, held_in, include_background=False)[0].numpy()
    sides = [float(side) for side in spacing]
    hd95 = compute_hausdorff_distance(found_in, held_in, percentile=95, spacing=sides)[0].numpy()
    asd = compute_average_surface_distance(found_in, held_in, spacing=sides)[0].numpy()
    diagonal = float(np.linalg.norm(np.multiply(truth.shape, spacing)))
    held, found = (mask[0, 1:].flatten(1).any(dim=1).numpy() for mask in (held_in, found_in))
    hd95, asd = (np.where(found, distance, diagonal) for distance in (hd95, asd))
    values = [tuple(np.where(held, one, np.nan).tolist()) for one in (dice, hd95, asd)]
    return values[0], values[1], values[2]


def _spacing(image: MetaTensor) -> tuple[float, ...]:
    """In mm; of a 2-D image, whose files seldom know it, in pixels."""
    return spacing_of(image) if image.ndim == 4 else (1.0, 1.0)
