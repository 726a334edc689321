"""A series with a tilted gantry: volume, NIfTI, labels and DICOM SEG lie where its slices were measured."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.support.dicom_series import WrittenSeries, write_phantom
from tests.support.geometries import TILT, TILTED, TILTED_SHAPE, corner_distance, sitk_affine, write_tilted
from xssr_strategy.archive.dicom_seg import read_label_file, read_segmentation, write_segmentation
from xssr_strategy.archive.volumes import read_nifti, series_image, write_nifti
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label

NAMES = ("liver", "tumour")


@pytest.fixture(scope="module")
def tilted(tmp_path_factory) -> WrittenSeries:
    return write_tilted(tmp_path_factory.mktemp("tilted"))


def folder_of(series: WrittenSeries) -> Path:
    return series.files[0].parent


def values(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_the_volume_and_its_nifti_lie_where_the_slices_were_measured(tilted, tmp_path) -> None:
    reference = series_image(folder_of(tilted))
    sitk.WriteImage(reference, str(tmp_path / "a.nrrd"))
    write_nifti(reference, tmp_path / "a.nii.gz")
    assert corner_distance(sitk_affine(tmp_path / "a.nrrd"), TILTED, TILTED_SHAPE) < 1e-3
    assert corner_distance(nib.load(tmp_path / "a.nii.gz").affine, TILTED, TILTED_SHAPE) < 1e-3
    assert corner_distance(read_image(tmp_path / "a.nii.gz").affine.numpy(), TILTED, TILTED_SHAPE) < 1e-3
    assert corner_distance(read_image(folder_of(tilted)).affine.numpy(), TILTED, TILTED_SHAPE) < 1e-3
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj), values(reference).T)


def test_a_square_series_is_written_as_simpleitk_writes_it(tmp_path) -> None:
    reference = series_image(folder_of(write_phantom(tmp_path / "series", 3)))
    write_nifti(reference, tmp_path / "a.nii.gz")
    sitk.WriteImage(reference, str(tmp_path / "b.nii.gz"))
    assert nib.load(tmp_path / "a.nii.gz").header == nib.load(tmp_path / "b.nii.gz").header
    np.testing.assert_array_equal(values(read_nifti(tmp_path / "a.nii.gz")), values(reference))
    write_nifti(read_nifti(tmp_path / "a.nii.gz"), tmp_path / "c.nii.gz")
    assert corner_distance(sitk_affine(tmp_path / "c.nii.gz"), sitk_affine(tmp_path / "b.nii.gz"), TILTED_SHAPE) < 1e-3


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
def test_a_label_file_is_taken_as_it_is(tilted, tmp_path, extension) -> None:
    reference = series_image(folder_of(tilted))
    path = tmp_path / f"label{extension}"
    write_nifti(tilted.label, path) if extension == ".nii.gz" else sitk.WriteImage(tilted.label, str(path))
    found, odd = read_label_file(path, reference, NAMES)
    assert odd == ""
    np.testing.assert_array_equal(values(found), values(tilted.label))


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
def test_a_label_of_a_program_that_took_the_slices_for_square_is_taken_as_it_is(tilted, tmp_path, extension) -> None:
    label = sitk.GetImageFromArray(values(tilted.label))
    label.CopyInformation(sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder_of(tilted)))))
    sitk.WriteImage(label, str(tmp_path / f"label{extension}"))
    found, _ = read_label_file(tmp_path / f"label{extension}", series_image(folder_of(tilted)), NAMES)
    np.testing.assert_array_equal(values(found), values(tilted.label))
    image = conform(read_image(folder_of(tilted)), PRESETS["ct"])
    drawn = read_label(tmp_path / f"label{extension}", NAMES, image)
    sitk.WriteImage(tilted.label, str(tmp_path / "sheared.nrrd"))
    assert int(drawn.sum()) == int(values(tilted.label).sum())
    np.testing.assert_array_equal(drawn, read_label(tmp_path / "sheared.nrrd", NAMES, image))


def test_a_label_on_a_square_grid_of_the_same_space_is_put_in_its_place(tilted, tmp_path) -> None:
    reference = series_image(folder_of(tilted))
    square = sitk.Image([60, 60, 200], sitk.sitkUInt8)
    square.SetOrigin((-25.0, -35.0, -20.0))
    square.SetSpacing((0.5, 0.5, 0.5))
    drawn = sitk.Resample(tilted.label, square, sitk.Transform(), sitk.sitkNearestNeighbor)
    sitk.WriteImage(drawn, str(tmp_path / "label.nii.gz"))
    found = values(read_label_file(tmp_path / "label.nii.gz", reference, NAMES)[0])
    whole = values(tilted.label)
    inside = (found > 0) & (whole > 0)
    assert 2 * inside.sum() / ((found > 0).sum() + (whole > 0).sum()) > 0.95
    np.testing.assert_array_equal(found[inside] > 1, whole[inside] > 1)


@pytest.mark.parametrize("slices", [slice(None), slice(9, 10), slice(4, 12)], ids=["all", "one", "some"])
def test_a_dicom_seg_comes_back_voxel_by_voxel(tilted, tmp_path, slices) -> None:
    reference = series_image(folder_of(tilted))
    drawn = np.zeros_like(values(tilted.label))
    drawn[slices] = values(tilted.label)[slices]
    label = sitk.GetImageFromArray(drawn)
    label.CopyInformation(reference)
    write_segmentation(label, folder_of(tilted), NAMES, tmp_path / "seg.dcm")
    np.testing.assert_array_equal(values(read_segmentation([tmp_path / "seg.dcm"], reference, NAMES)), drawn)


def test_the_frames_of_a_dicom_seg_lie_on_their_slices(tilted, tmp_path) -> None:
    label = sitk.Image(tilted.label)
    write_segmentation(label, folder_of(tilted), NAMES, tmp_path / "seg.dcm")
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    slices = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, tilted.files)}
    for frame in written.PerFrameFunctionalGroupsSequence:
        of_slice = slices[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        place = [float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient]
        np.testing.assert_allclose(place, [float(value) for value in of_slice.ImagePositionPatient], atol=1e-3)
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(5 * np.cos(TILT))


def test_a_dicom_seg_that_gives_the_thickness_alone_is_read_alike(tilted, tmp_path) -> None:
    """As viewers write it: the frames of the series, the nominal thickness of a slice, no distance."""
    reference = series_image(folder_of(tilted))
    write_segmentation(tilted.label, folder_of(tilted), NAMES, tmp_path / "seg.dcm")
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    del written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    written.save_as(tmp_path / "seg.dcm")
    found = read_segmentation([tmp_path / "seg.dcm"], reference, NAMES)
    np.testing.assert_array_equal(values(found), values(tilted.label))


def test_a_damaged_label_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    """One bit turned in a packed file: its checksum tells what the voxels alone would not."""
    rng = np.random.default_rng(0)
    reference = sitk.GetImageFromArray(rng.integers(0, 9, (6, 24, 24)).astype(np.int16))
    voxels = rng.integers(0, 3, (6, 24, 24)).astype(np.uint8)
    label = sitk.GetImageFromArray(voxels)
    label.CopyInformation(reference)
    sitk.WriteImage(label, str(tmp_path / "label.nii.gz"))
    whole = (tmp_path / "label.nii.gz").read_bytes()
    refused = 0
    for place in range(20, len(whole), max(1, len(whole) // 40)):
        damaged = tmp_path / "damaged.nii.gz"
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            found, _ = read_label_file(damaged, reference, ("liver", "tumour"))
        except UserError:
            refused += 1
            continue
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found), voxels, err_msg=f"byte {place}")
    assert refused > 30
