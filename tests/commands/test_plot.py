"""The picture of a selection: it shows what it is given, the same every time, whatever the pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

from xssr_strategy.commands.plot import DPI, SIZE, draw_selection, selection_figure
from xssr_strategy.errors import UserError
from xssr_strategy.pool_map import scatter
from xssr_strategy.pool_map.scatter import principal_plane


@pytest.fixture
def selection() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "target": rng.normal(size=(60, 8)),
        "source": rng.normal(size=(25, 8)) + 1.0,
        "labelled": [3, 50],
        "picks": [7, 1, 12, 20, 9],
        "calibration": [(0.0, 1.1, 2.3), (0.1, 1.0, 2.2), (0.2, 1.2, 2.5)],
        "alpha": 0.1,
        "coverage": [2.0, 1.6, 1.4, 1.3, 1.2, 1.15],
        "worthwhile": 4,
        "advice": "After 4 picks another one gains little.",
    }


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def numbers(figure: Figure) -> list[str]:
    """The numbers on the map, in the order in which they were drawn."""
    return [text.get_text() for axes in figure.axes for text in axes.texts if isinstance(text, Annotation)]


def words(figure: Figure) -> str:
    """All titles, labels and legends of the figure, a line each."""
    texts = [title for axes in figure.axes for title in (axes.get_title(loc="left"), axes.get_xlabel())]
    legends = [axes.get_legend() for axes in figure.axes]
    texts += [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]
    return "\n".join([*texts, figure.get_supxlabel()])


def test_the_file_is_a_png_with_something_in_every_panel(tmp_path: Path, selection: dict[str, Any]) -> None:
    draw_selection(tmp_path / "picks.PNG", **selection)
    image = pixels(tmp_path / "picks.PNG")
    height, width = round(SIZE[1] * DPI), round(SIZE[0] * DPI)
    assert image.shape == (height, width, 3)
    split, middle = round(0.63 * width), height // 2
    for panel in (image[:, :split], image[:middle, split:], image[middle:, split:]):
        assert 0.01 < (panel < 250).any(axis=2).mean() < 0.5


@pytest.mark.slow
def test_the_picture_follows_the_selection_and_nothing_else(tmp_path: Path, selection: dict[str, Any]) -> None:
    changed: dict[str, dict[str, Any]] = {
        "first": {},
        "same": {},
        "no picks": {"picks": []},
        "no labels": {"labelled": []},
        "alpha": {"alpha": 0.2},
        "worthwhile": {"worthwhile": None},
        "advice": {"advice": "All picks gain."},
    }
    images = {}
    for name, change in changed.items():
        draw_selection(tmp_path / f"{name}.png", **{**selection, **change})
        images[name] = pixels(tmp_path / f"{name}.png")
    first = images.pop("first")
    np.testing.assert_array_equal(first, images.pop("same"))
    for name, image in images.items():
        assert (first != image).any(), name


def test_the_numbers_are_the_ranks(selection: dict[str, Any]) -> None:
    figure = selection_figure(**selection)
    assert numbers(figure) == ["3", "4", "5", "6", "7"]
    assert "picks, rank 3 to 7" in words(figure)


def test_each_number_lies_at_its_pick_or_is_tied_to_it(selection: dict[str, Any]) -> None:
    target = selection["target"]
    target[[1, 12]] = target[7] + 1e-6  # three picks at one place
    axes = selection_figure(**selection).axes[-1]
    leaders = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 2]
    places, _, _ = principal_plane(target, selection["source"])
    np.testing.assert_allclose([line[0] for line in leaders], places[selection["picks"]], atol=1e-9)
    centres = [text.xy for text in axes.texts]
    np.testing.assert_allclose([line[1] for line in leaders], centres, atol=1e-9)
    on_the_page = axes.transData.transform(centres)
    apart = np.linalg.norm(on_the_page[:, None] - on_the_page, axis=2) + 1e9 * np.eye(5)
    assert apart.min() > 14.0 * DPI / 72.0  # the width of a number


def test_only_the_first_60_picks_are_numbered_and_the_legend_says_so(selection: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    many = {**selection, "target": rng.normal(size=(200, 4)), "source": None, "picks": list(range(60, 160))}
    figure = selection_figure(**many)
    assert numbers(figure) == [str(rank) for rank in range(3, 63)]
    assert "picks 63 to 102, no number" in words(figure)


def test_what_the_picture_says(selection: dict[str, Any]) -> None:
    said = words(selection_figure(**selection))
    assert "alpha 0.10: smallest mean distance" in said
    assert "2-D projection" in said
    assert "budget (5)" in said
    assert "past 4 another pick gains little" in said
    assert "labelled before: 2" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibration": [], "alpha": 0.3, "advice": "It is $5_$."}, ("alpha fixed at 0.30", "It is $5_$.")),
        ({"calibration": [], "alpha": 0.0, "source": None}, ("alpha 0.00: no source, so novelty is off",)),
    ],
)
def test_what_the_picture_of_another_selection_says(
    selection: dict[str, Any], change: dict[str, Any], said: tuple[str, ...]
) -> None:
    found = words(selection_figure(**{**selection, **change}))
    assert all(sentence in found for sentence in said)


def test_the_marks_lie_on_the_curves(selection: dict[str, Any]) -> None:
    mean, largest, coverage, _ = selection_figure(**selection).axes
    assert mean.lines[-1].get_xydata().tolist() == [[0.1, 1.0]]
    assert largest.lines[-1].get_xydata().tolist() == [[0.1, 2.2]]
    marks = {tuple(line.get_xydata()[0]) for line in coverage.lines if len(line.get_xydata()) == 1}
    assert marks == {(5.0, 1.2), (4.0, 1.3)}


def test_the_axes_say_how_much_variance_they_show(selection: dict[str, Any]) -> None:
    flat = np.outer(np.linspace(-3.0, 3.0, 60), [0.6, 0.8]) + np.outer(np.tile([1.0, -1.0], 30), [0.8, -0.6])
    axes = selection_figure(**{**selection, "target": flat, "source": None}).axes[-1]
    first = np.var(np.linspace(-3.0, 3.0, 60))  # against a variance of 1 across it
    assert f"({100 * first / (first + 1.0):.0f} % of the pool's variance)" in axes.get_xlabel()
    assert f"({100 / (first + 1.0):.0f} % of the pool's variance)" in axes.get_ylabel()


@pytest.mark.parametrize(
    ("target", "source", "labelled", "picks"),
    [
        (np.ones((1, 8)), None, [], [0]),
        (np.ones((1, 8)), np.ones((1, 8)), [0], []),
        (np.arange(9.0)[:, None] * 1e-7, None, [4], [0, 8]),
        (np.arange(9.0)[:, None], np.arange(4.0)[:, None], [], [8]),
        (np.full((30, 16), 0.3, dtype=np.float32), np.full((5, 16), 0.3), [1, 2], list(range(5, 30))),
        (np.outer(np.arange(12.0), np.full(64, 1 / 3)), None, [], [0, 11]),
    ],
    ids=["one image", "nothing left", "one tiny dimension", "one dimension and source", "all equal", "one line"],
)
def test_degenerate_pools_give_a_picture(
    tmp_path: Path, target: np.ndarray, source: np.ndarray | None, labelled: list[int], picks: list[int]
) -> None:
    rest = {"calibration": [], "alpha": 0.0, "coverage": [0.0] * len(picks), "worthwhile": 0, "advice": ""}
    draw_selection(tmp_path / "picks.png", target, source, labelled, picks, **rest)  # type: ignore[arg-type]
    assert (pixels(tmp_path / "picks.png") < 250).any()
    figure = selection_figure(target, source, labelled, picks, **rest)  # type: ignore[arg-type]
    assert len(numbers(figure)) == len(picks)
    axes = figure.axes[-1]
    on_the_page = axes.transData.transform([text.xy for text in axes.texts] or [(0.0, 0.0)])
    frame = axes.get_window_extent()
    assert ((on_the_page > frame.min) & (on_the_page < frame.max)).all()


def test_of_a_large_pool_a_fixed_part_is_drawn(monkeypatch, selection: dict[str, Any]) -> None:
    monkeypatch.setattr(scatter, "DRAWN", 20)
    selection["picks"] = [59, 58]
    figure = selection_figure(**selection)
    drawn = {len(cloud.get_offsets()) for cloud in figure.axes[-1].collections}
    assert drawn == {0, 2, 13, 20}  # handles of the legend, labelled, every other of 25, every third of 60
    assert "pool (60, 20 drawn)" in words(figure)
    assert "source (25, 13 drawn)" in words(figure)
    assert numbers(figure) == ["3", "4"]  # picks are drawn whether or not their point is


@pytest.mark.parametrize("name", ["picks.xyz", "picks", "picks.csv"])
def test_an_ending_that_is_no_picture_is_refused(tmp_path: Path, selection: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=rf"^--plot .*{name}: .*\.png, \.pdf, \.svg\.$"):
        draw_selection(tmp_path / name, **selection)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, selection: dict[str, Any]) -> None:
    (tmp_path / "folder.png").mkdir()
    for name, why in (("missing/picks.png", "its folder does not exist"), ("folder.png", "cannot be written .*;")):
        with pytest.raises(UserError, match=rf"^--plot {tmp_path / name}: {why}"):
            draw_selection(tmp_path / name, **selection)


@pytest.mark.parametrize(("name", "start"), [("picks.pdf", b"%PDF"), ("picks.svg", b"<?xml")])
def test_other_formats(tmp_path: Path, selection: dict[str, Any], name: str, start: bytes) -> None:
    draw_selection(tmp_path / name, **selection)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_labelled_rows_may_be_a_mask_and_picks_have_an_order(selection) -> None:
    mask = np.isin(np.arange(60), selection["labelled"])
    for labelled in (mask, mask.tolist(), selection["labelled"]):
        figure = selection_figure(**{**selection, "labelled": labelled})
        assert any(text.get_text() == "labelled (2)" for text in figure.findobj(Text))
    with pytest.raises(ValueError, match="picks must hold row numbers of target in pick order"):
        selection_figure(**{**selection, "picks": mask})
