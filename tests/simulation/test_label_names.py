"""Names of labels in simulations: domains agree on them, and nnU-Net's ``ignore`` is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.support.trainings import XRAY
from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import labelled_pair, names_of, read_label
from xssr_strategy.labels.source import read_source_labels
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.simulation.annotator import SimulatedAnnotator
from xssr_strategy.simulation.domains import Domain, read_domain, refuse_other_names
from xssr_strategy.simulation.evaluation import read_case, score
from xssr_strategy.simulation.experiment import cases_of

BOTH = {"background": 0, "liver": 1, "tumour": 2}
NAMES = ("liver", "tumour")


def dataset(folder: Path, labels: dict[str, object], mask: np.ndarray | None = None) -> Path:
    """An nnU-Net data set of three pictures."""
    mask = np.ones((48, 48), np.uint8) if mask is None else mask
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.full((48, 48), 40 * number, np.uint8)).save(folder / "imagesTr" / f"c{number}_0000.png")
        Image.fromarray(mask).save(folder / "labelsTr" / f"c{number}.png")
    about = {"channel_names": {"0": "X"}, "labels": labels, "numTraining": 3, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(about))
    (folder / "test.txt").write_text("c2")
    return folder


def domain(folder: Path, labels: dict[str, object]) -> Domain:
    return read_domain(dataset(folder, labels), "--target")


@pytest.mark.parametrize(
    "labels",
    [BOTH | {"ignore": 3}, {"0": "background", "1": "liver", "2": "tumour", "3": "Ignore"}],
    ids=["nnU-Net", "Decathlon"],
)
def test_ignore_is_no_label(tmp_path: Path, labels: dict[str, object]) -> None:
    found = domain(tmp_path / "set", labels)
    assert found.label_names == NAMES
    assert found.numbers.ignores
    assert names_of(found.labelled("c0", NAMES)) == ("liver", "tumour", "ignore")
    assert names_of(found.labelled("c0", ("organ",))) == ("organ", "organ", "ignore")
    assert names_of(found.labelled("c0", (*NAMES, "vessel"))) == ("liver", "tumour", "ignore")
    assert "names" not in domain(tmp_path / "plain", BOTH).labelled("c0", NAMES)
    assert SimulatedAnnotator(found, NAMES).annotate(["c0"]) == [found.labelled("c0", NAMES)]
    assert cases_of(found, NAMES) == {"c2": found.labelled("c2", NAMES)}


def test_a_name_may_hold_a_comma(tmp_path: Path) -> None:
    mask = np.tile(np.arange(4, dtype=np.uint8), (48, 12))
    dataset(tmp_path, {"background": 0, "liver, left": 1, "liver, right": 2, "ignore": 3}, mask)
    found = read_domain(tmp_path, "--target")
    pair = found.labelled("c0", found.label_names)
    assert names_of(pair) == ("liver, left", "liver, right", "ignore")
    numbers = read_label(pair["label"], found.label_names, read_image(pair["image"]), names_of(pair))
    np.testing.assert_array_equal(numbers[0].numpy(), np.array([0, 1, 2, 255], np.uint8)[mask.T])


@pytest.mark.parametrize("labels", [{"background": 0, "ignore": 1, "liver": 2}, {"background": 0, "ignore": 1}])
def test_ignore_in_another_place_is_refused(tmp_path: Path, labels: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r'dataset\.json: "labels" has ignore as number 1, but it must be the last'):
        domain(tmp_path / "set", labels)


class _Everywhere(nn.Module):
    """Finds the first label in every pixel."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros_like(image[:, 0]), torch.ones_like(image[:, 0])], dim=1)


def test_a_score_is_that_of_the_voxels_that_were_seen(tmp_path: Path) -> None:
    mask = np.zeros((48, 48), np.uint8)
    mask[:, :12], mask[:, 24:] = 1, 2  # label, background, not looked at: a quarter, a quarter, a half
    found = read_domain(dataset(tmp_path / "set", {"background": 0, "tumour": 1, "ignore": 2}, mask), "--target")
    plan = SegmentationPlan("xray", 2, 1, ("tumour",), (), (48, 48))
    scored = score(_Everywhere(), plan, XRAY, cases_of(found, ("tumour",))["c2"], torch.device("cpu"))
    assert scored.dice == pytest.approx((2 * 1 / (1 + 2),))
    assert int(scored.truth.max()) == 1
    assert int(scored.prediction.sum()) == 24 * 48
    as_class = labelled_pair(str(found.images["c2"]), str(found.labels["c2"]))
    assert int(read_case(as_class, XRAY, NAMES)[1].max()) == 2


@pytest.mark.parametrize(
    ("labels", "fits"),
    [
        (NAMES, True),
        (("Liver", "Tumour"), True),
        (("hepar", "lesion"), True),  # another name on purpose
        (("organ",), True),  # merged on purpose
        (NAMES[::-1], False),
        (("vessel", "liver"), False),
        (("tumour",), False),
        (("liver",), False),
    ],
)
def test_labels_of_the_command_and_of_the_folder(tmp_path: Path, labels: tuple[str, ...], fits: bool) -> None:
    found = domain(tmp_path / "set", BOTH)
    if fits:
        refuse_other_names(found, labels, found)
        return
    with pytest.raises(UserError, match=r"its labels 1, 2, \.\.\. are liver,tumour, but those of the training are"):
        refuse_other_names(found, labels, found)


def test_domains_whose_names_differ_are_refused(tmp_path: Path) -> None:
    target, other = domain(tmp_path / "a", BOTH), domain(tmp_path / "b", {"background": 0, "spleen": 1, "kidney": 2})
    other = replace(other, option="--test")
    with pytest.raises(UserError, match=r"--test .*b: its labels 1, 2, \.\.\. are spleen,kidney"):
        refuse_other_names(other, NAMES, target)
    refuse_other_names(replace(other, label_names=()), NAMES, target)
    refuse_other_names(other, ("organ",), target)


def test_labels_of_the_source_may_hold_ignore(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set", BOTH | {"ignore": 3})
    found = read_source_labels(folder, {}, NAMES)
    assert [names_of(pair) for pair in found.pairs] == [("liver", "tumour", "ignore")] * 2
    with pytest.raises(UserError, match="its labels are liver,tumour, but --conf labels is tumour,liver"):
        read_source_labels(folder, {}, NAMES[::-1])
