"""The training methods by name: of ``--conf training``, of a train request's ``method``, of ``xssr simulate``."""

from __future__ import annotations

from collections.abc import Mapping

from xssr_strategy.segmentation.methods.base import TrainingMethod
from xssr_strategy.segmentation.methods.fixmatch import FixMatch
from xssr_strategy.segmentation.methods.pretrained import (
    ConvMAE,
    ConvMAEScratch,
    PolyCL,
    PolyCLMixed,
    PolyCLOrgan,
    SliceUNet,
)
from xssr_strategy.segmentation.methods.single_strip import (
    SingleStrip,
    SingleStripKeepingFew,
    SingleStripKeepingHalf,
    SingleStripWithoutMasks,
)
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.methods.ust_run import (
    UstRun,
    UstRunWithoutAmplitudes,
    UstRunWithoutGuidance,
    UstRunWithoutQueue,
)

SUPERVISED = "supervised"
"""The method of a simulation that names none."""

AUTO = "auto"
"""Not a method: the one that :func:`chosen_method` chooses; the server's, if its settings name none."""

# Labels of the target up to which unlabelled images train, too. Decided on development domains (docs/RESULTS.md): with
# 32 of prostate slices UST-RUN gained 15 points, with 44 of X-rays it lost 0.3.
AUTO_FEW_LABELS = 32

ABLATIONS: Mapping[str, type[TrainingMethod]] = {
    "ust_run:no-amplitudes": UstRunWithoutAmplitudes,
    "ust_run:no-guidance": UstRunWithoutGuidance,
    "ust_run:no-queue": UstRunWithoutQueue,
    "single_strip:no-masks": SingleStripWithoutMasks,
    "single_strip:keep-0.1": SingleStripKeepingFew,
    "single_strip:keep-0.5": SingleStripKeepingHalf,
    "poly_cl:organ": PolyCLOrgan,
    "poly_cl:mixed": PolyCLMixed,
    "poly_cl:scratch": SliceUNet,
    "conv_mae:scratch": ConvMAEScratch,
}
"""Methods without one of their parts, or with another kind or share of it, for comparisons."""

METHODS: Mapping[str, type[TrainingMethod]] = {
    SUPERVISED: Supervised,
    "fixmatch": FixMatch,
    "ust_run": UstRun,
    "single_strip": SingleStrip,
    "poly_cl": PolyCL,
    "conv_mae": ConvMAE,
    **ABLATIONS,
}


def parse_methods(text: str) -> tuple[str, ...]:
    """The names of a comma list, each once; ``auto`` may be one.

    Raises:
        ValueError: an unknown name; what is allowed.

    >>> parse_methods("supervised, supervised")
    ('supervised',)
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(name in METHODS or name == AUTO for name in names):
        raise ValueError(f"training methods separated by commas, of {', '.join(method_choices())}")
    return names


def method_names() -> tuple[str, ...]:
    """The methods without their ablations.

    >>> method_names()
    ('supervised', 'fixmatch', 'ust_run', 'single_strip', 'poly_cl', 'conv_mae')
    """
    return tuple(name for name in METHODS if name not in ABLATIONS)


def method_choices() -> tuple[str, ...]:
    """Names that a user may choose from.

    >>> method_choices()
    ('auto', 'supervised', 'fixmatch', 'ust_run', 'single_strip', 'poly_cl', 'conv_mae')
    """
    return (AUTO, *method_names())


def may_use_unlabelled(name: str) -> bool:
    """Whether a method, or ``auto``, may read unlabelled images.

    >>> may_use_unlabelled("auto"), may_use_unlabelled("supervised")
    (True, False)
    """
    return name == AUTO or METHODS[name].uses_unlabelled


def encoder_of(name: str) -> str | None:
    """The encoder with whose weights a method, or ``auto``, begins; None if with drawn ones.

    >>> encoder_of("poly_cl"), encoder_of("supervised")
    ('poly_cl', None)
    """
    return None if name == AUTO else METHODS[name].encoder


def chosen_method(name: str, labels: int, unlabelled: int, spatial_dims: int) -> str:
    """The method that trains by a name: with ``auto``, UST-RUN where unlabelled images are expected to help.

    That is in 2-D, while the target has few labels, or none beside those of the source, and more images without a label
    than with one (docs/METHOD.md). Without any unlabelled image the training is supervised if the method needs some.

    Args:
        name: of a method, or ``auto``.
        labels: of the target that the training has.
        unlabelled: images that it may learn from without a label, as far as the settings allow.
        spatial_dims: 2 or 3; for volumes no gain is shown yet.

    >>> [chosen_method("auto", labels, unlabelled=300, spatial_dims=2) for labels in (32, 33)]
    ['ust_run', 'supervised']
    >>> chosen_method("auto", labels=4, unlabelled=300, spatial_dims=3)
    'supervised'
    >>> [chosen_method("fixmatch", labels=100, unlabelled=number, spatial_dims=2) for number in (300, 0)]
    ['fixmatch', 'supervised']
    """
    if name == AUTO:
        helps = spatial_dims == 2 and labels <= AUTO_FEW_LABELS and unlabelled > labels
        return "ust_run" if helps else SUPERVISED
    return name if unlabelled or not METHODS[name].needs_unlabelled else SUPERVISED
