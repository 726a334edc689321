"""The earlier place of ``read_label``, which lives in :mod:`xssr_strategy.labels.reading`."""

from xssr_strategy.labels.reading import read_label

__all__ = ["read_label"]
