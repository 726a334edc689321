"""Results of a simulation that nobody has run: scores from a formula, images painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.phantoms import ellipsoids, write_nifti, write_png
from xssr_strategy.images.preprocessing import conform, scale_intensity
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.simulation.results import ExperimentInfo, Job, JobResult, Site, write_experiment_info, write_result
from xssr_strategy.simulation.thumbnails import overlay

POOL, TEST = 40, 12


def result(
    strategy: str,
    dice: Sequence[Sequence[float]],
    budget: int = 4,
    seed: int = 0,
    draw: int = 0,
    hd95: Sequence[Sequence[float]] | None = None,
    picks: Sequence[str] = ("image_00", "image_01", "image_02", "image_03"),
    **others: Any,
) -> JobResult:
    """A job with this Dice (cases, labels); HD95 is ten times what is missing to 1, unless given; ASD half of it."""
    far = [[10.0 * (1.0 - value) for value in row] for row in dice] if hd95 is None else hd95
    values: dict[str, Any] = {
        "alpha": None,
        "calibration": (),
        "mean_coverage": None,
        "max_coverage": None,
        "training": f"{strategy}{budget}{draw}{seed}",
        "steps": 100,
        "seconds": 1.5,
        "trained_with": "xssr-strategy 0 on cpu",
        "overlays": (),
    }
    return JobResult(
        job=Job(strategy, budget, seed, draw),
        picks=tuple(picks),
        cases=tuple(f"case_{place:02}" for place in range(len(dice))),
        dice=tuple(tuple(row) for row in dice),
        hd95=tuple(tuple(row) for row in far),
        asd=tuple(tuple(value / 2 for value in row) for row in far),
        **{**values, **others},
    )


def facts(images: Mapping[str, str], labels: Sequence[str] = ("lung",), **others: Any) -> ExperimentInfo:
    """Two sites, the second with a third of the images."""
    names = sorted(images)
    cases = [f"case_{place:02}" for place in range(TEST)]
    values: dict[str, Any] = {
        "command": "xssr simulate --source A --target B --budget 4",
        "source": "hospital A",
        "target": "hospital B",
        "test": None,
        "labels": tuple(labels),
        "unit": "pixels",
        "images": dict(images),
        "sites": (
            Site("north", tuple(names[::3]), tuple(cases[::3]), 1.25),
            Site("south", tuple(sorted({*names} - {*names[::3]})), tuple(sorted({*cases} - {*cases[::3]})), 0.5),
        ),
        "default": "xssr",
        "settings": {"preset": "xray", "steps": 100},
    }
    return ExperimentInfo(**{**values, **others})


def write_experiment(
    out: Path,
    preset: str = "xray",
    budgets: Sequence[int] = (4, 8, 16),
    names: Mapping[str, float] | None = None,
    seeds: int = 3,
    draws: int = 4,
    labels: Sequence[str] = ("lung",),
    **others: Any,
) -> ExperimentInfo:
    """A whole run in ``out``: the jobs of every strategy, of ``full`` and ``source-only``, images, and overlays.

    Args:
        out: folder.
        preset: of the images.
        budgets, seeds, draws, labels: as of a simulation; the default strategy has overlays at the largest budget.
        names: strategy -> what it gains over ``random`` in Dice.
        others: fields of the facts.
    """
    images, masks = _write_images(out / "pool", preset, len(labels))
    described = facts(images, labels, **{"settings": {"preset": preset, "steps": 100}, **others})
    write_experiment_info(out, described)
    rng = np.random.default_rng(0)
    hardness = rng.normal(0.0, 0.03, (TEST, len(labels)))
    level = {seed: rng.normal(0.0, 0.004) for seed in range(seeds)}

    def write(strategy: str, budget: int, seed: int, draw: int, mean: float, **fields: Any) -> None:
        noise = rng.normal(0.0, 0.006, hardness.shape) + level[seed]
        dice = np.clip(mean + hardness + noise, 0.0, 1.0)
        picked = sorted(images, key=lambda image: hash_of(image, strategy, draw))[:budget]
        one = result(strategy, dice.tolist(), budget, seed, draw, picks=picked, **fields)
        worst = [one.cases[place] for place in dice.mean(axis=1).argsort()[:4]]
        if strategy == described.default and budget == max(budgets):
            one = result(strategy, dice.tolist(), budget, seed, draw, picks=picked, overlays=tuple(worst), **fields)
            for case in worst:
                _write_overlay(out / "overlays" / one.training / f"{case}.png", images, masks, case, preset, labels)
        write_result(out, one)

    gains = {"xssr": 0.03, "coreset": 0.01, "random": 0.0} if names is None else names
    for seed in range(seeds):
        write("full", POOL, seed, 0, 0.95)
        write("source-only", 0, seed, 0, 0.7)
        for budget in budgets:
            base = 0.94 - 0.25 / budget
            for strategy, gain in gains.items():
                for draw in range(draws if strategy == "random" else 1):
                    shift = 0.008 * np.sin(7.0 * draw) if strategy == "random" else gain * 4.0 / budget
                    write(strategy, budget, seed, draw, base + shift, **_selection(strategy, budget))
    return described


def hash_of(image: str, strategy: str, draw: int) -> float:
    """The same shuffle on every machine."""
    return float(np.random.default_rng([*image.encode(), *strategy.encode(), draw]).random())


def _selection(strategy: str, budget: int) -> dict[str, Any]:
    if strategy != "xssr":
        return {}
    curve = [(alpha / 10, (3.0 + (alpha / 10 - 0.2) ** 2) / budget**0.5, 5.0 / budget**0.5) for alpha in range(10)]
    return {"alpha": 0.2, "calibration": tuple(curve), "mean_coverage": curve[2][1], "max_coverage": curve[2][2]}


def _write_images(folder: Path, preset: str, labels: int) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    flat = PRESETS[preset].spatial_dims == 2
    images, masks = {}, {}
    for place in range(POOL):
        name = f"image_{place:02}"
        pixels, mask = ellipsoids((40, 48) if flat else (20, 24, 16), labels, rng)
        if flat:
            path = write_png(folder / f"{name}.png", (200 * pixels).clip(0, 255))
        else:
            path = write_nifti(folder / f"{name}.nii.gz", pixels.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
        images[name], masks[name] = str(path), mask
    return images, masks


def _write_overlay(
    path: Path,
    images: Mapping[str, str],
    masks: Mapping[str, np.ndarray],
    case: str,
    preset: str,
    labels: Sequence[str],
) -> None:
    name = case.replace("case", "image")
    image = conform(read_image(images[name]), PRESETS[preset], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    guess = np.roll(masks[name], 3, axis=0)
    path.write_bytes(overlay(scale_intensity(image, PRESETS[preset]), masks[name], guess, labels))
