"""Refines a mask slice by slice: a box around each component is what a network of boxes is asked about.

PolyCL (Wang et al. 2026, arXiv 2505.19208) refines masks so, by SAM. The numbers are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter

LEAST_PIXELS = 10  # of a component; a smaller one stays as it is
MARGIN = 5  # pixels around a component
LEAST_OVERLAP = 0.5  # intersection over union of a component and what is made of it


@dataclass(frozen=True)
class Refinement:
    """What came of it.

    Attributes:
        mask: uint8, as the coarse one.
        refined: components of slices that were replaced.
        kept: components that stayed, because they are small, or because what was found, or what another label left of
            it, differs too much from them.
    """

    mask: NDArray[np.uint8]
    refined: int
    kept: int


@dataclass(frozen=True)
class _Component:
    label: int
    pixels: NDArray[np.bool_]
    box: tuple[int, int, int, int]


def refine(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    segmenter: BoxSegmenter,
    spacing: Sequence[float] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Refinement:
    """Refine a mask; where it holds nothing, nothing is looked for.

    What is found in the box of a component takes its place if it overlaps with it enough. Of two labels that claim a
    pixel, the more probable one has it, unless too little is left of the other then, which stays as it is; a component
    that stays gives no pixel away.

    Args:
        image: (C, rows, columns) or (C, X, Y, Z) in [0, 1], C being 1 or 3.
        mask: label numbers, of the image's spatial shape.
        segmenter: of what is in a box.
        spacing: of a volume's axes, in mm. Its slices lie across the one with the widest; of equals, across the last.
        progress: called with (slices done, slices that hold a label).
    """
    if mask.ndim == 2:
        axis, planes, coarse = -1, image[None], mask[None]
    else:
        axis = max(range(3), key=lambda place: (round(spacing[place], 2), place))
        planes, coarse = np.moveaxis(image, axis + 1, 0), np.moveaxis(mask, axis, 0)
    fine, refined, kept = coarse.copy(), 0, 0
    places = np.flatnonzero(coarse.any(axis=(1, 2)))
    for done, place in enumerate(places, start=1):
        fine[place], counts = _refined_slice(planes[place], coarse[place], segmenter)
        refined, kept = refined + counts[0], kept + counts[1]
        progress(done, len(places))
    return Refinement(fine[0] if mask.ndim == 2 else np.moveaxis(fine, 0, axis), refined, kept)


def _refined_slice(
    picture: NDArray[np.float32], coarse: NDArray[np.uint8], segmenter: BoxSegmenter
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    components = list(_components(coarse))
    asked = [one for one in components if int(one.pixels.sum()) >= LEAST_PIXELS]
    if not asked:
        return coarse, (0, len(components))
    seen = picture[0] if len(picture) == 1 else picture
    found = segmenter.segment(seen, np.array([one.box for one in asked]))
    changes = [
        (one, probability)
        for one, probability in zip(asked, found, strict=True)
        if _overlap(probability >= 0.5, one.pixels) >= LEAST_OVERLAP
    ]
    while True:
        stays = [one for one in components if all(one is not other for other, _ in changes)]
        owner = _owners([probability for _, probability in changes], [one.pixels for one in stays], coarse.shape)
        overlaps = [_overlap(owner == place, one.pixels) for place, (one, _) in enumerate(changes)]
        if min(overlaps, default=1.0) >= LEAST_OVERLAP:
            break
        del changes[int(np.argmin(overlaps))]  # the others may have more without it
    fine = np.zeros_like(coarse)
    for place, (one, _) in enumerate(changes):
        fine[owner == place] = one.label
    for one in stays:
        fine[one.pixels] = one.label
    return fine, (len(changes), len(stays))


def _owners(
    found: Sequence[NDArray[np.float32]], taken: Sequence[NDArray[np.bool_]], shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Which of what was found has each pixel: the most probable from 0.5 on; -1 where none is, or it is taken."""
    owner, best = np.full(shape, -1), np.zeros(shape, dtype=np.float32)
    for place, probability in enumerate(found):
        wins = (probability >= 0.5) & (probability > best)
        owner[wins], best[wins] = place, probability[wins]
    for pixels in taken:
        owner[pixels] = -1
    return owner


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; ``other`` holds something."""
    return float((one & other).sum() / (one | other).sum())


def _components(coarse: NDArray[np.uint8]) -> Iterator[_Component]:
    """The connected parts of each label in a slice; pixels that touch at a corner are connected."""
    for label in np.unique(coarse[coarse > 0]).tolist():
        numbers, _ = ndimage.label(coarse == label, structure=np.ones((3, 3)))
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            box = (
                max(0, rows.start - MARGIN),
                max(0, columns.start - MARGIN),
                min(coarse.shape[0], rows.stop + MARGIN),
                min(coarse.shape[1], columns.stop + MARGIN),
            )
            yield _Component(label, numbers == number, box)
