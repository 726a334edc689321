"""Rows as people keep them: numbers, boolean masks, masked arrays; understood, or refused with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from xssr_strategy.selection import (
    XSSR,
    ColdStart,
    CoreSet,
    EntropyDiversity,
    FacilityLocation,
    KMeans,
    ProbCover,
    Random,
    Selector,
    TypiClust,
    advise,
    coverage_curve,
)

SIZE = 60
ROWS = [1, 2, 38]
MASK = np.isin(np.arange(SIZE), ROWS)
TARGET = np.random.default_rng(0).normal(size=(SIZE, 8))
SOURCE = np.random.default_rng(1).normal(size=(40, 8))
ENTROPY = np.random.default_rng(2).random(SIZE)
SELECTORS = [
    XSSR(),
    XSSR(alpha=0.5),
    CoreSet(),
    KMeans(),
    FacilityLocation(),
    TypiClust(),
    ProbCover(),
    Random(),
    ColdStart(reduction="none", max_clusters=4),
    EntropyDiversity(ENTROPY),
]
every_selector = pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: type(selector).__name__)

TAKERS: list[tuple[str, Callable[[Any], list[float]]]] = [
    ("begin", lambda rows: list(XSSR(alpha=0.5).begin(TARGET, labeled=rows).coverage())),
    ("update", lambda rows: _updated(rows)),
    ("coverage_curve", lambda rows: coverage_curve(TARGET, [5, 9], rows)[0].tolist()),
    ("clustering", lambda rows: ColdStart("none", 4).cluster(TARGET, 5).pick(5, rows)),
]
every_taker = pytest.mark.parametrize("take", [taker for _, taker in TAKERS], ids=[name for name, _ in TAKERS])


def _updated(rows: Any) -> list[float]:
    selection = XSSR(alpha=0.5).begin(TARGET)
    selection.update(rows)
    return [*selection.coverage(), *sorted(selection.taken)]


MASKS = [MASK, MASK.tolist(), list(MASK), pd.Series(MASK), pd.array(MASK, dtype="boolean"), torch.from_numpy(MASK)]
MASKS += [MASK.astype(object), list(torch.from_numpy(MASK)), np.ma.masked_array(MASK, mask=np.zeros(SIZE, bool))]
NUMBERS = [
    tuple(ROWS),
    set(ROWS),
    np.array(ROWS, np.uint8),
    pd.Series(ROWS),
    torch.tensor(ROWS),
    [2, 38, 1, 2],
    iter(ROWS),
]
BAD = [
    (MASK[:-1], "labeled is a boolean mask of 59 values, but target has 60 rows: give one for each row."),
    ([True, False], "labeled is a boolean mask of 2 values"),
    (np.zeros(0, bool), "labeled is a boolean mask of 0 values"),
    ([True, 38], "labeled must hold row numbers"),
    ([1.0, 2.0], "labeled must hold row numbers"),
    (np.array([1.0, 2.0]), "labeled must hold row numbers"),
    ([[1, 2], [3, 4]], "labeled must hold row numbers"),
    (np.nonzero(MASK), "labeled must hold row numbers"),
    (np.argwhere(MASK), "labeled must hold row numbers"),
    (3, "labeled must hold row numbers"),
    ("12", "labeled must hold row numbers"),
    ([None], "labeled must hold row numbers"),
    ([-1, 2], "labeled holds -1, but the rows of target run from 0 to 59."),
    ([10**30], "labeled holds 1000000000000000000000000000000, but"),
    (np.ma.masked_array(ROWS, mask=[0, 1, 0]), "labeled has masked entries, which name no row"),
    (np.ma.masked_array(MASK, mask=~MASK), "labeled has masked entries"),
    ([1, np.ma.masked], "labeled must hold row numbers"),
    (pd.array([True, None] * 30, dtype="boolean"), "labeled has masked entries"),
]


@every_selector
def test_a_boolean_mask_names_the_rows_where_it_is_true(selector: Selector) -> None:
    expected = selector.select(TARGET, 3, SOURCE, ROWS)
    found = selector.select(TARGET, 3, SOURCE, MASK)
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.mean_coverage == expected.mean_coverage


def test_rows_come_in_any_collection() -> None:
    expected = CoreSet().select(TARGET, 3, labeled=ROWS).indices.tolist()
    for rows in NUMBERS:
        assert CoreSet().select(TARGET, 3, labeled=rows).indices.tolist() == expected
    for none in ((), [], np.array([]), set(), np.zeros(SIZE, bool)):
        assert (
            CoreSet().select(TARGET, 3, labeled=none).indices.tolist() == CoreSet().select(TARGET, 3).indices.tolist()
        )


@every_taker
@pytest.mark.parametrize("mask", MASKS, ids=range(len(MASKS)))
def test_masks_are_understood_wherever_rows_are_taken(take: Callable[[Any], list[float]], mask: Any) -> None:
    assert take(mask) == take(ROWS)


@pytest.mark.filterwarnings("error")
@every_taker
@pytest.mark.parametrize(("rows", "message"), BAD, ids=[message for _, message in BAD])
def test_what_names_no_rows_is_refused_everywhere(take: Callable[[Any], list[float]], rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.partition(" ")[2]) as error:
        take(rows)
    assert "\n" not in str(error.value)


@every_selector
@pytest.mark.parametrize("name", ["target", "source"])
def test_masked_vectors_are_refused(selector: Selector, name: str) -> None:
    vectors = {"target": TARGET, "source": SOURCE}
    for masked in (
        np.ma.masked_array(vectors[name], vectors[name] > 2),
        [np.ma.masked_greater(v, 2) for v in vectors[name]],
    ):
        with pytest.raises(ValueError, match=f"{name} has masked entries, which have no value: leave these images out"):
            selector.select(**{**vectors, name: masked}, budget=3)
    whole = np.ma.masked_array(vectors[name], mask=False)  # a masked array of which nothing is masked
    expected = selector.select(**vectors, budget=3).indices.tolist()
    assert selector.select(**{**vectors, name: whole}, budget=3).indices.tolist() == expected


@pytest.mark.parametrize(
    ("picks", "message"),
    [
        (MASK, "indices must hold row numbers of target in pick order, not a boolean mask"),
        ([0.9, 5.0], "indices must hold row numbers"),
        ([-1], "indices holds -1"),
        ([60], "indices holds 60"),
        (np.ma.masked_array([3, 4], mask=[0, 1]), "indices has masked entries"),
    ],
)
def test_the_picks_of_a_curve_have_an_order(picks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coverage_curve(TARGET, picks)


def test_a_repeated_pick_adds_nothing_to_a_curve() -> None:
    mean, largest = coverage_curve(TARGET, [7, 7, 9])
    once = coverage_curve(TARGET, [7, 9])
    assert mean.tolist() == [once[0][0], once[0][0], once[0][1]]
    assert largest.tolist() == [once[1][0], once[1][0], once[1][1]]
    apart = np.linalg.norm(TARGET[:, None] - TARGET[None, [7, 9]], axis=2).min(axis=1)
    assert mean[-1] == pytest.approx(apart.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("entropy", "message"),
    [
        (np.ma.masked_array(ENTROPY, mask=MASK), "entropy has masked entries"),
        (MASK, "entropy must be an array of numbers"),
        (["0.5"] * SIZE, "entropy must be an array of numbers"),
        (ENTROPY + 1j, "entropy must be an array of numbers"),
        (ENTROPY[:, None], r"entropy must have the shape \(images,\)"),
    ],
)
def test_entropies_are_numbers(entropy: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EntropyDiversity(entropy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": True}, "alpha must be 'auto' or a number from 0 to 1, not True"),
        ({"alpha": np.bool_(True)}, "alpha must be"),
        ({"alpha": np.nan}, "alpha must be"),
        ({"grid": (True,)}, "grid must hold alphas"),
        ({"neighbours": 2.5}, "neighbours must be a whole number, not 2.5"),
        ({"neighbours": True}, "neighbours must be a whole number, not True"),
        ({"calibration_budget": 1.5}, "calibration_budget must be a whole number"),
    ],
)
def test_settings_of_xssr_are_not_coerced(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        XSSR(**settings)


def test_numbers_of_numpy_are_numbers() -> None:
    plain = XSSR(alpha=0.5).select(TARGET, 3, SOURCE).indices.tolist()
    assert XSSR(alpha=np.float32(0.5)).select(TARGET, np.int64(3), SOURCE).indices.tolist() == plain
    grids = ((0.0, 0.5), np.array([0.0, 0.5]))
    one, other = (XSSR(grid=grid).select(TARGET, 3, SOURCE) for grid in grids)
    assert one.calibration == other.calibration


@pytest.mark.parametrize("budget", [True, np.bool_(True), torch.tensor(True), np.array(True), 2.0, "3", None, [3]])
def test_a_budget_is_a_whole_number(budget: Any) -> None:
    with pytest.raises(ValueError, match="budget must be a whole number of images, not"):
        CoreSet().select(TARGET, budget)


@pytest.mark.parametrize("row", [True, 1.0, "1", -1, SIZE, np.ma.masked])
def test_a_taken_row_is_a_row(row: Any) -> None:
    selection = XSSR(alpha=0.5).begin(TARGET)
    with pytest.raises(ValueError, match=r"^row (must be a whole number, not|-?\d+ is taken already or not one of)"):
        selection.take(row)
    assert not selection.taken


def test_a_rule_is_of_its_target() -> None:
    rule = XSSR().terms(TARGET, SOURCE)
    with pytest.raises(ValueError, match=r"rule is of 60 rows and target has 50: ask terms\(\) of this target"):
        XSSR().select(TARGET[:50], 3, SOURCE, rule=rule)


@pytest.mark.parametrize(
    ("coverage", "budget", "message"),
    [
        (np.ma.masked_array([4.0, 2.0, 1.0], mask=[0, 1, 0]), 1, "coverage has masked entries"),
        (coverage_curve(TARGET, [5, 9, 11]), 1, "coverage must have the shape"),  # both curves at once
        (["4", "2"], 1, "coverage must be an array of numbers"),
        ([4.0, 2.0, 1.0], True, "budget must be a whole number, not True"),
        ([4.0, 2.0, 1.0], 1.5, "budget must be a whole number, not 1.5"),
    ],
)
def test_advice_is_on_a_curve_of_numbers(coverage: Any, budget: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        advise(coverage, budget, pool=SIZE, alone=4.0)
