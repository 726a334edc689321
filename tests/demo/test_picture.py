from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xssr_strategy.demo.picture import DPI, SIZE, DemoResult, draw


@pytest.fixture
def result() -> DemoResult:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(30, 8))
    target[:5] += 3.0
    return DemoResult(
        source=rng.normal(size=(20, 8)) - 2.0,
        target=target,
        kinds=["minority"] * 5 + ["common"] * 25,
        picks={"xssr": [7, 1, 12, 20, 3, 9], "random": [7, 8, 15, 22, 27, 11]},
        dice={"xssr": [0.3, 0.5, 0.6, 0.7, 0.75, 0.8], "random": [0.3, 0.4, 0.5, 0.55, 0.6, 0.6]},
        alpha=0.3,
        rounds=6,
    )


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_picture_has_its_size_and_something_on_both_halves(tmp_path: Path, result: DemoResult) -> None:
    path = tmp_path / "new folder" / "demo.png"
    draw(result, path)

    image = pixels(path)
    assert image.shape == (round(SIZE[1] * DPI), round(SIZE[0] * DPI), 3)
    middle = image.shape[1] // 2
    for half in (image[:, :middle], image[:, middle:]):
        assert 0.02 < (half < 250).any(axis=2).mean() < 0.5


@pytest.mark.slow
def test_the_picture_shows_the_result(tmp_path: Path, result: DemoResult) -> None:
    draw(result, tmp_path / "first.png")
    draw(result, tmp_path / "same.png")
    draw(replace(result, dice={**result.dice, "random": [0.7] * 6}), tmp_path / "dice.png")
    draw(replace(result, picks={**result.picks, "random": [7, 8, 15, 22, 27, 0]}), tmp_path / "picks.png")

    first, same, dice, picks = (pixels(tmp_path / f"{name}.png") for name in ("first", "same", "dice", "picks"))
    middle = first.shape[1] * 3 // 5
    np.testing.assert_array_equal(first, same)
    assert (first[:, middle:] != dice[:, middle:]).any()
    assert (first[:, : middle // 2] != picks[:, : middle // 2]).any()


def test_no_alpha_and_one_round_can_be_drawn(tmp_path: Path, result: DemoResult) -> None:
    single = replace(
        result, alpha=None, rounds=1, picks={"xssr": [0], "random": [0]}, dice={"xssr": [0.0], "random": [1.0]}
    )
    draw(single, tmp_path / "demo.png")
    assert (pixels(tmp_path / "demo.png") < 250).any()
