from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from monailabel.tasks.infer.basic_infer import CallBackTypes
from PIL import Image

from tests.support.image_files import write_dicom, write_series
from tests.support.judged import publish_judged
from tests.support.phantoms import AFFINES, ellipsoids, oblique, write_itk, write_nifti, write_png
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan, around_encoder, of_slices
from xssr_strategy.segmentation.planned_network import build_network
from xssr_strategy.segmentation.publication import load_judged_model, load_model, publish, published_plan, warm_start
from xssr_strategy.segmentation.transforms import read_for_network
from xssr_strategy.tasks.segmentation_infer import LoadedModel, SegmentationInfer

XRAY, MRI = PRESETS["xray"], PRESETS["mri"]
VOLUME = (20, 26, 23)


@pytest.fixture(autouse=True)
def results_in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "results"))


class Threshold(torch.nn.Module):
    """An oracle: foreground where the image is brighter than the middle of its range."""

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.tensor(threshold))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 40 * torch.cat([self.threshold - image, image - self.threshold], dim=1)


class Oracle(SegmentationInfer):
    """The task with the oracle in the place of a U-Net."""

    def _load(self) -> LoadedModel:
        network = Threshold()
        assert warm_start(network, self._published)
        return LoadedModel(network, published_plan(self._published))


def oracle(
    folder: Path, preset: Preset, spacing: tuple[float, ...] = (), roi: tuple[int, ...] = ()
) -> SegmentationInfer:
    """The task with a published oracle; 3-D windows are smaller than the images so that they slide."""
    path = folder / "model" / "segmentation.pt"
    roi = roi or ((16, 16, 16) if preset.spatial_dims == 3 else (64, 64))
    plan = SegmentationPlan(preset.name, preset.spatial_dims, preset.channels, ("bright",), spacing, roi)
    publish(Threshold().state_dict(), plan, path)
    return Oracle(path, preset, ("bright",))


def bright_blocks(shape: tuple[int, ...]) -> np.ndarray:
    """Random voxels of 0 and 200: one voxel out of place would show."""
    return (np.random.default_rng(0).random(shape) < 0.4).astype(np.uint8) * 200


def segment(task: SegmentationInfer, image: Path, **request: object) -> Path:
    file, result = task({"model": "segmentation", "image": str(image), "device": "cpu", **request})
    assert file is not None
    assert result["label_names"] == {"bright": 1}
    return Path(file)


def read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array (X, Y, Z) and RAS affine, read without the software's own code."""
    image = itk.imread(str(path))
    affine = np.eye(4)
    affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) @ np.diag(list(image.GetSpacing()))
    affine[:3, 3] = list(image.GetOrigin())
    return itk.array_from_image(image).T, np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize(
    ("affine", "spacing"),
    [
        *((affine, (1.0, 1.0, 1.0)) for name, affine in AFFINES.items() if name != "anisotropic"),
        (AFFINES["anisotropic"], (0.7, 0.7, 3.0)),
        (oblique(), (1.0, 1.0, 1.0)),
        (oblique((0.7, 0.9, 2.5)), (0.7, 0.9, 2.5)),
    ],
)
def test_volumes_come_back_onto_their_own_voxels(
    tmp_path: Path, extension: str, affine: np.ndarray, spacing: tuple[float, ...]
) -> None:
    image = bright_blocks(VOLUME)
    path = tmp_path / f"image{extension}"
    (write_nifti if ".nii" in extension else write_itk)(path, image, affine)
    file = segment(oracle(tmp_path, MRI, spacing), path)
    assert file.name.endswith({".mhd": ".mha"}.get(extension, extension))
    if ".nii" in extension:
        written = nib.load(file)
        array, place = np.asarray(written.dataobj), written.affine
    else:
        array, place = read_itk(file)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, image > 0)
    np.testing.assert_allclose(place, affine, atol=1e-4)


def test_a_sheared_affine_survives(tmp_path: Path) -> None:
    affine = oblique()
    affine[:3, 1] += 0.2 * affine[:3, 0]
    image = write_nifti(tmp_path / "image.nii.gz", bright_blocks(VOLUME), affine)
    spacing = tuple(float(step) for step in nib.affines.voxel_sizes(affine))
    written = nib.load(segment(oracle(tmp_path, MRI, spacing), image))
    np.testing.assert_array_equal(np.asarray(written.dataobj), bright_blocks(VOLUME) > 0)
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)


