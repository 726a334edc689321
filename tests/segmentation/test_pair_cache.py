from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import Dataset
from monai.transforms import Compose, SpatialPad, Transform

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import XRAY
from xssr_strategy.errors import UserError
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.pair_cache import DiskCache, MemoryCache, NoCache, PairCache, Read
from xssr_strategy.segmentation.plan import plan_from

CPU = torch.device("cpu")


def data_of(pairs: list[dict[str, str]], cache: PairCache) -> TrainingData:
    usable, _ = usable_pairs(pairs, XRAY, ("blob",))
    return TrainingData(XRAY, usable, {f"u{row}": Path(pair["image"]) for row, pair in enumerate(pairs)}, cache)


def alone(read: Transform) -> Compose:
    return Compose([read])


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_what_was_read_is_kept_and_cannot_be_changed_by_a_reader(tmp_path: Path, kind: str) -> None:
    pairs = phantom_pairs(tmp_path, 2, 2, 1)
    data = data_of(pairs, MemoryCache(CPU) if kind == "memory" else DiskCache(tmp_path / "cache"))
    plan = plan_from(data.labelled, XRAY, ("blob",))
    labelled, unlabelled = data.pairs(plan, alone), data.images(plan, alone)
    first, image = labelled[0], unlabelled[0]["image"]
    expected = first["image"].clone()
    assert torch.equal(image, expected)
    first["image"].zero_()
    Path(pairs[0]["image"]).unlink()
    assert torch.equal(labelled[0]["image"], expected)
    assert torch.equal(data.pairs(plan, alone)[0]["image"], expected)
    assert torch.equal(unlabelled[0]["image"], expected)


def test_without_a_cache_or_room_a_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    pairs = phantom_pairs(tmp_path, 1, 2, 1)
    caches = (NoCache(), MemoryCache(CPU, room=0))
    datasets = []
    for cache in caches:
        data = data_of(pairs, cache)
        plan = plan_from(data.labelled, XRAY, ("blob",))
        datasets.append(data.pairs(plan, alone))
        assert datasets[-1][0].keys() == {"image", "label"}
    Path(pairs[0]["image"]).unlink()
    for dataset in datasets:
        with pytest.raises((UserError, RuntimeError), match=r"does not exist|applying transform"):
            dataset[0]


def test_the_disk_holds_no_more_than_its_room_and_what_does_not_fit_is_read_each_time(tmp_path: Path) -> None:
    pairs = phantom_pairs(tmp_path, 4, 2, 1)
    size = 48 * 48 * 4
    data = data_of(pairs, DiskCache(tmp_path / "cache", room=size + 1))
    images = data.images(plan_from(data.labelled, XRAY, ("blob",)), alone)
    expected = [images[row]["image"].clone() for row in range(4)]
    kept = [*(tmp_path / "cache").glob("*.pt")]
    assert 0 < len(kept) < 4
    assert all(torch.equal(images[row]["image"], one) for row, one in enumerate(expected))
    for pair in pairs:
        Path(pair["image"]).unlink()
    there = [row for row in range(4) if _readable(images, row)]
    assert len(there) == len(kept)


def _readable(images: Dataset, row: int) -> bool:
    try:
        return bool(images[row])
    except RuntimeError:  # MONAI's, of what the reading step raises
        return False


def test_memory_holds_no_more_than_its_room(tmp_path: Path) -> None:
    pairs = phantom_pairs(tmp_path, 5, 2, 1)
    one = 48 * 48 * 4
    cache = MemoryCache(CPU, room=2 * one + 1)
    data = data_of(pairs, cache)
    plan = plan_from(data.labelled, XRAY, ("blob",))
    images = data.images(plan, alone)
    for place in range(len(images)):
        images[place]
    assert cache.held == 2 * one


def test_two_datasets_that_prepare_an_image_differently_do_not_meet_on_disk(tmp_path: Path) -> None:
    pairs = phantom_pairs(tmp_path, 1, 2, 1)
    data = data_of(pairs, DiskCache(tmp_path / "cache"))
    plan = plan_from(data.labelled, XRAY, ("blob",))

    def padded(side: int) -> Read:
        return lambda read: Compose([read, lambda item: {"image": SpatialPad((side, side))(item["image"])}])

    shapes = [tuple(data.images(plan, chain)[0]["image"].shape) for chain in (alone, padded(64), padded(80))]
    assert shapes == [(1, 48, 48), (1, 64, 64), (1, 80, 80)]
