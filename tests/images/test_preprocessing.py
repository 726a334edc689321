"""From a read image to what a network sees: channels, orientation, grey values, size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from tests.support.image_files import ramp, shared_data, write_itk
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preprocessing import (
    TO_RAS,
    conform,
    encoder_input,
    fit,
    memory_told,
    scale_intensity,
    spacing_of,
)
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.images.reading import UnreadableImage, read_image

XRAY, FUNDUS, MRI, CT = (PRESETS[name] for name in ("xray", "fundus", "mri", "ct"))


def meta(array: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(array.astype(np.float32)), affine=torch.eye(4))


def test_rgb_and_rgba_become_grey_by_luminance() -> None:
    pixels = ramp((4, 2, 3))
    expected = 0.299 * pixels[0] + 0.587 * pixels[1] + 0.114 * pixels[2]
    for channels in (3, 4):
        grey = conform(meta(pixels[:channels]), XRAY)
        assert isinstance(grey, MetaTensor)
        np.testing.assert_allclose(grey.numpy(), expected[None], rtol=1e-6)


def test_grey_becomes_rgb_and_alpha_is_dropped() -> None:
    grey = ramp((1, 2, 3))
    np.testing.assert_array_equal(conform(meta(grey), FUNDUS).numpy(), np.repeat(grey, 3, axis=0))
    rgba = ramp((4, 2, 3))
    np.testing.assert_array_equal(conform(meta(rgba), FUNDUS).numpy(), rgba[:3])


def test_wrong_dimensions_name_the_preset_and_the_remedy() -> None:
    with pytest.raises(UnreadableImage, match=r"^a\.nii: is a 3-D image .* 'xray'.*--conf preset 'mri' or 'ct'$"):
        conform(meta(ramp((1, 4, 4, 4))), XRAY, "a.nii")
    with pytest.raises(UnreadableImage, match=r"2-D image but preset 'ct'.*--conf preset 'xray' or 'fundus'$"):
        conform(meta(ramp((1, 4, 4))), CT)


def test_stored_orientation_does_not_matter(tmp_path: Path) -> None:
    """The same anatomy, written in four axis orders and directions, by two libraries."""
    anatomy = ramp((5, 6, 7), np.int16)
    ras = nibabel.Nifti1Image(anatomy, np.diag([0.5, 2.0, 3.0, 1.0]))
    nibabel.save(ras, tmp_path / "RAS.nii.gz")
    for codes in ("LPS", "PIR", "SLA"):
        wanted = nibabel.orientations.axcodes2ornt(codes)
        moved = ras.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(ras.affine), wanted))
        nibabel.save(moved, tmp_path / f"{codes}.nii.gz")
    write_itk(tmp_path / "itk.nrrd", anatomy[::-1, ::-1], (0.5, 2.0, 3.0))  # ITK's axes are LPS
    images = find_images(tmp_path)
    assert len(images) == 5
    assert read_image(images["SLA"]).shape == (1, 7, 5, 6)
    for path in images.values():
        image = conform(read_image(path), MRI, path)
        np.testing.assert_array_equal(image.numpy(), anatomy[None])
        assert spacing_of(image) == pytest.approx((0.5, 2.0, 3.0))


def test_reorientation_is_invertible(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ramp((5, 6, 7)), np.diag([-1.0, -1.0, 2.0, 1.0]))
    nibabel.save(image, tmp_path / "a.nii.gz")
    stored = read_image(tmp_path / "a.nii.gz")
    turned = conform(stored, MRI)
    assert not torch.equal(turned.as_tensor(), stored.as_tensor())
    back = TO_RAS.inverse(turned)
    torch.testing.assert_close(back.as_tensor(), stored.as_tensor())
    torch.testing.assert_close(back.affine, stored.affine)


def test_percentiles_become_zero_and_one() -> None:
    image = meta(np.random.default_rng(0).normal(100, 20, (1, 50, 60)))
    scaled = scale_intensity(image, XRAY)
    low, high = np.percentile(image.numpy(), XRAY.percentiles)
    assert isinstance(scaled, MetaTensor)
    assert scaled.dtype == torch.float32
    np.testing.assert_allclose(scaled.numpy(), np.clip((image.numpy() - low) / (high - low), 0, 1), atol=1e-6)


def test_window_is_fixed() -> None:
    scaled = scale_intensity(torch.tensor([[-3024.0, -1000.0, 0.0, 500.0, 1000.0, 3000.0]]), CT)
    torch.testing.assert_close(scaled, torch.tensor([[0.0, 0.0, 0.5, 0.75, 1.0, 1.0]]))
    assert type(scaled) is torch.Tensor


def test_colours_keep_their_relation() -> None:
    image = meta(np.stack([np.full((8, 8), value) for value in (10, 20, 30)]))
    scaled = scale_intensity(image, replace(FUNDUS, window=None, percentiles=(0.0, 100.0)))
    torch.testing.assert_close(scaled[:, 0, 0].as_tensor(), torch.tensor([0.0, 0.5, 1.0]))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_constant_image_is_zero(preset: Preset) -> None:
    scaled = scale_intensity(torch.full((1, 4, 4), 7.0), preset)
    assert torch.equal(scaled, torch.zeros(1, 4, 4))


def test_nearly_empty_image_falls_back_to_its_extremes() -> None:
    image = torch.zeros(1, 100, 100)
    image[0, 0, 0] = 5.0
    assert scale_intensity(image, XRAY).max() == 1.0


def test_percentiles_of_a_large_volume_are_quick_and_close(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 256, 256, 128, generator=torch.Generator().manual_seed(0)) ** 2
    percentile, sorted_values = np.percentile, []

    def counting(values: np.ndarray, *rest: object) -> np.ndarray:
        sorted_values.append(np.size(values))
        return percentile(values, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(np, "percentile", counting)
        scaled = scale_intensity(image, MRI)
    assert 500_000 <= sum(sorted_values) <= 1_000_000  # of eight million
    low, high = np.percentile(image.numpy(), MRI.percentiles)
    np.testing.assert_allclose(scaled.numpy(), np.clip((image.numpy() - low) / (high - low), 0, 1), atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 256, 256), (3, 300, 200), (1, 50, 77)])
def test_fit_is_torchs_antialiased_interpolation(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    fitted = fit(image, 64, (1.0, 1.0))
    target = [round(64 * count / max(shape[1:])) for count in shape[1:]]
    expected = torch.nn.functional.interpolate(image[None], target, mode="bilinear", antialias=True)[0]
    before = [(64 - count) // 2 for count in target]
    inside = fitted[:, before[0] : before[0] + target[0], before[1] : before[1] + target[1]]
    assert fitted.shape == (shape[0], 64, 64)
    torch.testing.assert_close(inside, expected, atol=1e-4, rtol=0)
    assert fitted.sum() == pytest.approx(float(inside.sum()), rel=1e-5)


def test_fit_keeps_physical_proportions_and_pads_symmetrically() -> None:
    fitted = fit(torch.ones(1, 40, 40, 10), 48, (1.0, 0.5, 2.0))  # 40 x 20 x 20 mm
    profile = torch.zeros(48)
    profile[12:36] = 1.0
    torch.testing.assert_close(fitted[0, :, 24, 24], torch.ones(48))
    torch.testing.assert_close(fitted[0, 24, :, 24], profile)
    torch.testing.assert_close(fitted[0, 24, 24, :], profile)


def test_fit_leaves_an_image_of_the_right_size_alone() -> None:
    image = torch.rand(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fit(image, 32, (2.0, 2.0, 2.0)), image)


def test_fit_keeps_a_thin_image_visible() -> None:
    fitted = fit(torch.ones(1, 1000, 1), 32, (1.0, 1.0))
    assert fitted.sum() == pytest.approx(32.0)


def test_anisotropic_voxels_look_like_isotropic_ones(tmp_path: Path) -> None:
    """A ball stored with 1 mm and with 1 x 1 x 4 mm voxels looks alike to the encoder."""
    x, y, z = np.meshgrid(*(np.arange(48.0) - 23.5,) * 3, indexing="ij")
    ball = np.clip(18 - np.sqrt(x**2 + y**2 + z**2), 0, 1).astype(np.float32)
    thick = ball.reshape(48, 48, 12, 4).mean(axis=3)
    nibabel.save(nibabel.Nifti1Image(ball, np.eye(4)), tmp_path / "thin.nii.gz")
    nibabel.save(nibabel.Nifti1Image(thick, np.diag([1.0, 1.0, 4.0, 1.0])), tmp_path / "thick.nii.gz")
    thin, coarse = (encoder_input(tmp_path / name, MRI) for name in ("thin.nii.gz", "thick.nii.gz"))
    assert thin.shape == coarse.shape == (1, 48, 48, 48)
    squashed = fit(torch.from_numpy(thick)[None], 48, (1.0, 1.0, 1.0))
    assert float((thin - coarse).abs().mean()) < 0.03
    assert float((thin - squashed).abs().mean()) > 0.1


@pytest.mark.parametrize("preset", [XRAY, FUNDUS], ids=["xray", "fundus"])
def test_encoder_input_of_pictures(tmp_path: Path, preset: Preset) -> None:
    Image.fromarray(ramp((90, 60, 3))).save(tmp_path / "a.png")
    result = encoder_input(tmp_path / "a.png", preset)
    assert type(result) is torch.Tensor
    assert result.shape == (preset.channels, 128, 128)
    assert result.dtype == torch.float32
    assert result.min() == 0.0
    assert 0.5 < result.max() <= 1.0


def test_encoder_input_of_real_images() -> None:
    for folder, preset in (("cxr-lung/shenzhen/images", XRAY), ("hippocampus/images", MRI), ("dicom", MRI)):
        for path in list(find_images(shared_data(folder)).values())[:3]:
            result = encoder_input(path, preset)
            assert result.shape == (1, *(preset.encoder_size,) * preset.spatial_dims)
            assert result.min() >= 0.0
            assert result.max() <= 1.0
            assert result.std() > 0.1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_an_image_that_is_too_large_to_scale_is_one_sentence(error: Exception) -> None:
    with pytest.raises(UnreadableImage, match=r"a\.png: does not fit into memory; crop"), memory_told("a.png"):
        raise error
    with pytest.raises(RuntimeError, match="a mistake"), memory_told("a.png"):
        raise RuntimeError("a mistake")