@pytest.mark.parametrize("spacing", [(0.8, 1.3, 1.7), (2.0, 2.0, 2.0)])
def test_volumes_of_another_spacing_come_back_in_place(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    _, mask = ellipsoids((40, 44, 30), 1, np.random.default_rng(0))
    affine = oblique((1.0, 0.8, 1.5))
    image = write_nifti(tmp_path / "image.nii.gz", mask * 200, affine)
    written = nib.load(segment(oracle(tmp_path, MRI, spacing, (32, 32, 32)), image))
    array = np.asarray(written.dataobj)
    assert array.shape == mask.shape
    assert 2 * (array & mask).sum() / (array.sum() + mask.sum()) > 0.93
    shift = np.mean(np.nonzero(array), axis=1) - np.mean(np.nonzero(mask), axis=1)
    assert np.abs(shift).max() < 0.25  # voxels
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "L"), ("a.jpg", "L"), ("a.JPEG", "L"), ("a.tif", "L"), ("a.png", "RGB")]
)
@pytest.mark.parametrize("shape", [(64, 64), (130, 97)])
def test_pictures_give_a_png_of_their_own_size(tmp_path: Path, name: str, mode: str, shape: tuple[int, int]) -> None:
    image = np.zeros(shape, dtype=np.uint8)
    image[10:40, 20:30] = 200
    path = tmp_path / name
    Image.fromarray(image.T).convert(mode).save(path)
    file = segment(oracle(tmp_path, XRAY), path)
    assert file.suffix == ".png"
    mask = np.asarray(Image.open(file)).T
    assert mask.shape == shape
    wrong = mask != (image > 0)
    if shape == (64, 64) and not name.lower().startswith("a.jp"):
        assert not wrong.any()  # no resampling: to the pixel
    inner = np.zeros(shape, dtype=bool)
    inner[13:37, 23:27] = True
    outer = np.zeros(shape, dtype=bool)
    outer[7:43, 17:33] = True
    assert mask[inner].all()
    assert not mask[~outer].any()


@pytest.mark.parametrize("shape", [(64, 64, 1), (64, 1, 64), (1, 64, 64)])
def test_a_volume_of_one_slice_stays_one(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    image, affine = bright_blocks(shape), oblique((0.5, 0.6, 4.0))
    written = nib.load(segment(oracle(tmp_path, XRAY), write_nifti(tmp_path / "image.nii.gz", image, affine)))
    np.testing.assert_array_equal(np.asarray(written.dataobj), image > 0)
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)


def test_a_dicom_series_gives_a_nifti_in_place(tmp_path: Path) -> None:
    image = bright_blocks(VOLUME).astype(np.int16)
    series = write_series(tmp_path / "series.1.2", image, (0.8, 0.8, 2.0))
    file = segment(oracle(tmp_path, MRI, (0.8, 0.8, 2.0)), series)
    assert file.name.endswith(".nii.gz")
    written = nib.load(file)
    np.testing.assert_array_equal(np.asarray(written.dataobj), image > 0)
    np.testing.assert_allclose(written.affine, np.diag([-0.8, -0.8, 2.0, 1.0]), atol=1e-4)


def test_a_single_dicom_image_gives_a_nifti_of_one_slice(tmp_path: Path) -> None:
    image = bright_blocks((64, 64)).astype(np.int16)
    file = segment(oracle(tmp_path, XRAY), write_dicom(tmp_path / "image.dcm", image))
    assert file.name.endswith(".nii.gz")
    np.testing.assert_array_equal(np.squeeze(np.asarray(nib.load(file).dataobj)), image > 0)


@pytest.mark.parametrize("requested", [".nrrd", ".seg.nrrd", ".nii.gz"])
def test_viewers_may_name_the_format(tmp_path: Path, requested: str) -> None:
    """Slicer and OHIF ask for .nrrd of uint8."""
    affine = oblique()
    image = write_nifti(tmp_path / "image.nii.gz", bright_blocks(VOLUME), affine)
    task = oracle(tmp_path, MRI, (1.0, 1.0, 1.0))
    file = segment(task, image, result_extension=requested, result_dtype="uint8", result_compress=False)
    assert file.name.endswith(requested.removeprefix(".seg"))
    array, place = read_itk(file)
    np.testing.assert_array_equal(array, bright_blocks(VOLUME) > 0)
    np.testing.assert_allclose(place, affine, atol=1e-4)


def test_without_a_model_the_task_is_not_offered_and_says_what_to_do(tmp_path: Path) -> None:
    task = SegmentationInfer(tmp_path / "model.pt", XRAY, ("bright",))
    assert not task.is_valid()
    with pytest.raises(UserError, match="no segmentation model yet"):
        task({"image": str(tmp_path / "image.png"), "device": "cpu"})
    assert oracle(tmp_path, XRAY).is_valid()


def test_a_model_of_other_labels_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.pt"
    plan = SegmentationPlan("xray", 2, 1, ("bright",), (), (64, 64))
    publish(build_unet(2, 1, 2).state_dict(), plan, path)
    task = SegmentationInfer(path, XRAY, ("left", "right"))
    with pytest.raises(UserError, match=r"trained with --conf labels bright but the server runs with .* left,right"):
        task({"image": str(tmp_path / "image.png"), "device": "cpu"})


