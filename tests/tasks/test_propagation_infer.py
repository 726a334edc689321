"""The model ``propagate``: which label it takes, what it answers, and what the published network has to say."""

from __future__ import annotations

import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.support.phantoms import write_nifti
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.tasks.disconnect import CLIENT_DISCONNECTED
from xssr_strategy.tasks.propagation_infer import LABEL_NAMES, PropagationInfer, drawn_names, with_kept_label
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer

SHAPE, MIDDLE = (30, 28, 13), 6
AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])
NAMES = ("liver", "tumour")


class Network(SegmentationInfer):
    """Finds the tube on the slices from 3 to 9, or elsewhere, or has been trained under other settings."""

    finds = "nothing"

    def mask_of(self, volume: object, path: Path) -> np.ndarray:
        if self.finds == "nothing":
            raise UserError("there is no network")
        mask = tube() if self.finds == "the tube" else np.roll(tube(), 12, axis=0)
        mask[..., :3], mask[..., 10:] = 0, 0
        return mask


def tube() -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    disc = (rows - 11) ** 2 + (columns - 14) ** 2 < 36
    return np.repeat(disc[..., None], SHAPE[2], axis=2).astype(np.uint8)


def one_slice(number: int = 1) -> np.ndarray:
    drawn = np.zeros_like(tube())
    drawn[..., MIDDLE] = number * tube()[..., MIDDLE]
    return drawn


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(0, 3, SHAPE)
    write_nifti(tmp_path / "studies" / "scan.nii.gz", (60 + 100 * tube() + noise).astype(np.float32), AFFINE)
    return tmp_path / "studies"


def task(folder: Path) -> PropagationInfer:
    return PropagationInfer(Network(folder / "none.pt", PRESETS["mri"], NAMES))


def asked(studies: Path, label: Path, **more: object) -> dict[str, object]:
    return {"image": str(studies / "scan.nii.gz"), "label": str(label), **more}


def test_it_answers_on_the_voxels_of_the_image_and_says_how(studies: Path, tmp_path: Path) -> None:
    label = write_nifti(tmp_path / "label.nii.gz", one_slice(2), AFFINE)
    file, told = task(tmp_path)(asked(studies, label, result_extension=".nii.gz"))
    found = nib.load(file)
    np.testing.assert_allclose(found.affine, AFFINE)
    mask = np.asarray(found.dataobj)
    assert (mask[..., MIDDLE] == one_slice(2)[..., MIDDLE]).all()
    assert ((mask == 2) == (tube() > 0)).mean() > 0.99
    assert told.pop("seconds") > 0
    assert told == {
        "engine": "registration",
        "orientation": "transverse",
        "drawn": [MIDDLE],
        "filled": SHAPE[2] - 1,
        "notes": [],
        "label_names": {"liver": 1, "tumour": 2},
    }


def test_the_axis_of_the_slices_can_be_named(studies: Path, tmp_path: Path) -> None:
    thick = np.zeros_like(tube())
    thick[10:12, 12:16, 3:9] = 1  # wider across the slices than along them
    label = write_nifti(tmp_path / "drawn.nii.gz", thick, AFFINE)
    _, told = task(studies)(asked(studies, label, axis="as drawn"))
    assert told["orientation"] == "sagittal"
    assert any("or name their axis" in note for note in told["notes"])
    _, named = task(studies)(asked(studies, label, axis=["transverse", "coronal"]))
    assert (named["orientation"], named["drawn"]) == ("transverse", list(range(3, 9)))
    with pytest.raises(UserError, match="axis: 'oblique' is not one of as drawn, sagittal, coronal, transverse"):
        task(studies)(asked(studies, label, axis="oblique"))


def test_it_ends_once_whoever_asked_has_left(studies: Path, tmp_path: Path) -> None:
    left = threading.Event()
    token = CLIENT_DISCONNECTED.set(left)
    try:
        label = write_nifti(tmp_path / "drawn.nii.gz", one_slice(), AFFINE)
        task(studies)(asked(studies, label))
        left.set()
        with pytest.raises(UserError, match="whoever asked for this mask has left"):
            task(studies)(asked(studies, label))
    finally:
        CLIENT_DISCONNECTED.reset(token)


@pytest.mark.parametrize(("finds", "slices"), [("nothing", 13), ("the tube", 7), ("something else", 13)])
def test_a_network_says_where_the_label_ends_if_it_can_be_trusted(
    finds: str, slices: int, studies: Path, tmp_path: Path
) -> None:
    propagation = task(tmp_path)
    propagation._segmentation.finds = finds
    label = write_nifti(tmp_path / "label.nii.gz", one_slice(), AFFINE)
    file, _ = propagation(asked(studies, label))
    assert np.asarray(nib.load(file).dataobj).any(axis=(0, 1)).sum() == slices


