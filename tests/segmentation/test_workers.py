"""A pool that several processes score: the same values, whatever happens to the processes."""

from __future__ import annotations

import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.judged import PLAN, discs, publish_judged
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel.images import Workers
from xssr_strategy.segmentation.publication import model_id
from xssr_strategy.segmentation.workers import (
    EntropyFunction,
    NetworkFunction,
    NoJudgeError,
    QualityFunction,
    scored_pool,
)

LABELS = ("a", "b")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    file = tmp_path / "model" / "segmentation.pt"
    publish_judged(file, 1, plan=replace(PLAN, labels=LABELS))
    return file


def function(kind: type[NetworkFunction], network: Path) -> NetworkFunction:
    return kind(network, str(model_id(network)), PRESETS["xray"], LABELS)


@pytest.mark.slow
def test_two_processes_say_what_this_one_says(network: Path, tmp_path: Path) -> None:
    """Also of an image that cannot be read; tests of ``parallel`` and of the embedding end processes."""
    discs(tmp_path / "made", 40)
    (tmp_path / "made" / "images" / "text.png").write_text("no image")
    images = find_images(tmp_path / "made" / "images")
    alone = dict(scored_pool(function(QualityFunction, network), images, Workers(1)))
    both = list(scored_pool(function(QualityFunction, network), images, Workers(2)))
    assert len(both) == len(dict(both)) == len(alone) == 41
    told = dict(both)
    assert str(told.pop("text")) == str(alone.pop("text"))
    for image, value in alone.items():
        assert told[image] == pytest.approx(value, rel=1e-4, abs=1e-5)
    assert len({tuple(value.values()) for value in alone.values()}) > 30  # or any image would do for another
    assert multiprocessing.active_children() == []


def test_one_process_is_this_one_and_keeps_the_order(network: Path, tmp_path: Path) -> None:
    discs(tmp_path / "made", 3)
    images = dict(reversed(find_images(tmp_path / "made" / "images").items()))
    found = list(scored_pool(function(EntropyFunction, network), images, Workers(1)))
    assert [image for image, _ in found] == list(images)
    assert all(0 < value < math.log(3) for _, value in found)
    assert multiprocessing.active_children() == []


def test_a_network_that_cannot_be_used_is_told_before_any_image_is_read(network: Path, tmp_path: Path) -> None:
    images = {"missing": tmp_path / "missing.png"}
    former = function(QualityFunction, network)
    publish_judged(network, 2, judged=False, plan=replace(PLAN, labels=LABELS))
    with pytest.raises(UserError, match="another network was published meanwhile; run again"):
        scored_pool(former, images, Workers(2))
    with pytest.raises(NoJudgeError, match="nothing to judge its masks by; train again"):
        scored_pool(function(QualityFunction, network), images, Workers(1))
    with pytest.raises(UserError, match="labels"):
        scored_pool(replace(function(EntropyFunction, network), labels=("c",)), images, Workers(1))
    ((image, why),) = scored_pool(function(EntropyFunction, network), images, Workers(1))
    assert image == "missing"
    assert isinstance(why, UnreadableImage)


@pytest.mark.slow
def test_a_network_that_is_published_while_processes_score_ends_them(network: Path, tmp_path: Path) -> None:
    discs(tmp_path / "made", 60)
    found = scored_pool(function(EntropyFunction, network), find_images(tmp_path / "made" / "images"), Workers(2))
    publish_judged(network, 2, plan=replace(PLAN, labels=LABELS))
    with pytest.raises(UserError, match="another network was published meanwhile"):
        list(found)
    assert multiprocessing.active_children() == []


def test_functions_of_one_network_are_equal_so_that_a_process_loads_it_once(network: Path) -> None:
    assert function(EntropyFunction, network) == function(EntropyFunction, network)
    assert function(EntropyFunction, network) != function(QualityFunction, network)
    assert len({function(QualityFunction, network) for _ in range(2)}) == 1
    assert np.unique([hash(function(EntropyFunction, network)) for _ in range(2)]).size == 1
