"""What an encoder is told of the slices of labelled images."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from tests.support.phantoms import AFFINES, write_nifti, write_png
from xssr_strategy.embedding.slice_labels import slices_that_hold_labels
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import labelled_pair

SHAPE = (8, 9, 20)


def test_slices_are_those_that_the_encoder_sees_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    """Of 20 slices the nine are 2, 4, 6, 8, 10, 11, 13, 15 and 17; the label reaches from 5 to 10, from the feet."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:5, 3:5, 5:11] = 1
    image = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).random(SHAPE).astype(np.float32), np.eye(4))
    label = write_nifti(tmp_path / "a_label.nii.gz", mask, np.eye(4))
    down = np.diag([1.0, 1.0, -1.0, 1.0])
    flipped = write_nifti(tmp_path / "b.nii.gz", np.ones(SHAPE, np.float32), down)
    of_flipped = write_nifti(tmp_path / "b_label.nii.gz", mask[..., ::-1], down)
    pairs = [labelled_pair(str(image), str(label)), labelled_pair(str(flipped), str(of_flipped))]
    found = slices_that_hold_labels([image, flipped], pairs, ("organ",), PRESETS["mri"], 9)
    assert found.tolist() == [[0, 0, 1, 1, 1, 0, 0, 0, 0]] * 2


def test_what_has_no_label_or_one_that_does_not_fit_is_not_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = write_nifti(tmp_path / "a.nii.gz", np.ones(SHAPE, np.float32), np.eye(4))
    other = write_nifti(tmp_path / "b.nii.gz", np.ones(SHAPE, np.float32), np.eye(4))
    label = write_nifti(tmp_path / "b_label.nii.gz", np.ones(SHAPE, np.uint8), AFFINES["shifted"])
    with caplog.at_level(logging.WARNING):
        found = slices_that_hold_labels(
            [image, other], [labelled_pair(str(other), str(label))], ("organ",), PRESETS["mri"], 3
        )
    assert (found == -1).all()
    assert "b_label.nii.gz: the label lies elsewhere in space" in caplog.text


def test_a_picture_is_one_slice_and_ignored_is_not_the_organ(tmp_path: Path) -> None:
    image = write_png(tmp_path / "a.png", np.full((12, 10), 90))
    for number, held in ((1, 1), (2, 0)):  # 2 is what nobody has looked at
        label = write_png(tmp_path / f"label{number}.png", number * np.pad(np.ones((4, 4)), ((4, 4), (3, 3))))
        pair = labelled_pair(str(image), str(label), ("organ", "ignore"))
        assert slices_that_hold_labels([image], [pair], ("organ",), PRESETS["xray"], 1).tolist() == [[held]]