def test_an_uploaded_network_keeps_the_plan_that_it_was_trained_by(tmp_path: Path) -> None:
    present = SegmentationPlan("mri", 3, 1, ("bright",), (1.0, 1.0, 1.0), (16, 16, 16))
    path, brought = tmp_path / "segmentation.pt", tmp_path / "brought.pt"
    publish(build_network(present).state_dict(), present, path)
    task = SegmentationInfer(path, MRI, ("bright",))
    coarse = replace(present, spacing=(2.0, 2.0, 3.0))
    for plan in (coarse, of_slices(coarse), around_encoder(coarse, (8, 16))):
        publish(build_network(plan).state_dict(), plan, brought)
        assert load_model(task.replace(brought))[1] == plan
    torch.save({"model": build_network(coarse).state_dict()}, brought)  # without a plan
    with pytest.raises(UserError, match="does not fit the plan of the present one"):
        task.replace(brought)
    other = SegmentationPlan("xray", 2, 1, ("bright",), (), (64, 64))
    publish(build_network(other).state_dict(), other, brought)
    with pytest.raises(UserError, match="trained with the preset xray and the present one with mri"):
        task.replace(brought)


def test_a_newly_published_model_is_used_at_once(tmp_path: Path) -> None:
    task = oracle(tmp_path, XRAY)
    image = tmp_path / "image.png"
    Image.fromarray(bright_blocks((64, 64))).save(image)
    assert np.asarray(Image.open(segment(task, image))).any()
    path = Path(task.path[0])
    before = path.stat().st_mtime_ns
    plan = SegmentationPlan("xray", 2, 1, ("bright",), (), (64, 64))
    publish(Threshold(2.0).state_dict(), plan, path)
    os.utime(path, ns=(before + 10**9, before + 10**9))  # file systems may keep whole seconds only
    assert not np.asarray(Image.open(segment(task, image))).any()


def test_a_model_that_is_published_while_an_image_is_read_does_not_segment_it(tmp_path: Path) -> None:
    task = oracle(tmp_path, MRI, (1.0, 1.0, 1.0))
    image = write_nifti(tmp_path / "image.nii.gz", bright_blocks(VOLUME), oblique())
    expected = nib.load(segment(task, image)).get_fdata()
    path = Path(task.path[0])

    def publish_another(data: dict) -> dict:
        plan = SegmentationPlan("mri", 3, 1, ("bright",), (3.0, 3.0, 3.0), (16, 16, 16))
        publish(Threshold(2.0).state_dict(), plan, path)
        return data

    request = {"model": "segmentation", "image": str(image), "device": "cpu"}
    file, _ = task(request, {CallBackTypes.PRE_TRANSFORMS: publish_another})
    np.testing.assert_array_equal(nib.load(file).get_fdata(), expected)
    assert expected.any()
    assert not nib.load(segment(task, image)).get_fdata().any()


def test_the_answer_tells_the_quality_of_the_mask_and_of_each_label(tmp_path: Path) -> None:
    plan = SegmentationPlan("xray", 2, 1, ("a", "b"), (), (32, 32))
    path = tmp_path / "model" / "segmentation.pt"
    publish_judged(path, 1, plan=plan)
    image = tmp_path / "image.png"
    write_png(image, 255 * ellipsoids((60, 48), 1, np.random.default_rng(0))[1])
    task = SegmentationInfer(path, XRAY, ("a", "b"))
    file, told = task({"image": str(image), "device": "cpu"})
    network, _, judge = load_judged_model(path)
    assert judge is not None
    pixels, _ = read_for_network(image, XRAY, plan)
    with torch.inference_mode():
        expected = judge.quality_of_logits(network(pixels[None])[0]).tolist()
    assert list(told["label_quality"]) == ["a", "b"]
    assert list(told["label_quality"].values()) == pytest.approx(expected, abs=1e-6)
    assert told["quality"] == pytest.approx(sum(expected) / 2, abs=1e-6)
    json.dumps(told, allow_nan=False)
    Path(file).unlink()


def test_a_network_of_an_earlier_version_has_no_quality_rather_than_none_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model" / "segmentation.pt"
    publish_judged(path, 1, judged=False)
    image = tmp_path / "image.png"
    write_png(image, 255 * ellipsoids((60, 48), 1, np.random.default_rng(0))[1])
    file, told = SegmentationInfer(path, XRAY, ("foreground",))({"image": str(image), "device": "cpu"})
    assert "quality" not in told
    assert "label_quality" not in told
    Path(file).unlink()
