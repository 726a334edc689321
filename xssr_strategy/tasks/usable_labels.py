"""Which of the submitted labels, and of those of the source, a training can use, and what is told of the others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

from xssr_strategy.datastores.crash_safe import CrashSafeDatastore
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import LabelledImage, examined_pairs, no_usable_label
from xssr_strategy.segmentation.publication import published_plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UsableLabels:
    """The labels of a training.

    Attributes:
        pairs: those that were submitted.
        source: those of the source.
        told: what the statistics tell of both, and of those that are left out.
    """

    pairs: Sequence[LabelledImage]
    source: Sequence[LabelledImage]
    told: Mapping[str, Any]


def usable_labels(
    datastore: Datastore,
    preset: Preset,
    names: tuple[str, ...],
    source_pairs: Sequence[Mapping[str, str]],
    published: Path,
) -> UsableLabels:
    """Every label that fits its image.

    Args:
        datastore: where the submitted labels are.
        preset: kind of image.
        names: of the labels, without the background.
        source_pairs: paths ``image`` and ``label`` of the source.
        published: the model file of the training before.

    Raises:
        UserError: there is none.
    """
    pairs, left_out = examined_pairs(datastore.datalist(), preset, names)
    source, left_out_of_source = examined_pairs(source_pairs, preset, names)
    if not pairs and not source:
        raise no_usable_label([*left_out, *left_out_of_source])
    if isinstance(datastore, CrashSafeDatastore):
        left_out += datastore.unmatched_labels()
    left_out += left_out_of_source
    logger.info(
        "training on %d labels%s; %d left out",
        len(pairs),
        f" and {len(source)} of the source" if source_pairs else "",
        len(left_out),
    )
    told: dict[str, Any] = {
        "trained_on": len(pairs),
        "left_out": [reason for _, reason in left_out],
        "remarks": [f"{pair.label}: {pair.remark}" for pair in (*pairs, *source) if pair.remark],
    }
    if doubt := _doubt([*pairs, *source], names, published):
        logger.warning("%s", doubt)
        told["remarks"].append(doubt)
    if source_pairs:
        told["of_source"] = len(source)
    return UsableLabels(pairs, source, told)


def _doubt(pairs: Sequence[LabelledImage], names: tuple[str, ...], published: Path) -> str:
    """That the labels have changed and nobody noted what some numbers mean; empty if that is not so."""
    unnamed = [pair for pair in pairs if not pair.names]
    if not unnamed or len(names) < 2 or not published.exists():
        return ""
    try:
        before = published_plan(published).labels
    except UserError:  # told where it is used
        return ""
    if before == names:
        return ""
    return (
        f"labels without noted names: {len(unnamed)}, the first {unnamed[0].label}; their numbers are read as "
        f"{','.join(names)}, but the network before learnt {','.join(before)}: renumber them if need be"
    )
