"""The earlier place of ``read_label``."""

from xssr_strategy.labels import reading
from xssr_strategy.segmentation.labels import read_label


def test_the_earlier_place_gives_the_same_function() -> None:
    assert read_label is reading.read_label
