"""The annotator hands out what is asked for, remembers it, and touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.folders import folders
from xssr_strategy.errors import UserError
from xssr_strategy.simulation.annotator import SimulatedAnnotator
from xssr_strategy.simulation.domains import read_domain


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images a to e; d is a test case, c has no label."""
    root = folders(tmp_path / "set")
    (root / "labels" / "c.png").unlink()
    (root / "test.txt").write_text("d\n")
    return root


def test_labels_are_handed_out_in_the_order_asked_and_remembered(root: Path) -> None:
    annotator = SimulatedAnnotator(read_domain(root, "--target"))
    assert annotator.paid == frozenset()
    assert annotator.annotate(["e", "a"]) == [
        {"image": str(root / "images" / f"{name}.png"), "label": str(root / "labels" / f"{name}.png")} for name in "ea"
    ]
    assert annotator.paid == {"a", "e"}
    annotator.annotate(["b", "a"])
    assert annotator.paid == {"a", "b", "e"}


def test_an_image_without_a_label(root: Path) -> None:
    annotator = SimulatedAnnotator(read_domain(root, "--target"))
    with pytest.raises(UserError) as error:
        annotator.annotate(["a", "c"])
    place = root / "labels" / "c.*"
    assert str(error.value) == f"{root}: the image c has no label; add {place} or take the image out of the pool."
    assert annotator.paid == frozenset()


@pytest.mark.parametrize("image", ["d", "ghost"])
def test_what_is_not_in_the_pool_is_never_handed_out(root: Path, image: str) -> None:
    annotator = SimulatedAnnotator(read_domain(root, "--target"))
    with pytest.raises(ValueError, match=f"{image} is not in the pool") as error:
        annotator.annotate(["a", image])
    assert not isinstance(error.value, UserError)
    assert annotator.paid == frozenset()
