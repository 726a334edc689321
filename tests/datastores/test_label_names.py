"""What the numbers of a label mean is kept with it: other labels after a restart do not change it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from fastapi import HTTPException

from tests.support.slicer_segmentations import write_segmentation
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import examined_pairs, names_of
from xssr_strategy.labels.source import read_source_labels
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.segmentation.transforms import ReadPair
from xssr_strategy.simulation.domains import read_domain

SHAPE = (16, 16, 16)
LIVER, TUMOUR, UNSEEN = np.s_[2:6, 2:9, 3:9], np.s_[9:14, 4:10, 3:9], np.s_[:, 12:, :]
BOTH, SWAPPED = ("liver", "tumour"), ("tumour", "liver")
NAMED = {"label_info": [{"name": "liver", "idx": 1}, {"name": "tumour", "idx": 2}]}


@pytest.fixture
def studies(tmp_path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for number in range(3):
        nib.save(nib.Nifti1Image(np.full(SHAPE, number, np.int16), np.eye(4)), folder / f"case{number}.nii.gz")
    return folder


def opened(studies: Path, labels: tuple[str, ...]) -> StudiesDatastore:
    return StudiesDatastore(str(studies), watch=False, preset=PRESETS["mri"], labels=labels)


def drawing(liver: int = 1, tumour: int = 2) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[LIVER], label[TUMOUR] = liver, tumour
    return label


def saved(path: Path, label: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(label, np.eye(4)), path)
    return str(path)


def trained_on(datastore: StudiesDatastore, labels: tuple[str, ...]) -> tuple[list[np.ndarray], list[str]]:
    """The labels that a training reads, and what it leaves out."""
    good, bad = examined_pairs(datastore.datalist(), PRESETS["mri"], labels)
    plan = SegmentationPlan("mri", 3, 1, labels, (1.0, 1.0, 1.0), SHAPE)
    read = [ReadPair(PRESETS["mri"], plan)(pair.item)["label"][0].numpy() for pair in good]
    return read, [reason for _, reason in (*bad, *datastore.unmatched_labels())]


def stored(studies: Path, image: str) -> Path:
    (file,) = (studies / "labels" / "final").glob(f"{image}.*")
    return file


@pytest.mark.parametrize("info", [NAMED, {}], ids=["named by the viewer", "by --labels alone"])
def test_labels_keep_their_meaning_when_the_labels_change(studies, tmp_path, info) -> None:
    opened(studies, BOTH).save_label("case0", saved(tmp_path / "label.nii.gz", drawing()), "final", info)
    for labels, liver, tumour in ((BOTH, 1, 2), (SWAPPED, 2, 1), (("vessel", "liver", "Tumour"), 2, 3)):
        read, left_out = trained_on(opened(studies, labels), labels)
        np.testing.assert_array_equal(read, [drawing(liver, tumour)])
        assert left_out == []
    assert (nib.load(stored(studies, "case0")).get_fdata() == drawing()).all()  # the file stays as it was submitted


@pytest.mark.parametrize("labels", [("liver",), ("tumour", "vessel"), ("kidney",)])
def test_a_label_whose_name_is_gone_is_left_out_by_name(studies, tmp_path, labels) -> None:
    datastore = opened(studies, BOTH)
    datastore.save_label("case0", saved(tmp_path / "label.nii.gz", drawing()), "final", NAMED)
    datastore.save_label("case1", saved(tmp_path / "label.nii.gz", drawing(liver=0, tumour=0)), "final", NAMED)
    read, left_out = trained_on(opened(studies, labels), labels)
    assert len(read) == 1
    assert not read[0].any()  # nothing is drawn on it, whatever the labels are called
    (reason,) = left_out
    assert f"was drawn as liver,tumour, and its {'tumour' if labels[0] == 'liver' else 'liver'} is none of" in reason
    assert reason.startswith(str(stored(studies, "case0").resolve()))


def test_a_server_without_names_says_nothing_of_its_labels(studies, tmp_path) -> None:
    opened(studies, ("foreground",)).save_label("case0", saved(tmp_path / "a.nii.gz", drawing(1, 1)), "final", {})
    np.testing.assert_array_equal(trained_on(opened(studies, ("lung",)), ("lung",))[0], [drawing(1, 1)])
    opened(studies, BOTH).save_label("case0", saved(tmp_path / "a.nii.gz", drawing()), "final", NAMED)
    np.testing.assert_array_equal(trained_on(opened(studies, ("foreground",)), ("foreground",))[0], [drawing(1, 1)])


def test_who_writes_another_label_in_the_place_of_one_goes_by_the_labels_of_now(studies, tmp_path) -> None:
    opened(studies, BOTH).save_label("case0", saved(tmp_path / "label.nii.gz", drawing()), "final", NAMED)
    saved(stored(studies, "case0"), drawing(liver=2, tumour=1))  # renumbered by hand, for the new order
    saved(studies / "labels" / "final" / "case1.nii.gz", drawing(liver=2, tumour=1))
    read, left_out = trained_on(opened(studies, SWAPPED), SWAPPED)
    np.testing.assert_array_equal(read, [drawing(liver=2, tumour=1)] * 2)
    assert left_out == []


def test_a_segmentation_is_kept_with_the_labels_numbers_in_one_layer(studies, tmp_path) -> None:
    datastore = opened(studies, BOTH)
    segments = [("tumour", 1, 0, TUMOUR), ("liver", 1, 1, LIVER), ("liver", 7, 0, np.s_[2:4, 2:4, 3:5])]
    file = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, segments)
    datastore.save_label("case0", str(file), "final", {"label_info": [{"name": "wrong"}]})
    kept = sitk.ReadImage(str(stored(studies, "case0")))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(kept).T, drawing())
    header = nrrd.read_header(str(stored(studies, "case0")))
    named = {header[f"Segment{place}_LabelValue"]: header[f"Segment{place}_Name"] for place in range(2)}
    assert named == {"1": "liver", "2": "tumour"}
    assert header["Segment0_Color"] == "1 0 0"
    assert "Segment2_Name" not in header
    np.testing.assert_array_equal(trained_on(opened(studies, SWAPPED), SWAPPED)[0], [drawing(2, 1)])


def test_a_segmentation_with_the_right_numbers_is_kept_as_it_is(studies, tmp_path) -> None:
    file = write_segmentation(tmp_path / "a.seg.nrrd", SHAPE, [("tumour", 2, 0, TUMOUR), ("liver", 1, 0, LIVER)])
    opened(studies, BOTH).save_label("case0", str(file), "final", {})
    assert stored(studies, "case0").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("extension", ["nii.gz", "seg.nrrd"])
@pytest.mark.parametrize("labels", [BOTH, ("organ",)], ids=["two labels", "one"])
def test_a_segment_called_ignore_is_kept_apart(studies, tmp_path, extension, labels) -> None:
    names = ("ignore", *labels)
    places = dict(zip(names, (UNSEEN, LIVER, TUMOUR), strict=False))
    segments = [(name, number, 0, place) for number, (name, place) in enumerate(places.items(), start=1)]
    file = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, segments)
    if extension == "nii.gz":
        file = Path(saved(tmp_path / "label.nii.gz", nrrd.read(str(file))[0]))
    opened(studies, labels).save_label("case0", str(file), "final", {"label_info": [{"name": name} for name in names]})
    expected = drawing(tumour=2 if len(labels) == 2 else 0)
    expected[UNSEEN] = 255
    np.testing.assert_array_equal(trained_on(opened(studies, labels), labels)[0], [expected])


def test_a_segment_of_another_name_is_refused_and_nothing_is_kept(studies, tmp_path) -> None:
    file = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, [("spleen", 1, 0, LIVER), ("liver", 2, 0, TUMOUR)])
    datastore = opened(studies, BOTH)
    with pytest.raises(
        HTTPException, match="The segment 'spleen' is none of the labels liver,tumour: rename or remove"
    ):
        datastore.save_label("case0", str(file), "final", {})
    cut = tmp_path / "cut.seg.nrrd"
    cut.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(HTTPException, match="damaged or cut off"):
        datastore.save_label("case0", str(cut), "final", {})
    assert datastore.get_labeled_images() == []


def forget_numbers(studies: Path) -> None:
    """What the index of version 0.1.0 lacks."""
    index = studies / "datastore_v2.json"
    content = StudiesDatastore(str(studies), watch=False).json()
    for entry in content["objects"].values():
        for label in entry["labels"].values():
            del label["info"]["numbers"]
    index.write_text(json.dumps(content))


def test_labels_of_an_earlier_version_are_read_by_what_was_trained_or_left_out(studies, tmp_path) -> None:
    datastore = opened(studies, BOTH)
    datastore.save_label("case0", saved(tmp_path / "label.nii.gz", drawing()), "final", NAMED)
    datastore.save_label("case1", saved(tmp_path / "label.nii.gz", drawing()), "final", {})
    forget_numbers(studies)
    np.testing.assert_array_equal(trained_on(opened(studies, BOTH), BOTH)[0], [drawing()] * 2)
    read, left_out = trained_on(opened(studies, SWAPPED), SWAPPED)
    np.testing.assert_array_equal(read, [drawing()])  # nobody ever named it: by the labels of now
    (reason,) = left_out
    assert "was submitted to an earlier version as liver,tumour" in reason
    assert reason.endswith("the labels are tumour,liver now; submit it again")

    model, plan = tmp_path / "segmentation.pt", SegmentationPlan("mri", 3, 1, BOTH, (1.0, 1.0, 1.0), SHAPE)
    publish(build_unet(3, 1, 3).state_dict(), plan, model)
    os.utime(model, (1.0, 1.0))  # it has not learnt from them
    datastore = opened(studies, SWAPPED)
    datastore.note_trained_names(model)
    assert len(trained_on(datastore, SWAPPED)[1]) == 1
    os.utime(model, (4e9, 4e9))
    datastore.note_trained_names(model)
    read, left_out = trained_on(opened(studies, SWAPPED), SWAPPED)
    np.testing.assert_array_equal(read, [drawing(liver=2, tumour=1), drawing()])
    assert left_out == []


def test_simulations_and_servers_with_this_source_read_the_recorded_names(studies, tmp_path) -> None:
    datastore = opened(studies, BOTH)
    for image in ("case0", "case1"):
        datastore.save_label(image, saved(tmp_path / "label.nii.gz", drawing()), "final", NAMED)
    saved(stored(studies, "case1"), drawing(liver=2, tumour=1))  # by somebody who goes by the labels of now
    domain = read_domain(studies, "--target")
    assert domain.label_names == ()
    assert names_of(domain.labelled("case0", SWAPPED)) == BOTH
    assert "names" not in domain.labelled("case1", SWAPPED)
    assert "names" not in domain.labelled("case0", BOTH)
    pairs = read_source_labels(studies, {}, SWAPPED).pairs
    good, _ = examined_pairs(pairs, PRESETS["mri"], SWAPPED)
    plan = SegmentationPlan("mri", 3, 1, SWAPPED, (1.0, 1.0, 1.0), SHAPE)
    for pair in good:
        label = ReadPair(PRESETS["mri"], plan)(pair.item)["label"][0].numpy()
        np.testing.assert_array_equal(label, drawing(liver=2, tumour=1))
    index = StudiesDatastore(str(studies), watch=False).json()
    index["objects"]["case1"]["labels"] = {}  # as of a label that was copied in while no server ran
    (studies / "datastore_v2.json").write_text(json.dumps(index))
    assert names_of(read_domain(studies, "--target").labelled("case0", SWAPPED)) == BOTH
    (studies / "datastore_v2.json").write_text("{")
    assert "names" not in read_domain(studies, "--target").labelled("case0", SWAPPED)
