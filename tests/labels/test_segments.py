"""The header of a segmentation of 3D Slicer says what its numbers mean; compared with what was written by pynrrd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import MetaTensor

from tests.support.phantoms import write_nifti
from tests.support.slicer_segmentations import write_segmentation
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import examine_label, read_label
from xssr_strategy.labels.segments import file_segments
from xssr_strategy.labels.values import IGNORED

SHAPE = (24, 20, 12)
LIVER, TUMOUR, UNSEEN = np.s_[4:12, 4:14, 3:9], np.s_[10:16, 4:10, 3:9], np.s_[8:24, :, :]
APART = np.s_[4:10, 4:14, 3:9]  # from the tumour
BOTH = ("liver", "tumour")


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> MetaTensor:
    file = write_nifti(tmp_path_factory.mktemp("image") / "scan.nii.gz", np.zeros(SHAPE, np.int16), np.eye(4))
    return conform(read_image(file), PRESETS["mri"], file)


def drawn(*parts) -> np.ndarray:
    """Places with their numbers, the later over the earlier."""
    label = np.zeros(SHAPE, np.uint8)
    for place, number in parts:
        label[place] = number
    return label


def read(path: Path, image: MetaTensor, labels=BOTH, names=()) -> np.ndarray:
    return read_label(path, labels, image, names)[0].numpy()


REORDERED = [("tumour", 2, 0, TUMOUR), ("Liver", 1, 0, APART)]
DRAWN_ANEW = [("tumour", 2, 0, TUMOUR), ("liver", 3, 0, APART)]
OTHER_NUMBERS = [("tumour", 1, 0, TUMOUR), ("liver", 2, 0, APART)]
OVERLAPPING = [("tumour", 1, 0, TUMOUR), ("liver", 1, 1, LIVER)]
WITH_HINTS = [*OVERLAPPING, ("foreground_scribbles", 2, 1, np.s_[20:22, 4:6, 3:9])]


@pytest.mark.parametrize(
    ("segments", "liver"),
    [(REORDERED, APART), (DRAWN_ANEW, APART), (OTHER_NUMBERS, APART), (OVERLAPPING, LIVER), (WITH_HINTS, LIVER)],
    ids=["reordered", "drawn anew", "other numbers", "overlapping", "with hints"],
)
def test_segments_have_the_numbers_of_their_names(tmp_path, image, segments, liver) -> None:
    path = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, segments)
    np.testing.assert_array_equal(read(path, image), drawn((liver, 1), (TUMOUR, 2)))  # the higher label wins


def test_thin_layers_of_several_labels_are_no_soft_edge(tmp_path, image) -> None:
    names = tuple(f"layer {number}" for number in range(1, 9))
    layers = [(name, number, 0, np.s_[number + 3 : number + 4]) for number, name in enumerate(names, start=1)]
    path = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, layers)
    wanted = drawn(*((np.s_[number + 3 : number + 4], number) for number in range(1, 9)))
    np.testing.assert_array_equal(read(path, image, names), wanted)


def test_a_segmentation_of_an_old_slicer_has_a_layer_for_each_segment(tmp_path, image) -> None:
    path = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, OVERLAPPING, numbered=False)
    assert [(one.name, one.number, one.layer) for one in file_segments(path)] == [("tumour", 1, 0), ("liver", 1, 1)]
    np.testing.assert_array_equal(read(path, image), drawn((LIVER, 1), (TUMOUR, 2)))


def test_what_is_ignored_has_no_label_and_a_drawn_label_wins(tmp_path, image) -> None:
    segments = [("ignore", 1, 0, UNSEEN), ("tumour", 1, 1, TUMOUR)]
    path = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, segments)
    np.testing.assert_array_equal(read(path, image), drawn((UNSEEN, IGNORED), (TUMOUR, 2)))
    np.testing.assert_array_equal(read(path, image, ("tumour",)), drawn((UNSEEN, IGNORED), (TUMOUR, 1)))
    assert examine_label(path, BOTH, image) == ""
    whole = write_segmentation(tmp_path / "whole.seg.nrrd", SHAPE, [("ignore", 1, 0, np.s_[:, :, :])])
    with pytest.raises(UserError, match="is ignored as a whole"):
        read(whole, image)


def test_one_label_is_every_segment_unless_one_has_its_name(tmp_path, image) -> None:
    path = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, OVERLAPPING)
    np.testing.assert_array_equal(read(path, image, ("organ",)), drawn((LIVER, 1), (TUMOUR, 1)))
    with pytest.raises(UserError, match="The segment 'liver' is none of the labels tumour"):
        read(path, image, ("tumour",))


def test_names_that_say_nothing_leave_the_numbers_alone(tmp_path, image) -> None:
    segments = [("Segment_1", 2, 0, TUMOUR), ("Segment_2", 1, 0, APART)]
    path = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, segments)
    np.testing.assert_array_equal(read(path, image), drawn((APART, 1), (TUMOUR, 2)))
    layered = write_segmentation(tmp_path / "layers.seg.nrrd", SHAPE, [("a", 1, 0, LIVER), ("Segment_2", 1, 1, TUMOUR)])
    with pytest.raises(UserError, match="The segment 'a' is none of the labels liver,tumour"):
        read(layered, image)


def test_names_in_any_script_are_read(tmp_path, image) -> None:
    label = sitk.GetImageFromArray(drawn((TUMOUR, 1)).T)
    label.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for key, value in {"Name": "Geschwür 瘤", "LabelValue": "1", "Layer": "0"}.items():
        label.SetMetaData(f"Segment0_{key}", value)
    sitk.WriteImage(label, str(tmp_path / "label.seg.nrrd"))
    found = read(tmp_path / "label.seg.nrrd", image, ("Leber", "Geschwür 瘤"))
    np.testing.assert_array_equal(found, drawn((TUMOUR, 2)))


def test_a_plain_nrrd_and_what_is_no_file_have_no_segments(tmp_path) -> None:
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8), str(tmp_path / "plain.nrrd"))
    (tmp_path / "text.nrrd").write_text("no volume")
    assert [file_segments(tmp_path / name) for name in ("plain.nrrd", "text.nrrd", "gone.nrrd")] == [(), (), ()]


def test_the_numbers_of_a_file_follow_the_names_they_were_written_with(tmp_path, image) -> None:
    path = write_nifti(tmp_path / "label.nii.gz", drawn((LIVER, 1), (TUMOUR, 2)), np.eye(4))
    np.testing.assert_array_equal(read(path, image, BOTH[::-1], BOTH), drawn((LIVER, 2), (TUMOUR, 1)))
    np.testing.assert_array_equal(read(path, image, ("vessel", *BOTH), BOTH), drawn((LIVER, 2), (TUMOUR, 3)))
    np.testing.assert_array_equal(read(path, image, BOTH, ("foreground",)), drawn((LIVER, 1), (TUMOUR, 2)))
    with pytest.raises(UserError, match=r"label\.nii\.gz: was drawn as liver,tumour, and its liver is none of the"):
        read(path, image, ("tumour",), BOTH)
    header = write_segmentation(tmp_path / "label.seg.nrrd", SHAPE, OTHER_NUMBERS)
    np.testing.assert_array_equal(read(header, image, BOTH[::-1], BOTH), drawn((APART, 2), (TUMOUR, 1)))
