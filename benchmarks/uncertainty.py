"""Entropy of a pool through the store, beside the bare inference loop and beside MONAI Label's epistemic scoring."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monailabel.datastore.local import LocalDatastore
from monailabel.tasks.scoring.epistemic_v2 import EpistemicScoring

from benchmarks.bound import Bound
from tests.support.data import SHENZHEN
from tests.support.harness import copy_pool
from xssr_strategy.images.listing import find_images, fingerprint
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import load_model, publish
from xssr_strategy.segmentation.score_stores import ImageScore, UncertaintyStore
from xssr_strategy.segmentation.transforms import read_for_network
from xssr_strategy.segmentation.uncertainty import image_entropies
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer

_IMAGES, _REPEATS = 120, 5
_PRESET = PRESETS["xray"]
_CPU = torch.device("cpu")


def run() -> list[Bound]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = sorted(find_images(SHENZHEN / "images"))[:_IMAGES]
        studies = copy_pool(SHENZHEN / "images", ids, folder / "studies")
        images, model = find_images(studies), _published(folder / "model" / "segmentation.pt")
        ours, bare = [], []
        for repeat in range(_REPEATS):
            bare.append(_IMAGES / _bare(images, model))
            ours.append(_IMAGES / _through_store(images, model, folder / f"{repeat}.sqlite"))
        own, stock = _passes(lambda: _through_store(images, model, folder / "last.sqlite")), []
        passes = _passes(lambda: stock.append(_IMAGES / _epistemic(studies, model)))
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    rates = f"{statistics.median(ours):.0f} against {statistics.median(bare):.0f} images/s"
    return [
        Bound(
            "entropy through the store / bare inference loop", f"{ratio:.2f} ({rates})", "at least 0.8", ratio >= 0.8
        ),
        Bound(
            "passes per image: MONAI Label's epistemic scoring / entropy",
            f"{passes / own:.1f} ({passes / _IMAGES:.1f} against {own / _IMAGES:.1f}; {stock[0]:.1f} images/s)",
            "at least 5",
            passes >= 5 * own,
        ),
    ]


def _published(path: Path) -> Path:
    torch.manual_seed(0)
    side = (_PRESET.segmentation_size,) * 2
    plan = SegmentationPlan("xray", 2, 1, ("lung",), (), side)
    publish(build_unet(2, 1, 2).state_dict(), plan, path)
    return path


def _bare(images: dict[str, Path], model: Path) -> float:
    network, plan = load_model(model)
    begin = time.perf_counter()
    with torch.inference_mode():
        for path in images.values():
            network(read_for_network(path, _PRESET, plan)[0][None])
    return time.perf_counter() - begin


def _through_store(images: dict[str, Path], model: Path, file: Path) -> float:
    network, plan = load_model(model)
    store = UncertaintyStore(file)
    begin = time.perf_counter()
    for image, value in image_entropies(images, network, plan, _PRESET, _CPU):
        assert isinstance(value, float)
        store.put("model", [ImageScore(image, fingerprint(images[image]), value)])
    seconds = time.perf_counter() - begin
    store.close()
    return seconds


class _Probabilities(SegmentationInfer):
    """Gives what MONAI Label's scoring sums up: probabilities, as a MetaTensor, and no file."""

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        return [lambda found: {**found, "pred": MetaTensor(torch.softmax(found["pred"], dim=0))}]


def _epistemic(studies: Path, model: Path) -> float:
    """MONAI Label's own, over a datastore of its own; the network has no dropout, which changes nothing in its cost."""
    task = _Probabilities(model, _PRESET, ("lung",))
    task.skip_writer = True
    scoring = EpistemicScoring(task)
    datastore = LocalDatastore(str(studies), extensions=["*.png"], auto_reload=False)
    begin = time.perf_counter()
    summary = scoring({"device": "cpu"}, datastore)
    assert summary["executed"] == _IMAGES
    return time.perf_counter() - begin


def _passes(work: Callable[[], object]) -> int:
    """How often a U-Net was run meanwhile."""
    count = 0

    def count_one(module: torch.nn.Module, *_: object) -> None:
        nonlocal count
        count += type(module).__name__ == "UNet"

    handle = torch.nn.modules.module.register_module_forward_pre_hook(count_one)
    try:
        work()
    finally:
        handle.remove()
    return count


if __name__ == "__main__":
    from rich.console import Console

    from benchmarks.bound import show

    show(run(), Console())
