"""A pool as a scatter: the plane, the marks, and numbers that hide neither each other nor the points."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba_array
from matplotlib.text import Text

from xssr_strategy.pool_map import scatter
from xssr_strategy.pool_map.scatter import (
    Badge,
    Mark,
    blank_figure,
    draw_points,
    number_points,
    place_numbers,
    principal_plane,
    shrink_factor,
    thin,
)

LOW, HIGH = (0.0, 0.0), (500.0, 500.0)


def apart(centres: np.ndarray) -> float:
    """The smallest side of a square that every number has for itself."""
    distances = np.abs(centres[:, None] - centres).max(axis=2)
    return float((distances + 1e9 * np.eye(len(centres))).min())


def test_the_plane_has_a_fixed_sign_and_keeps_proportions() -> None:
    line = np.outer([-1.0, 0.0, 1.0, 4.0], [1.0, -3.0])
    for vectors in (line, -line[::-1]):
        places, none, share = principal_plane(vectors, vectors[:0])
        assert none.shape == (0, 2)
        np.testing.assert_allclose(share, [1.0, 0.0], atol=1e-12)
        np.testing.assert_allclose(places[:, 1], 0.0, atol=1e-9)
        second = (vectors - vectors.mean(axis=0))[:, 1]  # it has the largest loading
        np.testing.assert_allclose(places[:, 0], second / np.abs(second).max(), atol=1e-12)


def test_the_plane_is_of_the_pool() -> None:
    rng = np.random.default_rng(0)
    pool, known = rng.normal(size=(30, 8)), rng.normal(size=(20, 8)) - 2.0
    pool[:5] += 3.0
    target, source, share = principal_plane(pool, known)
    assert (source.shape, target.shape) == ((20, 2), (30, 2))
    np.testing.assert_allclose(target.mean(axis=0), 0.0, atol=1e-9)
    assert target[:5, 0].mean() * target[5:, 0].mean() < 0.0  # the first component tells the minority
    assert 1.0 > share[0] > share[1] > 0.0
    np.testing.assert_array_equal(principal_plane(pool, known[:0])[2], share)


def test_crowded_numbers_stay_apart_and_inside_and_leave_the_points_visible() -> None:
    rng = np.random.default_rng(1)
    anchors = np.concatenate([rng.normal(size=(12, 2)) * 8.0 + 40.0, [[400.0, 400.0]]])
    anchors[1] = anchors[0]
    centres = place_numbers(anchors, anchors, 20.0, LOW, HIGH)
    assert apart(centres) >= 20.0
    assert centres.min() >= 10.0
    assert np.linalg.norm(centres[:12, None] - anchors, axis=2).min() > 10.0  # no crowded point is under a number
    np.testing.assert_array_equal(centres[12], anchors[12])  # the lonely one is where it belongs


def test_numbers_beside_their_points_avoid_other_points_and_other_labels() -> None:
    rng = np.random.default_rng(1)
    anchors = rng.normal(size=(12, 2)) * 8.0 + 30.0
    anchors[1] = anchors[0]
    obstacles = np.concatenate([anchors, rng.uniform(0, 500, size=(60, 2))])
    taken = anchors[:1] + 15.0
    centres = place_numbers(anchors, obstacles, 20.0, LOW, HIGH, over=False, taken=taken)
    assert apart(np.concatenate([taken, centres])) >= 20.0
    assert centres.min() >= 10.0
    assert np.linalg.norm(centres - anchors, axis=1).min() > 20.0  # not even its own point
    np.testing.assert_array_equal(centres, place_numbers(anchors, obstacles, 20.0, LOW, HIGH, False, taken))


def test_the_line_to_a_number_does_not_cross_another_point_that_has_one() -> None:
    anchors = np.array([[250.0, 250.0], [262.0, 250.0]])
    wall = np.array([[x, y] for x in (270.0, 285.0, 300.0) for y in np.arange(235.0, 266.0, 3.0)])
    above = np.array([[x, y] for x in np.arange(225.0, 270.0, 3.0) for y in (270.0, 230.0)])
    centres = place_numbers(anchors, np.concatenate([anchors, wall, above]), 20.0, LOW, HIGH, over=False)
    along = np.linspace(anchors, centres, 50)  # (50, 2, 2)
    for one, other in ((0, 1), (1, 0)):
        assert np.linalg.norm(along[:, one] - anchors[other], axis=1).min() > 6.9


def test_a_few_rows_stand_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "DRAWN", 20)
    assert thin(np.arange(60.0)[:, None])[:, 0].tolist() == list(range(0, 60, 3))
    assert len(thin(np.arange(61.0)[:, None])) == 16
    assert [shrink_factor(100, count) for count in (0, 100, 200, 10_000)] == [1.0, 1.0, 0.5, 0.2]


@pytest.mark.parametrize(
    ("mark", "faces", "edges"),
    [
        (Mark("o", "#0072B2", "#1A1A1A", 9.0), [], ["#1A1A1A"]),
        (Mark("o", "none", "#0072B2", 9.0), None, []),
        (Mark("x", "#0072B2", "#0072B2", 9.0), [], None),
    ],
    ids=["filled", "open", "cross"],
)
def test_a_colour_for_each_image(mark: Mark, faces: list[str] | None, edges: list[str] | None) -> None:
    """An empty list stands for the shades, None for what is not painted."""
    shades = ["#D55E00", "#009E73"]
    axes = blank_figure((3.0, 3.0), 100).add_subplot()
    draw_points(axes, np.array([[0.0, 0.0], [1.0, 1.0]]), mark, shades=shades)
    (cloud,) = axes.collections
    for found, expected in ((cloud.get_facecolor(), faces), (cloud.get_edgecolor(), edges)):
        if expected is not None:
            np.testing.assert_allclose(found, to_rgba_array(expected or shades))


@pytest.mark.parametrize("form", ["s", ""], ids=["badge", "bare number"])
def test_numbers_on_the_page_do_not_touch(form: str) -> None:
    figure = blank_figure((4.0, 3.0), 150)
    axes = figure.add_subplot()
    rng = np.random.default_rng(2)
    places = np.concatenate([rng.normal(size=(20, 2)) * 0.01, rng.uniform(-1, 1, size=(40, 2))])
    draw_points(axes, places, Mark("o", "none", "#6E6E6E", 6.0))
    badge = Badge(form, "#0072B2", False, 11.0, 7.0, "#0072B2")
    number_points(axes, places[:20], range(1, 21), [badge] * 20, places)
    assert [text.get_text() for text in axes.texts] == [str(number) for number in range(1, 21)]
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines
    assert all(frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1 for box in boxes)
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