def test_without_a_label_the_kept_one_is_taken_and_an_original_one_before_the_submitted(
    studies: Path, tmp_path: Path
) -> None:
    store = StudiesDatastore(str(studies), labels=("tumour", "liver"))
    request = {"image": "scan", "model": "propagate"}
    assert with_kept_label(request, store, NAMES) == request
    with pytest.raises(UserError, match="nothing to propagate: send the drawn slices as label, or submit them first"):
        task(tmp_path)({"image": str(studies / "scan.nii.gz")})

    label = write_nifti(tmp_path / "label.nii.gz", one_slice(), AFFINE)
    store.save_label("scan", str(label), "final", {})
    kept = with_kept_label(request, store, NAMES)
    assert Path(kept["label"]) == studies / "labels" / "final" / "scan.nii.gz"
    assert kept[LABEL_NAMES] == ("tumour", "liver")
    file, _ = task(tmp_path)({**kept, "image": str(studies / "scan.nii.gz")})
    assert np.unique(np.asarray(nib.load(file).dataobj)).tolist() == [0, 2]  # what was 1 when it was drawn

    unnamed = {**kept, LABEL_NAMES: (), "image": str(studies / "scan.nii.gz")}
    said = [{"name": "tumour"}, {"name": "liver"}]  # of the answer that the asker wants, not of the kept label
    file, _ = task(tmp_path)({**unnamed, "label_info": said})
    assert np.unique(np.asarray(nib.load(file).dataobj)).tolist() == [0, 1]

    write_nifti(studies / "labels" / "final" / "scan.nii.gz", one_slice(2), AFFINE)  # while the volume was being read
    with pytest.raises(UserError, match="the label that is kept of this image was replaced meanwhile: ask again"):
        task(tmp_path)({**kept, "image": str(studies / "scan.nii.gz")})

    store.save_label("scan", str(label), "original", {"model": "segmentation"})  # what a batch of inferences leaves
    assert Path(with_kept_label(request, store, NAMES)["label"]).parent.name == "final"
    store.save_label("scan", str(label), "original", {})
    assert Path(with_kept_label(request, store, NAMES)["label"]).parent.name == "original"
    assert with_kept_label({**request, "label": "sent"}, store, NAMES)["label"] == "sent"


def test_a_kept_label_whose_numbers_nobody_knows_is_not_guessed(studies: Path) -> None:
    folder = studies / "labels" / "final"
    write_nifti(folder / "scan.nii.gz", one_slice(), AFFINE)
    store = StudiesDatastore(str(studies), labels=NAMES)
    store.update_label_info("scan", "final", {"label_info": [{"name": "tumour"}, {"name": "liver"}]})
    with pytest.raises(UserError, match="was submitted to an earlier version as tumour,liver"):
        with_kept_label({"image": "scan"}, store, NAMES)


def test_only_the_selected_segment_is_propagated(studies: Path, tmp_path: Path) -> None:
    """A finished liver beside a tumour on one slice, the tumour having the number 1 in the file."""
    sent = one_slice(1)
    sent[20:24] = 2
    label = write_nifti(tmp_path / "label.nii.gz", sent, AFFINE)
    segments = [{"name": "tumour"}, {"name": "liver"}]
    propagation = task(tmp_path)
    file, told = propagation(asked(studies, label, label_info=segments, selected_label_name="Tumour"))
    found = np.asarray(nib.load(file).dataobj)
    assert np.unique(found).tolist() == [0, 2]
    assert (found[..., MIDDLE] == one_slice(2)[..., MIDDLE]).all()
    assert told["drawn"] == [MIDDLE]
    file, _ = propagation(asked(studies, label, label_info=segments))
    assert np.unique(np.asarray(nib.load(file).dataobj)).tolist() == [0, 1, 2]


def test_with_one_label_every_segment_but_the_brushs_background_is_it() -> None:
    segments = [{"name": "Segment_1"}, {"name": "background_scribbles"}, {"name": "ignore"}]
    assert drawn_names({"label_info": segments}, ("lung",)) == ("lung", "ignore", "ignore")
    assert drawn_names({}, ("lung",)) == ()


def test_what_is_wrong_with_a_label_is_said_without_the_name_of_its_file(studies: Path, tmp_path: Path) -> None:
    label = write_nifti(tmp_path / "tmp1234.nii.gz", one_slice()[:-1], AFFINE)
    with pytest.raises(UserError, match=r"^the label is 29 x 28 x 13 but its image is 30 x 28 x 13"):
        task(tmp_path)(asked(studies, label))
